"""Inserting many rows with few statements, of which there are few kinds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Final

from sqlalchemy import Connection

from gateway.sql.engine import execute_plain

_PORTIONS: Final = (64, 32, 16, *range(8, 0, -1))
"""Rows that one statement may have. A driver keeps each statement that it has prepared (sqlite3 up to 128 of them for
each connection, 2 KB and more for a row); one for every number of rows took megabytes that grew for hours, while
rarer numbers came."""


def insert_rows(connection: Connection, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[object]]) -> None:
    """Insert rows, given as the values of these columns: up to eight by one statement, more by a few.

    A statement for each row would do worse: the driver lets go of the interpreter lock at each, and getting it back
    from a busy event loop can take 5 ms. Table and columns go into the SQL as they are. Raises SQLAlchemy's errors.
    """
    done = 0
    while done < len(rows):
        portion = next(size for size in _PORTIONS if size <= len(rows) - done)
        values = list(chain.from_iterable(rows[done : done + portion]))
        execute_plain(connection, _insert(connection.dialect.name, table, columns, portion), values)
        done += portion


@cache
def _insert(dialect: str, table: str, columns: tuple[str, ...], rows: int) -> str:
    row = "(" + ", ".join(["?" if dialect == "sqlite" else "%s"] * len(columns)) + ")"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 (names)
