"""Every name that telemetry may use: spans, their steps and their attributes, in one table.

The `gen_ai.*` names follow the OpenTelemetry GenAI semantic conventions, all of status *Development*, as of schema
1.44.0; the rest are our own, under ``bailiwick.``. A trace refuses a name that is not here, and a test checks that
every name here is in docs/telemetry.md and that every `gen_ai.*` name is in the installed conventions.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

OPERATIONS: Final = frozenset({"chat", "text_completion", "embeddings"})
"""The values of `OPERATION` that may stand in the name of a root span."""

PARSE: Final = "parse"
INSPECT: Final = "inspect"
DECIDE: Final = "decide"
SELECT: Final = "select"
RESERVE: Final = "reserve"
REDACT: Final = "redact"
GUARD: Final = "guard"
DISPATCH: Final = "dispatch"
RESTORE: Final = "restore"
RECORD: Final = "record"

STEPS: Final[dict[str, str]] = {
    PARSE: "bytes to a request",
    INSPECT: "find personal and secret data in every text",
    DECIDE: "apply the policy",
    SELECT: "rank the permitted targets",
    RESERVE: "set the worst cost aside",
    REDACT: "replace what must not leave",
    GUARD: "check the final bytes",
    DISPATCH: "one attempt at one target, until it begins to answer",
    RESTORE: "take the answer in, and put the hidden values back into it",
    RECORD: "settle the cost and write the audit record",
}

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_CHOICES: Final = "gen_ai.request.choice.count"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
ERROR: Final = "error.type"
STATUS: Final = "http.response.status_code"
ROUTE: Final = "http.route"

DECISION: Final = "bailiwick.decision"
TENANT: Final = "bailiwick.tenant"
APP: Final = "bailiwick.app"
KEY: Final = "bailiwick.key"
DIALECT: Final = "bailiwick.dialect"
POLICY: Final = "bailiwick.policy"
LEVEL: Final = "bailiwick.level"
ACTION: Final = "bailiwick.action"
BECAUSE: Final = "bailiwick.because"
PERMITTED: Final = "bailiwick.permitted"
WOULD: Final = "bailiwick.would"
WOULD_ACTION: Final = "bailiwick.would_action"
TARGET: Final = "bailiwick.target"
ZONE: Final = "bailiwick.zone"
REGION: Final = "bailiwick.region"
OUTCOME: Final = "bailiwick.outcome"
COST_USD: Final = "bailiwick.cost_usd"
COST_BASIS: Final = "bailiwick.cost_basis"
RESERVED_USD: Final = "bailiwick.reserved_usd"
BUDGET: Final = "bailiwick.budget"
DETECTOR: Final = "bailiwick.detector"
FINDINGS: Final = "bailiwick.findings"
UNREADABLE: Final = "bailiwick.unreadable"
LEAVES: Final = "bailiwick.leaves"
CHARACTERS: Final = "bailiwick.characters"
PROMPT_TOKENS: Final = "bailiwick.prompt_tokens"
CANDIDATES: Final = "bailiwick.candidates"
EXPECTED_FIRST_TOKEN: Final = "bailiwick.expected_first_token"  # noqa: S105 (no password)
ATTEMPT: Final = "bailiwick.attempt"
HIDDEN: Final = "bailiwick.hidden"
RESTORED: Final = "bailiwick.restored"
MASKED: Final = "bailiwick.masked"
REQUEST_BYTES: Final = "bailiwick.request_bytes"
SENT_BYTES: Final = "bailiwick.sent_bytes"

ATTRIBUTES: Final[dict[str, str]] = {
    OPERATION: "chat, text_completion or embeddings",
    PROVIDER: "who runs the model",
    REQUEST_MODEL: "configured name of the model that the caller asked for",
    REQUEST_STREAM: "whether the caller asked for a stream",
    REQUEST_CHOICES: "answers asked for",
    REQUEST_MAX_TOKENS: "tokens; output bound per choice as sent",
    RESPONSE_MODEL: "configured name of the model that answered",
    FIRST_CHUNK: "seconds from sending to the first event",
    INPUT_TOKENS: "tokens, cached ones included",
    OUTPUT_TOKENS: "tokens",
    CACHED_TOKENS: "tokens read from the provider's cache",
    ERROR: "error code, or the class of an unexpected exception",
    STATUS: "HTTP status sent to the caller",
    ROUTE: "path template of the API",
    DECISION: "id of the decision, as in the audit log and the answer's header",
    TENANT: "the caller's tenant",
    APP: "the caller's application",
    KEY: "public id of the API key",
    DIALECT: "wire format of the caller",
    POLICY: "first 12 digits of the policy's hash",
    LEVEL: "sensitivity: public, internal, confidential or restricted",
    ACTION: "allow, redact, local_only, require_approval or block",
    BECAUSE: "ids of the rules that had a say",
    PERMITTED: "ids of the targets that the policy permits",
    WOULD: "ids of what is in audit mode and would have had a say",
    WOULD_ACTION: "the action, were everything in audit mode enforced",
    TARGET: "id of the target",
    ZONE: "local or cloud",
    REGION: "the target's region",
    OUTCOME: "how the request ended",
    COST_USD: "US dollars",
    COST_BASIS: "usage (the provider's count) or reserved (the most it can be)",
    RESERVED_USD: "US dollars set aside",
    BUDGET: "ok or spent",
    DETECTOR: "ok, failed or timed_out",
    FINDINGS: "distinct values found",
    UNREADABLE: "parts that no detector can read",
    LEAVES: "texts inspected",
    CHARACTERS: "characters inspected",
    PROMPT_TOKENS: "tokens; upper bound of the prompt",
    CANDIDATES: "targets that may be tried",
    EXPECTED_FIRST_TOKEN: "seconds; predicted time to first token",
    ATTEMPT: "number of the attempt, from 1",
    HIDDEN: "values replaced before sending",
    RESTORED: "values put back into the answer",
    MASKED: "values of the model's own that were hidden in the answer",
    REQUEST_BYTES: "bytes received",
    SENT_BYTES: "bytes sent to the target",
}
"""Attribute to what it means, with its unit."""

MODELS: Final = frozenset({REQUEST_MODEL, RESPONSE_MODEL})
"""Attributes whose value must be a configured model name: what a caller writes there is the caller's text."""
