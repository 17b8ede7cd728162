"""Tests of `adapters.llama_cpp.turns`: with figures here, with a real costly grammar at the end."""

from __future__ import annotations

import itertools
import string
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.llama_cpp import work
from adapters.llama_cpp.turns import Turns
from adapters.llama_cpp.work import Sequence
from support.scheduling import bench, wait_for

DECODE = 0.01


@dataclass
class Grammar:
    """What a sampler tells of its grammar."""

    seconds: float


@dataclass(eq=False)
class Answer:
    """What `Turns` looks at."""

    cost: float
    turn: int = 0
    sampler: Grammar = field(init=False)

    def __post_init__(self) -> None:
        self.sampler = Grammar(0.0)


def play(answers: list[Answer], steps: int, *, alone: bool = True) -> tuple[Counter[Answer], float]:
    """How many tokens each answer gets in so many steps, and the seconds that grammars take."""
    turns, made, spent = Turns(), Counter[Answer](), 0.0
    for _ in range(steps):
        for one in cast("list[Answer]", turns.choose(cast("list[Sequence]", list(answers)), DECODE, alone=alone)):
            one.sampler.seconds = one.cost
            made[one] += 1
            spent += one.cost
    return made, spent


@pytest.mark.parametrize("costly", [1, 4, 12])
def test_others_keep_about_half_of_their_speed(costly: int) -> None:
    """However many answers have a grammar that takes twenty times as long as the model, all together they get as much
    time as the decoding, and the others have a token in every step."""
    light = [Answer(0.0) for _ in range(3)]
    heavy = [Answer(20 * DECODE) for _ in range(costly)]
    steps = 20 * 30 * costly
    made, spent = play([*heavy, *light], steps)
    assert all(made[one] == steps for one in light)
    assert spent < 1.1 * steps * DECODE
    shares = [made[one] for one in heavy]
    assert min(shares) > 20
    assert max(shares) - min(shares) <= 1, "they take turns"


def test_nobody_waits_for_nobody() -> None:
    """Where all grammars are costly, all go on together; a prompt that is read beside them counts as another."""
    heavy = [Answer(20 * DECODE) for _ in range(4)]
    made, _ = play(heavy, 50)
    assert [made[one] for one in heavy] == [50] * 4
    made, _ = play([Answer(20 * DECODE)], 100, alone=False)
    assert made.total() < 10


def test_usual_grammars_do_not_wait() -> None:
    """A grammar that takes a small part of a step is no reason to wait."""
    answers = [Answer(DECODE / 20) for _ in range(8)] + [Answer(0.0)]
    made, _ = play(answers, 40)
    assert set(made.values()) == {40}


def costly_request() -> dict[str, Any]:
    """A schema that leaves as many readings open as it may, of which the model likes none."""
    names = ["".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=2)][:255]
    shape = {"properties": {name: {"type": "null"} for name in names}, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "array", "items": shape, "minItems": 50}}}
    return {"response_format": form, "max_tokens": 3000}


def test_a_stream_goes_on_beside_the_costliest_schemas(tiny_model: Path) -> None:
    """While three such answers are made, grammars take no longer than the decoding of the others, apart from a token of
    each; and the costly answers get on, too."""
    with bench(tiny_model, parallel=8, flash_attention="off") as engine:
        plain = engine.ask({"max_tokens": 600})
        costly = [engine.ask(costly_request(), tenant="b") for _ in range(3)]
        wait_for(lambda: all(len(one.frames) > 3 for one in costly))
        stepper, scheduler = engine.scheduler._stepper, engine.scheduler
        real, decoding, grammars, longest = stepper.step, 0.0, 0.0, 0.0

        def watched(active: list[Sequence]) -> Any:
            nonlocal decoding, grammars, longest
            seconds = [one.sampler.seconds for one in stepper._turns._last]
            grammars += sum(seconds)
            longest = max(longest, *seconds, 0.0)
            made = real(active)
            decoding += stepper.native
            return made

        stepper.step = watched  # type: ignore[method-assign]
        begun = [len(one.frames) for one in costly]
        plain.text()
        stepper.step = real  # type: ignore[method-assign]
        got = [len(one.frames) - before for one, before in zip(costly, begun, strict=True)]
        assert grammars < 1.1 * decoding + 4 * longest
        assert min(got) > 2
        for one in costly:
            scheduler.cancel(one.job)


def test_a_grammar_that_has_grown_too_costly_ends_its_answer_only(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next token might take a hundred times as long: the answer ends with an error, others go on."""
    monkeypatch.setattr(work, "_LONGEST", 0.0)
    with bench(tiny_model, parallel=4) as engine:
        plain = engine.ask({"max_tokens": 50})
        assert engine.ask(costly_request(), tenant="b").error() == (500, "engine_fault")
        assert plain.text()
