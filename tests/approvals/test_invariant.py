"""Whatever is asked, approved, denied and claimed in whatever order: no request passes that was not approved."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.approvals import SqlApprovals
from gateway.domain.errors import GatewayError
from gateway.domain.ports import ApprovalCase
from support.approvals import DPO, LEGAL, SECOND, Hands, a_case, approver

CASES = [a_case(), a_case(key="second"), a_case(binding="1" * 32, needed=(DPO, LEGAL))]
PEOPLE = [
    *(approver("officer", "dpo"), approver("lawyer", "law"), approver("asker", "dpo"), approver("second", "dpo")),
    *(approver("auditor", "dpo", role="auditor"), approver("stranger", "dpo", tenant="other")),
]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), st.sampled_from(CASES)),
        st.tuples(st.sampled_from(["approve", "approve", "deny"]), st.sampled_from(PEOPLE)),
        st.tuples(st.just("wait"), st.sampled_from([SECOND, LEGAL.seconds * SECOND, DPO.seconds * SECOND])),
    ),
    max_size=30,
)


@dataclass
class Book:
    """What happened to one approval, in the test's own words: who asked first, and key, group and time of each word
    that was taken."""

    asker: str
    words: list[tuple[str, str, int]] = field(default_factory=list)
    over: bool = False

    def allows(self, case: ApprovalCase, now: int) -> bool:
        """Each requirement has a fresh word of its groups, and none is of who asked or of who sends."""
        if self.over or {key for key, _, _ in self.words} & {self.asker, case.key}:
            return False
        return all(
            any(group in needed.approvers and now < at + needed.seconds * SECOND for _, group, at in self.words)
            for needed in case.needed
        )


class Play:
    """Plays steps against a store and keeps the books of it. What is approved or denied is what was claimed last."""

    def __init__(self, folder: Path) -> None:
        self._clock = Hands()
        self.store = SqlApprovals.open(f"sqlite:///{folder}/approvals.db", self._clock)
        self._books: dict[str, Book] = {}
        self._last = ""
        self.passed = 0

    async def step(self, name: str, what: Any) -> None:
        if name == "wait":
            self._clock.now += what
        elif name == "claim":
            claim = await self.store.claim(what)
            book = self._books.setdefault(claim.id, Book(what.key))
            if claim.status == "used":
                assert book.allows(what, self._clock.now)
                self.passed += 1
                book.over = True
            self._last = claim.id
        elif self._last:
            try:
                await (self.store.approve if name == "approve" else self.store.deny)(self._last, what)
            except GatewayError:
                return
            assert (what.role, what.tenant) == ("admin", "acme")
            book = self._books[self._last]
            if name == "deny":
                book.over = True
            else:  # a word that is repeated may count anew here: the books are never stricter than the store
                book.words.append((what.key, what.group, self._clock.now))


async def play(steps: list[tuple[str, Any]]) -> int:
    """How many requests passed."""
    with TemporaryDirectory() as folder:
        game = Play(Path(folder))
        try:
            for name, what in steps:
                await game.step(name, what)
        finally:
            await game.store.aclose()
        return game.passed


@settings(deadline=None, max_examples=60)
@given(steps=STEPS)
def test_only_what_is_approved_passes(steps: list[tuple[str, Any]]) -> None:
    """Each claim that passes has, by the test's own books, every word that it needs, and passes once."""
    asyncio.run(play(steps))


def test_the_game_can_be_won() -> None:
    """The test above is about something: with the right words in the right order requests do pass."""
    officer, lawyer = PEOPLE[0], PEOPLE[1]
    one = [("claim", CASES[0]), ("approve", officer), ("claim", CASES[1])]
    two = [("claim", CASES[2]), ("approve", officer), ("approve", lawyer), ("claim", CASES[2])]
    assert asyncio.run(play([*one, *two])) == 2
