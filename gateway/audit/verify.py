"""Verifying the chain: a pure function over rows, which trusts neither the server nor the database.

It finds a record that was changed, taken out, put in or moved, and columns that do not say what the record says.
What it cannot see alone is a tail cut off at the end, or a whole chain written anew: for these, the hash of the head
has to be noted somewhere else from time to time and be given here as `noted`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.audit.chain import GENESIS, Head, Row, link
from gateway.domain.record import RecordKind


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in words, and at which record (`seq`; 0 means the chain as a whole)."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class DanglingIntent:
    """The record `seq` says that a request was about to be sent, and no record says what became of it."""

    seq: int
    decision: str
    attempt: int
    at: int


@dataclass(frozen=True, slots=True)
class Verification:
    """`records` counts those that are in order, `head` is the last of them. `first_problem` is None when all are.

    A dangling intent means that the gateway was killed after it had let a request go, or that it is working on it
    right now. It is not an error, but to be looked at.
    """

    records: int
    head: Head
    first_problem: Problem | None
    dangling_intents: tuple[DanglingIntent, ...]

    @property
    def ok(self) -> bool:
        return self.first_problem is None


def verify(rows: Iterable[Row], noted: bytes | None = None) -> Verification:
    """Walk the whole chain from its beginning. `noted` is a head's hash from earlier, kept elsewhere."""
    head = Head()
    open_intents: dict[tuple[str, int], DanglingIntent] = {}
    noted_seen = noted is None or noted == GENESIS
    problem = None
    for row in rows:
        tree = _tree(row.body)
        problem = _problem(row, tree, head)
        if problem is not None:
            break
        head = Head(row.seq, row.hash)
        noted_seen = noted_seen or row.hash == noted
        attempt = tree.get("attempt", 0)
        if row.kind == RecordKind.INTENT:
            open_intents[row.decision, attempt] = DanglingIntent(row.seq, row.decision, attempt, row.at)
        elif row.kind == RecordKind.OUTCOME:
            open_intents.pop((row.decision, attempt), None)
    if problem is None and not noted_seen:
        problem = Problem(0, "no record has the noted head's hash: the end was cut off, or this is another log")
    return Verification(head.seq, head, problem, tuple(open_intents.values()))


def _tree(body: bytes) -> dict[str, Any]:
    """The record as a tree; empty, which no record is, when the bytes are something else."""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return tree if isinstance(tree, dict) else {}


def _problem(row: Row, tree: dict[str, Any], head: Head) -> Problem | None:
    if row.seq != head.seq + 1:
        what = "missing" if row.seq > head.seq + 1 else "out of order"
        return Problem(head.seq + 1, f"record {head.seq + 1} is {what} (record {row.seq} comes next)")
    if row.previous != head.hash:
        return Problem(row.seq, f"record {row.seq} does not follow record {head.seq}")
    if row.hash != link(row.previous, row.body):
        return Problem(row.seq, f"record {row.seq} was changed: it does not have the hash noted for it")
    # The hash covers the body only, so without this a column that people search by could lie.
    for name, default in (("decision", None), ("kind", None), ("at", None), ("tenant", ""), ("app", "")):
        if tree.get(name, default) != getattr(row, name):
            return Problem(row.seq, f"record {row.seq}: the column {name!r} does not say what the record says")
    return None
