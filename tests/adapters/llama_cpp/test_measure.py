"""Measuring the speed of a real engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.llama_cpp.measure import _number, measure
from adapters.llama_cpp.measurements import conditions
from gateway.domain.errors import ConfigurationError
from support.live import DEMO_MODEL
from support.local_engine import config

pytestmark = pytest.mark.anyio


async def test_a_real_model_is_measured() -> None:
    """Prompts are read faster than answers are made; how it was measured is kept with it, and what is done is told."""
    engine, said = config(DEMO_MODEL, context_tokens=512, parallel=4, queue=1), list[str]()
    found = await measure(engine, 0.3, said.append)
    assert found.speeds.prompt > found.speeds.answer > 1
    assert (found.answers, found.conditions) == (4, conditions(engine))
    assert len(said) == 2
    assert said[1].startswith("making 4 answers")


async def test_a_small_context_is_not_overfilled() -> None:
    """Only as many answers are made at a time as have room: five in the 256 tokens that llama.cpp makes at least."""
    found = await measure(config(DEMO_MODEL, context_tokens=128, parallel=16), 0.1, lambda what: None)
    assert found.answers == 5


async def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    """Its file is named, and no engine stays behind."""
    with pytest.raises(ConfigurationError, match=r"none\.gguf"):
        await measure(replace(config(DEMO_MODEL), model=tmp_path / "none.gguf"), 0.1, lambda what: None)


@pytest.mark.parametrize(
    ("speed", "number"),
    [(2444.96, "2444"), (743.89, "743.8"), (9.99999, "9.999"), (0.123456, "0.1234"), (120000.0, "120000")],
)
def test_speeds_are_rounded_down(speed: float, number: str) -> None:
    """Four digits; a speed that is overstated would understate the price."""
    assert _number(speed) == number
