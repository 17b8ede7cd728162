"""From error codes to HTTP answers in OpenAI's shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.dialects import openai_chat
from gateway.domain.errors import Code, GatewayError, ProviderError

STATUS: Mapping[Code, int] = {
    Code.INVALID_JSON: 400,
    Code.INVALID_REQUEST: 400,
    Code.REQUEST_TOO_LARGE: 413,
    Code.REQUEST_TIMEOUT: 408,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.UNKNOWN_PATH: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.MODEL_NOT_FOUND: 404,
    Code.DECISION_NOT_FOUND: 404,
    Code.APPROVAL_NOT_FOUND: 404,
    Code.APPROVAL_CLOSED: 409,
    Code.BLOCKED: 403,
    Code.APPROVAL_REQUIRED: 403,
    Code.APPROVAL_DENIED: 403,
    Code.NO_TARGET: 403,
    Code.BUDGET_SPENT: 429,
    Code.COST_CAP: 403,
    Code.OVERLOADED: 503,
    Code.SHUTTING_DOWN: 503,
    Code.TARGET_UNAVAILABLE: 503,
    Code.TARGET_BUSY: 429,
    Code.TARGET_RATE_LIMITED: 429,
    Code.TARGET_TIMEOUT: 504,
    Code.TARGET_BAD_ANSWER: 502,
    Code.ANSWER_NOT_INSPECTED: 502,
    Code.TARGET_REFUSED: 502,
    Code.EGRESS_REFUSED: 403,
    Code.AUDIT_UNAVAILABLE: 503,
    Code.BUDGETS_UNAVAILABLE: 503,
    Code.APPROVALS_UNAVAILABLE: 503,
    Code.KEYS_UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}

# A client SDK retries 408, 409, 429 and 5xx by itself. Where a retry cannot help, it is told not to.
_FINAL = frozenset({Code.APPROVAL_CLOSED, Code.BUDGET_SPENT, Code.EGRESS_REFUSED, Code.INTERNAL})


@dataclass(frozen=True, slots=True)
class Rendered:
    status: int
    headers: Mapping[str, str]
    body: bytes


def render(error: GatewayError, decision: str | None, headers: Mapping[str, str] | None = None) -> Rendered:
    """The answer for an error. A provider's own error body is handed on with its status, where the fault is the
    caller's; everything else is our sentence, code and decision id."""
    status = STATUS[error.code]
    answer_headers = {"content-type": "application/json", **(headers or {})}
    if error.retry_after is not None:
        answer_headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))  # earlier would be in vain
    if error.code in _FINAL:
        answer_headers["x-should-retry"] = "false"
    if isinstance(error, ProviderError) and error.answer is not None and error.status is not None:
        return Rendered(error.status, answer_headers, error.answer)
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    code = error.code.value
    body = openai_chat.error_body(code, error.public, kind, param=error.param, decision=decision, **error.more)
    return Rendered(status, answer_headers, body)
