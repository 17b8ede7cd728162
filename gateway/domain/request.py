"""Who calls, what was asked, and the values handed from step to step."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.decision import Level, TargetVerdict
from gateway.domain.money import NanoUsd
from gateway.domain.target import Target
from gateway.domain.tree import JsonObject


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of an API key. `key` is the key's public id, never the secret."""

    key: str
    tenant: str
    app: str
    group: str
    role: str


@dataclass(frozen=True, slots=True)
class Hints:
    """What a caller may ask for beyond the wire format; each can only make the outcome stricter. `labels` are words of
    the caller's own for what is in the request, which rules may look at; `conversation` is the caller's name of the
    conversation that the request belongs to."""

    user: str = ""
    min_level: Level | None = None
    max_cost: NanoUsd | None = None
    max_first_token: float | None = None
    labels: tuple[str, ...] = ()
    conversation: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class InferenceRequest:
    """A parsed request. `body` is the client's whole JSON tree, never changed in place.

    `max_output_tokens` is the caller's own bound per choice, or None. `wants_usage` says whether a streaming
    caller asked for the usage chunk. `together` says whether a model reads all of it in one context; else (texts to
    embed) each text has one of its own. The repr is the class name only: the body is content.
    """

    dialect: str
    body: JsonObject
    size: int
    model: str
    stream: bool
    choices: int
    max_output_tokens: int | None
    user: str
    wants_usage: bool
    together: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target that may be tried. `clamp` is the output bound (tokens per choice) to write into the request, or
    None to leave it; `worst_cost` is the most the call can cost with it. `late` is whether its first token is expected
    after the decision's limit. `paused` and `full` say that its servers are
    known to be down, or to have as many waiting as they should: it is tried when nothing better is left."""

    target: Target
    worst_cost: NanoUsd
    clamp: int | None
    expected_first_token: float | None
    late: bool = False
    paused: bool = False
    full: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Candidates in the order to try them, and every other target with the reason it was rejected."""

    candidates: tuple[Candidate, ...]
    rejected: tuple[TargetVerdict, ...]
