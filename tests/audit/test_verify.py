"""gateway.audit.verify: whatever is done to the rows is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.chain import GENESIS, Head, Row, link
from gateway.audit.codec import encode
from gateway.audit.verify import verify
from gateway.domain.record import AuditRecord
from support.records import intent, outcome


def chain(*records: AuditRecord, head: Head | None = None) -> list[Row]:
    rows = []
    head = head or Head()
    for record in records:
        body = encode(record)
        following = Head(head.seq + 1, link(head.hash, body))
        columns = (record.decision, record.kind.value, record.at, record.tenant, record.app)
        rows.append(Row(following.seq, *columns, head.hash, following.hash, body))
        head = following
    return rows


LOG = chain(*(record(number) for number in range(1, 6) for record in (intent, outcome)))


def test_an_untouched_chain_verifies() -> None:
    """All records are counted, the head is the last one, and nothing dangles."""
    found = verify(LOG)
    assert found.ok
    assert (found.records, found.head, found.dangling_intents) == (10, Head(10, LOG[-1].hash), ())


def test_an_empty_log_verifies() -> None:
    """A log without records is in order, and its head is the genesis value."""
    assert verify([], noted=GENESIS).ok
    assert verify([]).head == Head()


def _rehashed(rows: list[Row]) -> list[Row]:
    """As a forger who knows how the chain works would: everything from the forged row on is hashed anew."""
    result: list[Row] = []
    for row in rows:
        previous = result[-1].hash if result else GENESIS
        result.append(replace(row, seq=len(result) + 1, previous=previous, hash=link(previous, row.body)))
    return result


def _with(position: int, **changes: object) -> list[Row]:
    """The log with one row changed."""
    return [*LOG[:position], replace(LOG[position], **changes), *LOG[position + 1 :]]


_CHEAPER = LOG[3].body.replace(b"1234567", b"7")
TAMPERINGS = {
    "a changed body": (4, _with(3, body=_CHEAPER)),
    "a changed body and its hash": (5, _with(3, body=_CHEAPER, hash=link(LOG[3].previous, _CHEAPER))),
    "a changed last body": (10, _with(9, body=LOG[9].body.replace(b"1234567", b"7"))),
    "a removed row": (4, LOG[:3] + LOG[4:]),
    "a removed row, renumbered": (4, LOG[:3] + [replace(row, seq=row.seq - 1) for row in LOG[4:]]),
    "a removed first row": (1, LOG[1:]),
    "a row twice": (5, [*LOG[:4], LOG[3], *LOG[4:]]),
    "a row twice, renumbered": (5, LOG[:4] + [replace(row, seq=row.seq + 1) for row in LOG[3:]]),
    "two swapped rows": (4, [*LOG[:3], LOG[4], LOG[3], *LOG[5:]]),
    "two swapped rows, renumbered": (4, [*LOG[:3], replace(LOG[4], seq=4), replace(LOG[3], seq=5), *LOG[5:]]),
    "a row before the first": (1, [replace(LOG[0], seq=0), *LOG]),
    "another decision in the column": (4, _with(3, decision="d0")),
    "another kind in the column": (4, _with(3, kind="event")),
    "another time in the column": (4, _with(3, at=0)),
    "another tenant in the column": (4, _with(3, tenant="other")),
    "another app in the column": (4, _with(3, app="other")),
    "a body that is no JSON, hashed anew": (4, _rehashed(_with(3, body=b"\xff"))),
    "a body that is a list, hashed anew": (4, _rehashed(_with(3, body=b"[]"))),
}


@pytest.mark.parametrize(("position", "rows"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_is_found(position: int, rows: list[Row]) -> None:
    """Each kind of change to the rows makes the verification fail, and the first bad record is named."""
    found = verify(rows)
    assert found.first_problem is not None
    assert found.first_problem.seq == position


@given(st.integers(0, len(LOG) - 1), st.data())
def test_any_changed_byte_is_found(position: int, data: st.DataObject) -> None:
    """No byte of any body, hash or previous hash can be another one."""
    column = data.draw(st.sampled_from(["body", "hash", "previous"]))
    content = bytearray(getattr(LOG[position], column))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    changed = [*LOG]
    changed[position] = replace(LOG[position], **{column: bytes(content)})
    assert not verify(changed).ok


@given(st.permutations(range(len(LOG))).filter(lambda order: list(order) != sorted(order)))
def test_any_other_order_is_found(order: list[int]) -> None:
    """Rows in any order but their own do not verify, whether they keep their numbers or not."""
    moved = [LOG[position] for position in order]
    assert not verify(moved).ok
    assert not verify([replace(row, seq=seq) for seq, row in enumerate(moved, 1)]).ok


def test_a_cut_tail_is_found_with_a_noted_head_only() -> None:
    """The chain alone cannot tell that its end is missing; a head that was noted elsewhere can."""
    cut = LOG[:-2]
    assert verify(cut).ok
    found = verify(cut, noted=LOG[-1].hash)
    assert found.first_problem is not None
    assert "cut off" in found.first_problem.what


def test_a_forged_chain_is_found_with_a_noted_head_only() -> None:
    """A log that is rewritten from some record on is a valid chain, but not the one whose head was noted."""
    forged = _rehashed([*LOG[:3], replace(LOG[3], body=LOG[3].body.replace(b"1234567", b"1")), *LOG[4:]])
    assert verify(forged).ok
    assert not verify(forged, noted=LOG[-1].hash).ok
    assert verify(forged, noted=LOG[2].hash).ok  # noted before the forgery, so it says nothing about it


def test_an_earlier_head_is_still_in_a_log_that_has_grown() -> None:
    """The noted head need not be the last record now."""
    assert verify(LOG, noted=LOG[4].hash).ok


def test_intents_without_outcome_are_listed() -> None:
    """A decision whose sending was never concluded is named, attempt by attempt, and is no error."""
    found = verify(chain(intent(1), intent(2), outcome(1), intent(3, 1), outcome(3, 1), intent(3, 2)))
    assert found.ok
    assert [(open_.seq, open_.decision, open_.attempt) for open_ in found.dangling_intents] == [
        (2, intent(2).decision, 1),
        (6, intent(3).decision, 2),
    ]
