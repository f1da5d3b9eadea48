"""Versions of data sets, as the node tells the log of them: the schema's digest, and a commitment to the content.

The commitment is to the digest of the version's manifest. Its opening stays at the node, which so can tell at any time
whether what lies in its folder is what it committed to; nobody else can tell anything.
"""

from sqlalchemy import Engine, insert, select

from sandbox.catalog.model import DatasetVersion
from sandbox.database import reading, writing
from sandbox.node.agent_tables import OPENING
from sandbox.node.statements import Made, StatementMaker
from yingbi.canonical import canonical_bytes
from yingbi.commitment import Opening, commit
from yingbi.ids import dataset_id

__all__ = ["Versions"]


class Versions:
    """The node's commitments to the contents of versions."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def declare(self, version: DatasetVersion, maker: StatementMaker) -> Made:
        """Commit to a version and make the statement that says so; the opening is kept here before it is returned."""
        opening = commit(version.digest)
        with writing(self._database) as connection:
            row = {"commitment": opening.commitment, "salt": opening.salt, "value": opening.value}
            connection.execute(insert(OPENING).values(**row))
        return maker.versioned(
            dataset_id(version.dataset),
            version=version.version,
            schema=version.schema_digest,
            content=opening.commitment,
        )

    def is_content(self, commitment: str, version: DatasetVersion) -> bool:
        """Tell whether a commitment in the log is this node's own to this version."""
        with reading(self._database) as connection:
            row = connection.execute(select(OPENING).where(OPENING.c.commitment == commitment)).one_or_none()
        if row is None:
            return False
        opening = Opening(salt=row.salt, value=row.value)
        return opening.commitment == commitment and opening.value == canonical_bytes(version.digest)
