"""Errors: a stable code, a sentence for the caller, a detail for the operator. Only `gateway.http` knows statuses.

A `public` sentence may go to any caller, so it never holds content of another request, file paths or addresses;
a `detail` may go to the log, so it never holds content of any request.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gateway.domain.tree import Json


class Code(StrEnum):
    """Every error code; documented in docs/errors.md, by test."""

    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    REQUEST_TOO_LARGE = "request_too_large"
    REQUEST_TIMEOUT = "request_timeout"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNAUTHENTICATED = "invalid_api_key"
    FORBIDDEN = "forbidden"
    UNKNOWN_PATH = "unknown_path"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    MODEL_NOT_FOUND = "model_not_found"
    DECISION_NOT_FOUND = "decision_not_found"
    APPROVAL_NOT_FOUND = "approval_not_found"
    APPROVAL_CLOSED = "approval_closed"
    BLOCKED = "blocked_by_policy"
    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_DENIED = "approval_denied"
    NO_TARGET = "no_permitted_target"
    BUDGET_SPENT = "budget_spent"
    COST_CAP = "cost_cap_exceeded"
    OVERLOADED = "overloaded"
    SHUTTING_DOWN = "shutting_down"
    TARGET_UNAVAILABLE = "target_unavailable"
    TARGET_BUSY = "target_busy"
    TARGET_RATE_LIMITED = "target_rate_limited"
    TARGET_TIMEOUT = "target_timeout"
    TARGET_BAD_ANSWER = "target_bad_answer"
    ANSWER_NOT_INSPECTED = "answer_not_inspected"
    TARGET_REFUSED = "target_refused"
    EGRESS_REFUSED = "egress_refused"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    BUDGETS_UNAVAILABLE = "budgets_unavailable"
    APPROVALS_UNAVAILABLE = "approvals_unavailable"
    KEYS_UNAVAILABLE = "keys_unavailable"
    INTERNAL = "internal_error"


class GatewayError(Exception):
    """The root of all errors that reach a caller. `param` names the field at fault; `retry_after` is seconds. `more`
    are further members of the error in the answer's body, for programs; like `public` they hold no content."""

    def __init__(
        self,
        code: Code,
        public: str,
        *,
        detail: str = "",
        param: str | None = None,
        retry_after: float | None = None,
        more: Mapping[str, Json] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail or public}")
        self.code = code
        self.public = public
        self.detail = detail
        self.param = param
        self.retry_after = retry_after
        self.more = dict(more or {})


class ProviderError(GatewayError):
    """A target did not answer properly.

    `retryable` says whether another target may be tried. `answer` is the provider's own error body where the fault
    is the caller's (a 400, say), to be handed on with its `status`; otherwise None. `sent` False says that the target
    did no work on it (no connection could be made, its queue is full), so that it cannot have cost anything.
    """

    def __init__(
        self,
        code: Code,
        public: str,
        *,
        detail: str = "",
        retryable: bool = True,
        retry_after: float | None = None,
        status: int | None = None,
        answer: bytes | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(code, public, detail=detail, retry_after=retry_after)
        self.retryable = retryable
        self.status = status
        self.answer = answer
        self.sent = sent


class BudgetSpent(GatewayError):
    """A reservation would exceed a limit. `scope` names the budget, such as ``app support-bot, day``."""

    def __init__(self, scope: str) -> None:
        super().__init__(Code.BUDGET_SPENT, f"The budget of {scope} is spent.")
        self.scope = scope


class ConfigurationError(Exception):
    """A file or a setting is wrong; `str()` is a complete message for the person at the terminal."""
