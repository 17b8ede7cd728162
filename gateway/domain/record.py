"""The audit record. It has no field that can hold content: every text in it is a `Label`, an id from a closed world
(configuration, rule names, entity names, error codes) or a keyed hash, and is checked when the record is made."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import NewType

from gateway.domain.finding import Found
from gateway.domain.money import NanoUsd

Label = NewType("Label", str)
"""At most 96 characters, one line, of a small alphabet: ids, rule names, hashes. Never text from a request."""

_ONE = r"[A-Za-z0-9_.:/@+\- ]{0,96}"
_LABEL = re.compile(_ONE, re.ASCII)
_ALL_LABELS = re.compile(rf"{_ONE}(?:\n{_ONE})*", re.ASCII)
UNKNOWN = Label("unknown")


class RecordKind(StrEnum):
    """INTENT is durable before the first byte leaves; OUTCOME follows; REFUSAL is a request that went nowhere;
    EVENT is something that happened to the gateway itself (start, policy loaded, key made, probe failed)."""

    INTENT = "intent"
    OUTCOME = "outcome"
    REFUSAL = "refusal"
    EVENT = "event"


@lru_cache(4096)  # the same few names again and again
def label(text: str) -> Label:
    """`text` as a label; characters outside the alphabet become ``-`` and the rest is cut. For configured names."""
    return Label(re.sub(r"[^A-Za-z0-9_.:/@+\- ]", "-", text)[:96])


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One line of the audit log. Amounts are nano-dollars, times milliseconds, sizes bytes.

    `at` is microseconds since the epoch (UTC). `user` and the `*_mac` fields are keyed hashes. `found` is what was
    found in the request, `hidden` what was pseudonymised, both as counts. `attempt` counts from 1. `cost_basis` says
    where `cost` comes from: ``usage`` (the provider's count) or ``reserved`` (unknown, so the most it can be).
    `minute` is the minute (UTC) of the day `as_of`; `approval` the id of the approval that let the request go, or of
    the one that it waits for. `would_action` and `would_permitted` are what would have been decided if everything in
    audit mode were enforced; empty where nothing is.
    Facts and decision together let anybody with the policy of that hash recompute the decision.
    """

    kind: RecordKind
    at: int
    decision: Label
    event: Label = Label("")
    tenant: Label = Label("")
    app: Label = Label("")
    group: Label = Label("")
    role: Label = Label("")
    key: Label = Label("")
    user: Label = Label("")
    dialect: Label = Label("")
    model: Label = Label("")
    stream: bool = False
    body_bytes: int = 0
    body_mac: Label = Label("")
    found: tuple[Found, ...] = ()
    detector: Label = Label("")
    unreadable: bool = False
    prompt_tokens: int = 0
    as_of: date | None = None
    budget: Label = Label("")
    redaction_incomplete: bool = False
    min_level: Label = Label("")
    max_cost: NanoUsd | None = None
    max_first_token_ms: int | None = None
    minute: int = 0
    labels: tuple[Label, ...] = ()
    history_level: Label = Label("")
    approval: Label = Label("")
    policy: Label = Label("")
    level: Label = Label("")
    action: Label = Label("")
    because: tuple[Label, ...] = ()
    would: tuple[Label, ...] = ()
    permitted: tuple[Label, ...] = ()
    would_action: Label = Label("")
    would_permitted: tuple[Label, ...] = ()
    notified: tuple[Label, ...] = ()
    retain_days: int | None = None
    log_content: Label = Label("")
    target: Label = Label("")
    zone: Label = Label("")
    attempt: int = 0
    sent_bytes: int = 0
    sent_mac: Label = Label("")
    hidden: tuple[Found, ...] = ()
    reserved: NanoUsd = NanoUsd(0)
    outcome: Label = Label("")
    error: Label = Label("")
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cost: NanoUsd = NanoUsd(0)
    cost_basis: Label = Label("")
    restored: int = 0
    masked: int = 0
    first_token_ms: int | None = None
    total_ms: int | None = None
    trace: Label = Label("")

    def __post_init__(self) -> None:
        texts = [*_LABELS(self), *self.because, *self.would, *self.permitted, *self.labels, *self.would_permitted]
        texts += self.notified
        texts += [item.entity for item in self.found]
        texts += [item.entity for item in self.hidden]
        joined = "\n".join(texts)  # all at once: one by one costs more than writing the record
        if joined.count("\n") != len(texts) - 1 or not _ALL_LABELS.fullmatch(joined):
            raise ValueError(f"audit record: {_culprit(self)} is not a label")  # the text itself stays out of it


def _culprit(record: AuditRecord) -> str:
    """The name of the first field with a text that is no label."""
    for name in _LABEL_FIELDS:
        if not _LABEL.fullmatch(getattr(record, name)):
            return name
    for name in ("because", "would", "permitted", "labels", "would_permitted", "notified"):
        if not all(_LABEL.fullmatch(text) for text in getattr(record, name)):
            return name
    return "found or hidden"


_LABEL_FIELDS = tuple(f.name for f in fields(AuditRecord) if f.type == "Label")
_LABELS = attrgetter(*_LABEL_FIELDS)
