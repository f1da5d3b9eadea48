"""The metadata that the tables of a node's database share; each package declares its own tables on it."""

from typing import Final

from sqlalchemy import MetaData

__all__ = ["METADATA"]

METADATA: Final = MetaData()
