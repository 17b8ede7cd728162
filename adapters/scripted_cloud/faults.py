"""The ways in which the scripted cloud can fail, and how a request asks for one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "<status>": "answers with this HTTP status, 400 to 599, and an error in OpenAI's shape; 429 and 503 say when "
        "to come back",
        "reset": "resets the TCP connection in the middle of the answer",
        "reset-early": "resets the TCP connection before the answer",
        "hang": "never answers",
        "stall": "stops in the middle of the answer and keeps the connection open",
        "slow": "waits before the answer and between its pieces",
        "malformed": "answers with broken JSON, also in place of a stream",
        "html": "answers with a web page",
        "empty": "answers with nothing in it",
        "truncated": "ends the answer early: a stream without [DONE], a body shorter than announced",
        "badchunk": "puts an event that is not JSON into a stream",
        "error-event": "puts an error object into a stream that has begun, or answers 200 with one",
        "redirect": "sends the client somewhere else",
        "cut<N>": "writes the answer to the network N bytes at a time",
        "big<N>": "answers with N MiB; a stream sends them in one event",
        "gzip": "compresses the answer",
        "comments": "sends comments, which keep a connection alive, and never an event",
        "no-blank-line": "forgets the last line end of a stream, after [DONE]",
    }
)
"""Each name with what it does; ``<N>`` and ``<status>`` stand for a number."""

_NUMBERED = re.compile(r"(cut|big)([1-9][0-9]{0,6})")
_STATUS = re.compile(r"[45][0-9]{2}")
_IN_MODEL = re.compile(r"(?:^|[/.:_-])scripted-([a-z0-9-]+)$")


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. `number` is the status, the N of the name, or 0. `retry_after` is seconds."""

    kind: str
    number: int = 0
    retry_after: float | None = None


NONE = Fault("none")


def fault(name: str, retry_after: float | None = None) -> Fault:
    """The fault of this name. Raises `ValueError` where there is none."""
    if _STATUS.fullmatch(name):
        return Fault("status", int(name), retry_after)
    numbered = _NUMBERED.fullmatch(name)
    if numbered:
        return Fault(numbered[1], int(numbered[2]), retry_after)
    if name not in FAULTS or "<" in name:
        raise ValueError(f"no such fault; there are {', '.join(FAULTS)}")
    return Fault(name, 0, retry_after)


def fault_in(model: str) -> Fault:
    """The fault that a model's name asks for, as in ``scripted-429``; `NONE` for all other names."""
    match = _IN_MODEL.search(model)
    if match is None:
        return NONE
    try:
        return fault(match[1])
    except ValueError:
        return NONE
