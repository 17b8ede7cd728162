"""What a check of ``bailiwick doctor`` says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    state: State
    detail: str


def ok(name: str, detail: str) -> Check:
    return Check(name, State.OK, detail)


def warning(name: str, detail: str) -> Check:
    return Check(name, State.WARNING, detail)


def failed(name: str, detail: str) -> Check:
    return Check(name, State.FAILED, detail)
