"""Parts of the gateway for the command line, without the gateway."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.audit import table as log_table
from gateway.audit.codec import decode
from gateway.audit.mac import LogMac
from gateway.audit.store import open_log
from gateway.compose.declared import declared
from gateway.domain.errors import ConfigurationError
from gateway.domain.finding import Found
from gateway.domain.record import AuditRecord
from gateway.domain.target import Route, Target
from gateway.identity.keys import KeyTable
from gateway.identity.secrets import VARIABLE, derive, load_secret
from gateway.inspection.offline import scan_found
from gateway.policy.archive import load_archived
from gateway.policy.compile import CompiledPolicy
from gateway.policy.replay import DayBudget
from gateway.settings import Settings
from gateway.settings.recognizers import RegistrySettings
from gateway.sql import execute_plain, open_engine, reading, reason

_HASH = re.compile(r"[0-9a-f]{12,64}")


def scan_texts(texts: Sequence[str], registry: RegistrySettings | None = None) -> tuple[Found, ...]:
    """What the real detector finds in these texts, with these recognisers or those of no settings file."""
    return scan_found(texts, registry)


@contextmanager
def open_key_store(settings: Settings) -> Iterator[KeyTable]:
    """The table of API keys, to make and list them."""
    table = KeyTable.open(settings.storage.url("identity"))
    try:
        yield table
    finally:
        table.close()


def archived(folder: Path, digest: str) -> CompiledPolicy:
    """The policy of a hash (hexadecimal, or its first 12 digits or more) from the folder that keeps every policy that
    was in force. Raises `ConfigurationError` when it is not there, or not what its hash says."""
    if not _HASH.fullmatch(digest):
        raise ConfigurationError(f"{digest!r} is not the hash of a policy, nor its first 12 digits")
    found = {file.stem for ending in ("json", "yaml") for file in folder.glob(f"{digest}*.{ending}")}
    if len(found) > 1:
        raise ConfigurationError(f"{folder}: holds several policies whose hash begins with {digest}")
    return load_archived(folder, found.pop() if found else digest)


@dataclass(frozen=True, slots=True)
class History:
    """What a gateway has recorded, for reading: its audit log, the policies that were in force, and the targets and
    routes that its settings declare now. `mac` is the log's keyed hash, None where its key is not at hand."""

    log: Engine
    archive: Path
    targets: tuple[Target, ...]
    routes: Mapping[str, Route]
    mac: Callable[[bytes], str] | None

    def served(self, model: str) -> tuple[Target, ...]:
        """The targets that could answer for a model; none for a model that is not configured now."""
        known = {target.id: target for target in self.targets}
        route = self.routes.get(model)
        return () if route is None else tuple(known[name] for name in route.targets)

    def policy(self, digest: str) -> CompiledPolicy:
        """Raises `ConfigurationError` as `archived` does."""
        return archived(self.archive, digest)

    def of_decision(self, decision: str) -> tuple[AuditRecord, ...]:
        """All records of one decision, in order. Raises `ConfigurationError` for one that cannot be read."""
        try:
            return tuple(decode(row.body) for row in log_table.of_decision(self.log, decision))
        except ValueError:
            raise ConfigurationError(
                f"a record of the decision {decision!r} cannot be read; run: bailiwick audit verify"
            ) from None

    def stretch(self, since: int, until: int | None) -> range:
        """Where the records of a time are (microseconds since the epoch); with a margin on both sides."""
        return log_table.stretch(self.log, since, until)

    def bodies(self, seqs: range) -> Iterator[tuple[int, list[bytes]]]:
        """Their bodies in blocks, each with the number of `seqs` that it covers."""
        return log_table.bodies(self.log, seqs)


@contextmanager
def open_history(settings: Settings, *, priced: bool = True) -> Iterator[History]:
    """Raises `ConfigurationError`, also from within the block when the log cannot be read on. Without `priced`, the
    targets need no measured speed, for what asks for no price."""
    targets = declared(settings, measured=priced)
    engine = open_log(settings.storage.url("audit"), create=False)
    try:
        yield History(
            log=engine,
            archive=settings.storage.folder / "policies",
            targets=targets,
            routes={route.name: route for route in settings.routes},
            mac=_mac(settings.storage.folder),
        )
    except SQLAlchemyError as error:
        raise ConfigurationError(f"the audit database cannot be read: {reason(error)}") from error
    finally:
        engine.dispose()


def _mac(folder: Path) -> Callable[[bytes], str] | None:
    """None without the secret, and where it may not be read: an auditor need not have it. Never makes one."""
    if VARIABLE not in os.environ and not (folder / "secret.key").exists():
        return None
    try:
        return LogMac(derive(load_secret(folder), "audit-mac")).label
    except ConfigurationError:
        return None


def day_budget(settings: Settings, tenant: str, app: str, day: date) -> DayBudget | None:
    """What the ledger says now of an app's budget of one day. None where no ledger can tell: it is in Redis, or there
    is none yet."""
    if settings.storage.redis_url is not None:
        return None
    try:
        engine = open_engine(settings.storage.url("budgets"), durable=False, create=False)
    except ConfigurationError:
        return None
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    try:
        with reading(engine) as connection:
            row = execute_plain(
                connection,
                f"SELECT spent, reserved FROM budgets WHERE scope = {mark}",  # noqa: S608 (a mark)
                (f"{tenant}/{app}/{day.isoformat()}",),
            ).fetchone()
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()
    return DayBudget(0, 0) if row is None else DayBudget(int(row[0]), int(row[1]))
