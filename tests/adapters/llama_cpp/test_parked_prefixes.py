"""Prefixes that leave the KV cache and come back, on a real model in this process."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.llama_cpp.model import native
from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineSupervisor
from support.local_engine import config, whole
from support.scheduling import Bench, bench, wait_for

USAGE = {"stream_options": {"include_usage": True}}
TURN = "The printer in the hall does not turn on. " * 40
CELLS = 8192
MEMORY = 64 << 20


@pytest.fixture
def engine(tiny_model: Path) -> Iterator[Bench]:
    """It parks. Without flash attention, answers are equal to the last bit wherever their keys and values lie."""
    with bench(tiny_model, parallel=4, context_tokens=CELLS, prefix_memory=MEMORY, flash_attention="off") as made:
        yield made


def said(*turns: str, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(turns)]
    return {"messages": messages, "max_tokens": 40, **USAGE, **more}


def work(engine: Bench, count: int, tenant: str = "x") -> None:
    """Let others be served, so that what is idle is parked."""
    for number in range(count):
        engine.ask(said(f"{number} {tenant} " * 100, max_tokens=8), tenant).text()


def idle_tokens(engine: Bench) -> int:
    return sum(len(place.tokens) for place in engine.scheduler._places._idle())


def test_a_parked_conversation_goes_on_as_if_it_were_new(engine: Bench, tiny_model: Path) -> None:
    """Its next answer is that of an engine that has read everything, and almost nothing was read for it."""
    answer = engine.ask(said(TURN)).text()
    later = said(TURN, answer, "And now?")
    work(engine, 6)
    assert engine.scheduler.figures().parked_prefixes > 0
    assert engine.scheduler._places.find("a", list(range(9))).known == 0
    client = engine.ask(later)
    assert client.cached > len(TURN)
    assert engine.agrees()
    with bench(tiny_model, context_tokens=CELLS, flash_attention="off") as fresh:
        assert client.text() == fresh.ask(later).text()


def test_two_conversations_after_one_system_prompt_are_restored_apart(engine: Bench, tiny_model: Path) -> None:
    """What differs after a common beginning is that of each, however often they leave the cache and come back."""
    conversations = [[TURN + name] for name in ("One", "Two", "Three")]
    for _ in range(3):
        for turns in conversations:
            client = engine.ask(said(*turns))
            turns += [client.text(), "Go on."]
        work(engine, 4)
        assert engine.agrees()
    with bench(tiny_model, context_tokens=CELLS, flash_attention="off") as fresh:
        for turns in conversations:
            assert fresh.ask(said(*turns[:-2])).text() == turns[-2]


def test_what_comes_back_needs_room(tiny_model: Path) -> None:
    """Two parked conversations that do not fit at a time come one after the other: nobody has to make room."""
    with bench(tiny_model, parallel=4, context_tokens=2048, prefix_memory=MEMORY) as engine:
        for name in "ab":
            engine.ask(said(TURN[:1200]), name).text()
        work(engine, 3)
        assert engine.scheduler.figures().parked_prefixes >= 2
        clients = [engine.ask(said(TURN[:1200], max_tokens=200), name) for name in "ab"]
        assert [client.cached > 1000 for client in clients] == [True, True]
        assert engine.scheduler.figures().preempted == 0


def test_tenants_do_not_see_what_others_parked(engine: Bench) -> None:
    """The same prompt costs another tenant all of it, and the same tenant almost nothing."""
    engine.ask(said(TURN)).text()
    work(engine, 6)
    assert engine.ask(said(TURN), "b").cached == 0
    work(engine, 6)
    assert engine.ask(said(TURN), "a").cached > len(TURN)


def test_a_full_history_of_prompts_leaves_the_cells_free(engine: Bench) -> None:
    """After many long prompts an answer is made beside no idle token, and what was parked is within its bound."""
    for number in range(24):
        engine.ask(said(f"{number} {TURN[:1000]}", max_tokens=2)).text()
    running = engine.ask(said("Go.", max_tokens=100_000), "z")
    wait_for(lambda: len(running.frames) > 10)
    assert idle_tokens(engine) == 0
    figures = engine.scheduler.figures()
    assert figures.parked_prefixes > 10
    assert 0 < figures.parked_bytes <= MEMORY
    engine.scheduler.cancel(running.job)
    wait_for(engine.idle)
    assert engine.agrees()


def test_a_conversation_that_is_alone_stays_in_the_cache(engine: Bench) -> None:
    """While nobody else is served, nothing is copied to and fro between its turns."""
    turns = [TURN]
    for _ in range(3):
        client = engine.ask(said(*turns))
        turns += [client.text(), "Go on."]
        assert engine.scheduler.figures().parked_prefixes == 0


def test_the_bound_holds(tiny_model: Path) -> None:
    """There is room for two of the prefixes, and at no time for more."""
    with bench(tiny_model, context_tokens=CELLS, prefix_memory=MEMORY) as engine:
        engine.ask(said(TURN)).text()
        work(engine, 1)
        size = engine.scheduler.figures().parked_bytes
    with bench(tiny_model, context_tokens=CELLS, prefix_memory=int(2.5 * size)) as engine:
        for number in range(6):
            engine.ask(said(f"{number} {TURN}")).text()
            figures = engine.scheduler.figures()
            assert figures.parked_bytes <= 2.5 * size
        assert figures.parked_prefixes == 2


def test_a_host_without_memory_forgets(engine: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be parked is read again, and nobody's answer ends for it."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr("adapters.llama_cpp.model.mmap.mmap", full)
    engine.ask(said(TURN)).text()
    work(engine, 6)
    assert engine.scheduler.figures().parked_prefixes == 0
    assert engine.ask(said(TURN)).cached < 100
    assert engine.agrees()


def test_parking_can_be_turned_off(tiny_model: Path) -> None:
    """With no memory for it, idle prefixes stay in the cache."""
    with bench(tiny_model, context_tokens=CELLS, parallel=4, prefix_memory=0) as engine:
        for number in range(3):
            engine.ask(said(f"{number} {TURN}")).text()
        figures = engine.scheduler.figures()
        assert (figures.idle_prefixes, figures.parked_prefixes, figures.parked_bytes) == (3, 0, 0)
        assert idle_tokens(engine) > 3 * len(TURN)


@pytest.mark.parametrize("call", ["llama_model_n_swa", "llama_model_is_hybrid"])
def test_models_with_less_than_all_keys_do_not_park(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Of a window or a recurrent state, a part cannot be restored: their prefixes stay in the cache."""
    monkeypatch.setattr(native, call, lambda _: 512)
    with bench(tiny_model, context_tokens=CELLS, prefix_memory=MEMORY) as engine:
        engine.ask(said(TURN)).text()
        work(engine, 3)
        assert engine.scheduler.figures().parked_prefixes == 0


@pytest.mark.anyio
@pytest.mark.parametrize(("memory", "bound"), [(None, 4096 * 512), (1_200_000, 1_200_000), (0, 0)])
async def test_an_engine_process_parks_as_it_is_told(tiny_model: Path, memory: int | None, bound: int) -> None:
    """As many bytes as are set; when nothing is, as many as its KV cache has: 512 for each token."""
    supervisor = EngineSupervisor(config(tiny_model, context_tokens=4096, prefix_memory=memory))
    await supervisor.start()
    provider = LlamaCppProvider(supervisor)
    for number in range(8):
        await whole(provider, {"messages": [{"role": "user", "content": f"{number} {TURN[:900]}"}], "max_tokens": 4})
    figures = await provider.stats()
    await provider.aclose()
    assert bound / 2 <= figures["parked_bytes"] <= bound
    assert bool(figures["parked_prefixes"]) == bool(bound)


def test_a_closed_engine_keeps_nothing(tiny_model: Path) -> None:
    """What was parked is gone with the model."""
    with bench(tiny_model, context_tokens=CELLS, prefix_memory=MEMORY) as engine:
        engine.ask(said(TURN)).text()
        work(engine, 2)
        assert engine.scheduler.figures().parked_prefixes > 0
    assert engine.scheduler._places.parked == (0, 0)
