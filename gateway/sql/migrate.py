"""Bringing a database up to date. Each package that stores anything owns its Alembic revisions in a folder
`gateway/<package>/migrations/`, whose revisions carry the package's branch label; a branch keeps its own version
table, so that the stores may share a database or not."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from gateway.domain.errors import ConfigurationError
from gateway.sql.engine import reading

_PACKAGES = Path(__file__).parent.parent
_ENVIRONMENT = Path(__file__).parent / "environment"


@dataclass(frozen=True, slots=True)
class _Branch:
    folder: Path
    head: str
    revisions: frozenset[str]
    version_table: str


def migrate(engine: Engine, branch: str) -> None:
    """Upgrade the tables of `branch` (such as ``audit``) to the newest revision; nothing when they are there already.

    Safe when several processes start at once: the upgrade runs under the database's write lock, in one
    transaction. Raises `ConfigurationError` when the database was made by a newer version of the program.
    """
    wanted = _find(branch)
    with reading(engine) as connection:
        if _current(connection, wanted) == wanted.head:
            return  # without importing Alembic, which takes longer than everything else here
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            lock = int.from_bytes(hashlib.sha256(wanted.version_table.encode()).digest()[:8], signed=True)
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
        current = _current(connection, wanted)
        if current is not None and current not in wanted.revisions:
            raise ConfigurationError(
                f"database {engine.url.render_as_string(hide_password=True)}: its {branch} tables are at revision "
                f"{current}, which this version does not know; it was used by a newer one"
            )
        if current != wanted.head:
            _upgrade(connection, wanted)


def _upgrade(connection: Connection, branch: _Branch) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "version_table": branch.version_table})
    for option, path in (("script_location", _ENVIRONMENT), ("version_locations", branch.folder)):
        config.set_main_option(option, str(path).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    command.upgrade(config, "head")


def _current(connection: Connection, branch: _Branch) -> str | None:
    if not inspect(connection).has_table(branch.version_table):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {branch.version_table}")).scalar()  # noqa: S608 (ours)
    return None if found is None else str(found)


@cache
def _find(branch: str) -> _Branch:
    """The branch as its revision files describe it. They are parsed, not run: only their names matter here."""
    for folder in sorted(_PACKAGES.glob("*/migrations")):
        files = [_read(path) for path in sorted(folder.glob("*.py"))]
        if not any(branch in file.labels for file in files):
            continue
        revisions = frozenset(file.revision for file in files)
        heads = sorted(revisions - {file.down_revision for file in files})
        if len(heads) != 1:
            raise ConfigurationError(f"{folder}: needs exactly one newest revision, has {len(heads)}")
        return _Branch(folder, heads[0], revisions, f"alembic_version_{branch}")
    raise ConfigurationError(f"no migrations with the branch label {branch!r} in this installation")


@dataclass(frozen=True, slots=True)
class _RevisionFile:
    revision: str
    down_revision: str | None
    labels: tuple[str, ...]


def _read(path: Path) -> _RevisionFile:
    values: dict[str, Any] = {}
    for node in ast.parse(path.read_text("utf-8"), str(path)).body:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(target, ast.Name) and target.id in ("revision", "down_revision", "branch_labels"):
            values[target.id] = ast.literal_eval(value)
    labels = values.get("branch_labels") or ()
    return _RevisionFile(
        str(values["revision"]), values.get("down_revision"), (labels,) if isinstance(labels, str) else tuple(labels)
    )
