"""One step of the decode loop: what is read in it, and what the cache holds afterwards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from adapters.llama_cpp.decoding import Outcome, Part
from adapters.llama_cpp.places import Places
from adapters.llama_cpp.portions import portions
from adapters.llama_cpp.turns import Turns
from adapters.llama_cpp.work import Sequence

if TYPE_CHECKING:  # not at run time: only the process that loads a model may load the native library
    from adapters.llama_cpp.model import LoadedModel


class Stepper:
    """Decodes for the decode thread. Of the last step: `native` seconds in llama.cpp, `read` tokens of prompts, and the
    number of answers in the `making`."""

    def __init__(self, model: LoadedModel, places: Places) -> None:
        self._model, self._places = model, places
        self._turns = Turns()
        self.native = 0.0
        self.read = self.making = 0

    def step(self, active: list[Sequence]) -> list[tuple[Sequence, int]] | None:
        """Read the next tokens of `active`. Gives the sequences that can be sampled now, with their rows; nobody after
        an interrupt; None when the cache is full, and nothing has changed. Raises `EngineFault`."""
        waiting = [one for one in active if one.unread == 1]
        their_turn = self._turns.choose(waiting, self.native, alone=len(waiting) == len(active))
        making = [(one, 1) for one in their_turn][: self._model.batch_size]
        budget = min(self._model.batch_tokens, self._model.batch_size - len(making))
        reading = portions([one for one in active if one.unread > 1], budget)
        chosen = making + reading
        parts = []
        for one, count in chosen:
            assert one.place is not None
            start = len(one.place.tokens)
            tokens = one.tokens[start : start + count]
            parts.append(Part(one.place.number, start, tokens, one.unread == count))
        began = time.monotonic()
        outcome, rows = self._model.decode(parts)
        self.native, self.read, self.making = time.monotonic() - began, sum(count for _, count in reading), len(making)
        if outcome is Outcome.NO_ROOM:
            return None
        if outcome is Outcome.ABORTED:
            for one, _ in chosen:
                if one.place is not None:
                    self._places.mend(one.place)
            return []
        made = []
        for (one, _), part, row in zip(chosen, parts, rows, strict=True):
            assert one.place is not None
            one.place.tokens += part.tokens
            if part.sampled:
                made.append((one, row))
        return made
