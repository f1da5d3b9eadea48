"""The history of the tables of the hub's database, run by Alembic; `upgrade` brings a database to the newest."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

__all__ = ["VERSION_TABLE", "is_current", "upgrade"]

VERSION_TABLE: Final = "hub_alembic_version"


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest revision, inside the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_current(connection: Connection) -> bool:
    """Return whether the database's tables are those of this version of the software."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return False
    revision = connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar_one()  # noqa: S608 a constant
    return bool(revision == ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
