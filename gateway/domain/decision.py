"""Facts go in, a decision comes out: the two values at the border of the policy package."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum, StrEnum

from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import NanoUsd


class Level(IntEnum):
    """Sensitivity, lowest first."""

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2
    RESTRICTED = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Gate(IntEnum):
    """May the request go anywhere at all? Strictest last, so that joining two is `max`."""

    ALLOW = 0
    REQUIRE_APPROVAL = 1
    BLOCK = 2


class Action(StrEnum):
    """The words a policy file uses; also the one-word summary of a decision."""

    ALLOW = "allow"
    REDACT = "redact"
    LOCAL_ONLY = "local_only"
    REQUIRE_APPROVAL = "require_approval"
    BLOCK = "block"


class BudgetState(StrEnum):
    OK = "ok"
    SPENT = "spent"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a policy may look at, and nothing else; holds no content, so it can be recorded and replayed.

    `user` is empty when the request names none. `prompt_tokens` is an estimate (four characters a token); money is
    never reserved by it. `as_of` is the date (UTC) by which exceptions and audit-mode rules expire, `minute` the
    minute of that day. `labels` and the three hints come from the caller and can only tighten. `history_level` is the
    highest level that the conversation had before; `approved` says that everybody who had to approve this very
    request has done so.
    """

    tenant: str
    app: str
    group: str
    role: str
    user: str
    dialect: str
    model: str
    found: tuple[Found, ...]
    detector: DetectorState
    unreadable: bool
    prompt_tokens: int
    as_of: date
    budget: BudgetState = BudgetState.OK
    redaction_incomplete: bool = False
    min_level: Level | None = None
    max_cost: NanoUsd | None = None
    max_first_token: float | None = None
    minute: int = 0
    labels: tuple[str, ...] = ()
    history_level: Level | None = None
    approved: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that had a say: a rule's id (or a place in the file such as ``handling.restricted``)."""

    rule: str
    effect: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class PolicyId:
    """`hash` is the SHA-256 (hex) of the policy's meaning-bearing bytes; answers carry its first 12 digits."""

    name: str
    version: int
    hash: str

    @property
    def short(self) -> str:
        return self.hash[:12]


@dataclass(frozen=True, slots=True)
class TargetVerdict:
    """Whether the policy permits a target, and if not, why not, in words for people."""

    target: str
    permitted: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A data type to hide from clouds: every finding of `entity` with at least this confidence."""

    entity: str
    percent: int


class LogContent(IntEnum):
    """May the content of a request be kept? Strictest last."""

    UNSAID = 0
    ENCRYPTED = 1
    NEVER = 2


@dataclass(frozen=True, slots=True)
class ApprovalNeeded:
    """What `rule` asks for before the request may go: the word of one member of one of these groups of API keys, which
    then holds for `seconds`."""

    rule: str
    approvers: tuple[str, ...]
    seconds: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What would have been decided if everything in audit mode were enforced; `permitted` are ids of targets."""

    action: Action
    permitted: frozenset[str]


@dataclass(frozen=True, slots=True)
class Decision:
    """A point in a product of lattices; every field only ever tightens when another rule matches.

    `regions` None means any. `redact` lists what must be hidden before the bytes leave (empty: nothing).
    `cost_cap` and `day_limit` are nano-dollars, None meaning no limit; `first_token` is seconds.
    `hide_in_answers` lists what a model may not tell of its own. `would` lists what audit-mode rules (or an audit-mode
    policy) would have added, without effect, and `trial` what would have come of it; None where `would` is empty.
    `notify` names channels to tell, `retain_days` bounds how long anything of the request is kept (None: nothing said),
    and `approvals` is what was asked for where the gate is, or but for an approval would be, REQUIRE_APPROVAL.
    """

    policy: PolicyId
    level: Level
    action: Action
    gate: Gate
    cloud: bool
    regions: frozenset[str] | None
    redact: tuple[Hidden, ...]
    provider_must_have: frozenset[str]
    cost_cap: NanoUsd | None
    day_limit: NanoUsd | None
    first_token: float | None
    tell_user: tuple[str, ...]
    reasons: tuple[Reason, ...]
    would: tuple[Reason, ...]
    targets: tuple[TargetVerdict, ...]
    hide_in_answers: tuple[Hidden, ...] = ()
    notify: tuple[str, ...] = ()
    retain_days: int | None = None
    log_content: LogContent = LogContent.UNSAID
    approvals: tuple[ApprovalNeeded, ...] = ()
    trial: Trial | None = None

    @property
    def permitted(self) -> frozenset[str]:
        """Ids of the targets that may receive this request; fallback never leaves this set."""
        return frozenset(verdict.target for verdict in self.targets if verdict.permitted)

    @property
    def obliges(self) -> bool:
        """Is anything to be done besides deciding: somebody told, something deleted in time?"""
        return bool(self.notify or self.retain_days or self.log_content)

    def hides(self, entity: str, percent: int) -> bool:
        """Must a finding of this entity and confidence be hidden from a cloud?"""
        return any(entity == hidden.entity and percent >= hidden.percent for hidden in self.redact)

    def hides_in_answer(self, entity: str, percent: int) -> bool:
        """Must a finding of this entity and confidence be hidden in the answer?"""
        return any(entity == hidden.entity and percent >= hidden.percent for hidden in self.hide_in_answers)
