"""Alembic's entry point; `gateway.sql.migrate` hands it the connection, which is in a transaction already."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    transactional_ddl=True,  # true of SQLite too, since the engine begins transactions itself
)
with context.begin_transaction():
    context.run_migrations()
