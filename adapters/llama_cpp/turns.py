"""Whose next token is in a step: answers with a costly grammar wait, so that they cannot slow all others down. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.llama_cpp.work import Sequence


class Turns:
    """Lets grammars have as much time as llama.cpp's decoding, and no more, while others wait for them.

    One thread makes the tokens of all answers, and a grammar may take a hundred times as long for a token as the model.
    What it takes is a debt, which the decoding of the others pays back; meanwhile answers with costly grammars wait. So
    others keep about half of their speed beside any number of them. Where all grammars are costly, nobody waits."""

    def __init__(self) -> None:
        self._debt = 0.0  # seconds
        self._steps = 0
        self._last: list[Sequence] = []

    def choose(self, waiting: list[Sequence], decode: float, *, alone: bool) -> list[Sequence]:
        """Those of `waiting` whose next token is made in this step. `decode`: seconds that the decoding of the last
        step took. `alone`: no prompt is read beside them."""
        spent = sum(one.sampler.seconds for one in self._last)
        self._debt = max(self._debt + spent - decode, 0.0)
        self._steps += 1
        # An answer is costly when decoding would be the smaller part of the step if all were like it.
        costly = [one for one in waiting if one.sampler.seconds * len(waiting) > decode]
        if costly and not (alone and len(costly) == len(waiting)):
            left, some = decode, False
            for one in sorted(costly, key=lambda one: one.turn):
                left -= one.sampler.seconds
                if self._debt > 0 or (some and left < 0):
                    waiting = [other for other in waiting if other is not one]
                some = True
        for one in waiting:
            one.turn = self._steps
        self._last = waiting
        return waiting
