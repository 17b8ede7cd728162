"""What inspection hands on: where something is, what kind, how sure. Never the value itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.tree import Path


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one text, `start` inclusive and `end` exclusive in characters, found to be an `entity`.

    `entity` is the detector's word (Presidio's, such as ``CREDIT_CARD``); `percent` is the confidence, 0 to 100.
    """

    start: int
    end: int
    entity: str
    percent: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A span at a place in the JSON tree."""

    path: Path
    span: Span


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """How many *distinct* values of an entity were found with this confidence: what policy and audit see."""

    entity: str
    percent: int
    distinct: int


class DetectorState(StrEnum):
    """Whether every text was scanned. Anything but OK makes the request *unsure*."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of inspecting one JSON tree.

    `unreadable` counts the parts that no detector can read (images, audio, unknown parts, undecodable blobs).
    """

    findings: tuple[Finding, ...]
    found: tuple[Found, ...]
    detector: DetectorState
    unreadable: int
    leaves: int
    characters: int
