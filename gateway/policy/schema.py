"""What a policy file means, as frozen values. Made by `gateway.policy.load`; everything in it has been checked.

Whatever the file's order, rules, exceptions, data types and lines are held in one canonical order, because order
never matters: two files that mean the same are equal here and have the same hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TypeAlias

from gateway.domain.decision import Action, Level
from gateway.domain.money import NanoUsd

SCHEMA = 1
WHO = ("tenant", "app", "group", "role", "user")
"""The conditions about who asks; exceptions are made for somebody, so they may use only these."""
NAMED = (*WHO, "model", "api")
"""The conditions that compare one name of the facts with a list."""
FACT_OF = {name: name for name in NAMED} | {"api": "dialect"}
"""Which field of the facts a condition of `NAMED` looks at."""
ADDED = {"added": True}
"""Marks a field that came later: at its default it is left out of the hash, so that no old policy's hash changes."""
UNSURE = ("detector_fails", "unreadable_content", "redaction_incomplete", "no_target_left")


@dataclass(frozen=True, slots=True, order=True)
class DataType:
    """A kind of data in the policy's own words. A finding of an entity in `detect` counts from `percent` (0 to 100)
    confidence."""

    name: str
    detect: tuple[str, ...]
    percent: int


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One line of a level. Either `any_of` or `all_of` holds data type names.

    `any_of` is true with `at_least` distinct values altogether, `all_of` with `at_least` distinct values of each.
    """

    any_of: tuple[str, ...]
    all_of: tuple[str, ...]
    at_least: int


LevelLines: TypeAlias = "tuple[tuple[Level, tuple[Line, ...]], ...]"
"""The lines of each level that has any, the highest first."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Who may approve a request, and for how long that holds. `approvers` are groups of API keys, one member of which
    is enough; `seconds` is from the approval to its last use."""

    approvers: tuple[str, ...]
    seconds: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule, a handling or an unsure case asks for; each field can only tighten.

    `regions` None means any. `redact` holds the data types to hide, or is None for all of them. `cost_per_request`
    is nano-dollars, `first_token` seconds. `hide_in_answers` holds the data types that a model may not tell. `notify`
    names the channels to tell, `retain_days` is how long what is kept of the request may be kept, `log_content` is
    ``never``, ``encrypted`` or empty for nothing asked. `approval` is set where `action` is require_approval.
    """

    action: Action = Action.ALLOW
    regions: tuple[str, ...] | None = None
    provider_must_have: tuple[str, ...] = ()
    cost_per_request: NanoUsd | None = None
    first_token: float | None = None
    redact: tuple[str, ...] | None = ()
    tell_user: str = ""
    hide_in_answers: tuple[str, ...] = field(default=(), metadata=ADDED)
    notify: tuple[str, ...] = field(default=(), metadata=ADDED)
    retain_days: int | None = field(default=None, metadata=ADDED)
    log_content: str = field(default="", metadata=ADDED)
    approval: Approval | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, slots=True, order=True)
class Times:
    """A time of the week on the clocks of `zone` (an IANA name). `days` are 0 (Monday) to 6; `start` and `end` are
    minutes of the day, `end` not included. Where `start` is not before `end`, it goes on into the next day, and `days`
    are those on which it begins."""

    days: tuple[int, ...]
    start: int
    end: int
    zone: str


@dataclass(frozen=True, slots=True)
class When:
    """Conditions, all of which must hold; an empty one always does. A list means *one of these*.

    `names` pairs a condition of `NAMED` with the names it accepts. `over_tokens` None means any prompt size. `line`
    counts what was found, as a line of a level does; `declared` are labels of which the caller gave one.
    """

    names: tuple[tuple[str, tuple[str, ...]], ...] = ()
    levels: tuple[Level, ...] = ()
    contains: tuple[str, ...] = ()
    over_tokens: int | None = None
    line: Line | None = field(default=None, metadata=ADDED)
    declared: tuple[str, ...] = field(default=(), metadata=ADDED)
    times: Times | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class Rule:
    """`until` is set for audit-mode rules only: the last day on which they are looked at."""

    id: str
    why: str
    when: When
    then: Outcome
    audit: bool = False
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Waiver:
    """An entry of ``exceptions``: lifts one rule for somebody, up to and including the day `expires`."""

    id: str
    lifts: str
    who: When
    approved_by: str
    ticket: str
    expires: date


@dataclass(frozen=True, slots=True)
class Amounts:
    """Money in nano-dollars, `first_token` in seconds; None means nothing is said."""

    first_token: float | None = None
    per_request: NanoUsd | None = None
    per_app_per_day: NanoUsd | None = None


@dataclass(frozen=True, slots=True)
class LimitScope:
    """Limits for somebody in place of the default. Of two that fit, the more specific one has its say, for each
    amount by itself."""

    who: When
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Limits:
    """The default, which is what most get. Money in nano-dollars, `first_token` in seconds; None means no limit.
    `when_spent` is local_only or block. `scopes` are for somebody, the most specific first; nobody exceeds `ceiling`.
    """

    first_token: float | None = None
    per_request: NanoUsd | None = None
    per_app_per_day: NanoUsd | None = None
    when_spent: Action = Action.BLOCK
    scopes: tuple[LimitScope, ...] = field(default=(), metadata=ADDED)
    ceiling: Amounts | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy. `audit` is the policy's own mode: record what would happen, enforce no rule or handling.

    `handling` has all four levels, lowest first; `unsure` all of `UNSURE`, each local_only or block. `answers` holds
    the data types to hide in every answer. `tenants` are those that the policy is for; empty means everybody.
    `region_sets` are kept for what speaks of the policy: in the policy itself they are written out.
    """

    name: str
    version: int
    owner: str
    audit: bool
    data_types: tuple[DataType, ...]
    levels: LevelLines
    handling: tuple[Outcome, Outcome, Outcome, Outcome]
    limits: Limits
    unsure: tuple[tuple[str, Action], ...]
    rules: tuple[Rule, ...]
    waivers: tuple[Waiver, ...]
    answers: tuple[str, ...] = field(default=(), metadata=ADDED)
    tenants: tuple[str, ...] = field(default=(), metadata=ADDED)
    region_sets: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), metadata=ADDED)
