"""An audit record in words: as one line of a table, and as a list of what it says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from gateway.domain.finding import Found
from gateway.domain.money import NanoUsd, in_usd
from gateway.domain.record import AuditRecord, RecordKind

COLUMNS: Final = (
    "time", "kind", "decision", "app", "level", "action", "target", "cost USD", "outcome", "because"
)  # fmt: skip


def line(record: AuditRecord, app: str) -> tuple[str, ...]:
    """The cells of `COLUMNS`. `app` stands for the record's own where it has none."""
    moment = datetime.fromtimestamp(record.at / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    outcome = " ".join(filter(None, (record.event, record.outcome, record.error)))
    because = ", ".join(record.because)
    cells = (moment, record.kind.value, record.decision, app, record.level, record.action, record.target)
    return (*cells, _cost(record), outcome, because)


def describe(record: AuditRecord) -> Iterator[tuple[str, str]]:
    """Name and text of everything that the record says."""
    said = (*_asked(record), *_decided(record), *_sent(record), *_came_of_it(record), ("trace", record.trace))
    yield "time", datetime.fromtimestamp(record.at / 1e6, UTC).isoformat(sep=" ", timespec="milliseconds")
    yield from ((name, words) for name, words in said if words)


def _asked(record: AuditRecord) -> Iterator[tuple[str, str]]:
    yield "event", record.event
    who = "/".join(filter(None, (record.tenant, record.app)))
    yield "caller", _listed(who, _named("group", record.group), _named("role", record.role), _named("key", record.key))
    yield "user", record.user and f"{record.user} (keyed hash)"
    size = f"{record.body_bytes:,} bytes" if record.body_bytes else ""
    model = _named("model", record.model)
    yield "request", _listed(record.dialect, model, "streamed" if record.stream else "", size)
    yield "hash of it", record.body_mac and f"{record.body_mac} (keyed)"
    yield "found", _counts(record.found)
    unsure = (
        _named("detector", record.detector) if record.detector not in ("", "ok") else "",
        "unreadable parts" if record.unreadable else "",
        "redaction incomplete" if record.redaction_incomplete else "",
    )
    yield "unsure", _listed(*unsure)


def _decided(record: AuditRecord) -> Iterator[tuple[str, str]]:
    hints = (
        f"level {record.min_level} or higher" if record.min_level else "",
        "" if record.max_cost is None else f"at most {_usd(record.max_cost)}",
        "" if record.max_first_token_ms is None else f"first token in {record.max_first_token_ms:,} ms",
    )
    yield "asked for", _listed(*hints)
    budget = _named("budget", record.budget) if record.budget not in ("", "ok") else ""
    yield "decision", _listed(_named("level", record.level), _named("action", record.action), budget)
    yield "because", ", ".join(record.because)
    yield "would add", ", ".join(record.would)
    yield "permitted", ", ".join(record.permitted) or ("no target" if record.action else "")
    as_of = f"as of {record.as_of.isoformat()}" if record.as_of else ""
    yield "policy", _listed(record.policy, as_of)


def _sent(record: AuditRecord) -> Iterator[tuple[str, str]]:
    attempt = f"attempt {record.attempt}" if record.attempt else ""
    size = f"{record.sent_bytes:,} bytes" if record.sent_bytes else ""
    target = f"{record.target} ({record.zone})" if record.zone else record.target
    yield "target", _listed(target, attempt, size) if record.target else ""
    yield "hidden", _counts(record.hidden)
    yield "reserved", _usd(record.reserved) if record.reserved else ""


def _came_of_it(record: AuditRecord) -> Iterator[tuple[str, str]]:
    yield "detail" if record.kind is RecordKind.EVENT else "outcome", _listed(record.outcome, record.error)
    if record.kind is not RecordKind.OUTCOME:
        return
    cached = f" ({record.cached_input_tokens:,} cached)" if record.cached_input_tokens else ""
    yield "tokens", f"{record.input_tokens:,} in{cached}, {record.output_tokens:,} out"
    yield "cost", _listed(_usd(record.cost), _named("by", record.cost_basis))
    yield "restored", f"{record.restored:,} values" if record.restored else ""
    first = "" if record.first_token_ms is None else f"first token {record.first_token_ms:,} ms"
    yield "timing", _listed(first, "" if record.total_ms is None else f"total {record.total_ms:,} ms")


def _cost(record: AuditRecord) -> str:
    if record.kind is RecordKind.INTENT:
        return f"<= {in_usd(record.reserved)}" if record.reserved else "0"
    return in_usd(record.cost) if record.kind is RecordKind.OUTCOME else ""


def _usd(amount: NanoUsd) -> str:
    return f"{in_usd(amount)} USD"


def _counts(found: tuple[Found, ...]) -> str:
    return ", ".join(f"{item.distinct} {item.entity} ({item.percent} %)" for item in found)


def _named(name: str, value: str) -> str:
    return f"{name} {value}" if value else ""


def _listed(*parts: str) -> str:
    return ", ".join(filter(None, parts))
