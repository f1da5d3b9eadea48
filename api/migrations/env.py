"""Alembic's environment: always on a connection that `upgrade` was given, never on a URL of its own."""

from alembic import context

from api.migrations import VERSION_TABLE
from api.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
