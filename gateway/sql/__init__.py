"""Databases: engines for SQLite and PostgreSQL, migrations, and a writer thread that commits in groups.

Sync engines on purpose: each store writes from one thread of its own, so that a group of operations shares one
transaction and one fsync, and the event loop never waits for a disk.
"""

from gateway.sql.engine import execute_plain, open_engine, reading, reason
from gateway.sql.migrate import migrate
from gateway.sql.rows import insert_rows
from gateway.sql.writer import BatchWriter, Writer, WriterClosed, WriterFull

__all__ = [
    "BatchWriter",
    "Writer",
    "WriterClosed",
    "WriterFull",
    "execute_plain",
    "insert_rows",
    "migrate",
    "open_engine",
    "reading",
    "reason",
]
