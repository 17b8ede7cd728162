"""Finished spans as values: what the exporter hands to its sinks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gateway.telemetry.values import Value


class SpanKind(StrEnum):
    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class SpanRecord(NamedTuple):
    """One finished span; a tuple, because a request has ten of them.

    Ids are hexadecimal, times nanoseconds since the epoch, `error` is empty where all went well.
    """

    name: str
    span_id: str
    parent_id: str
    kind: SpanKind
    start: int
    end: int
    attributes: Mapping[str, Value]
    error: str


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One finished request. The first span is the root; its parent, if any, is the caller's."""

    trace_id: str
    decision: str
    spans: tuple[SpanRecord, ...]
