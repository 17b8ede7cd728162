"""Tests of `adapters.llama_cpp.scheduler`: continuous batching, on a real model in this process."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.llama_cpp.model import LoadedModel
from support.scheduling import Bench, Client, bench, wait_for

USAGE = {"stream_options": {"include_usage": True}}
ENDLESS = 100_000


@pytest.fixture
def engine(tiny_model: Path) -> Iterator[Bench]:
    """A scheduler with 8 places that is new for each test. Flash attention rounds differently in other company, which
    in a model of noise changes a token sooner or later; without it, answers are equal to the last bit."""
    with bench(tiny_model, parallel=8, flash_attention="off") as made:
        yield made


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 40, **more}


def test_eight_at_once_say_what_they_say_alone(engine: Bench) -> None:
    """Greedy answers to eight prompts do not depend on being decoded together, and they are decoded together."""
    prompts = [said(f"Number {number}, " * (number + 1), max_tokens=120) for number in range(8)]
    alone = [engine.ask(body, tenant=str(number)).text() for number, body in enumerate(prompts)]
    before = len(engine.model.steps)
    together = [engine.ask(body, tenant=f"again {number}") for number, body in enumerate(prompts)]
    assert [client.text() for client in together] == alone
    steps = engine.model.steps[before:]
    assert max(len(parts) for parts in steps) == 8
    assert len(steps) < 8 * 120 / 3


def test_a_seed_gives_the_same_answer_under_other_load(engine: Bench) -> None:
    """What else is in the batch does not change which tokens are drawn."""
    body = said("Tell me.", seed=5, temperature=1.0, max_tokens=80)
    alone = engine.ask(body, tenant="x").text()
    others = [engine.ask(said(f"Noise {number}", max_tokens=400)) for number in range(5)]
    assert engine.ask(body, tenant="y").text() == alone
    assert len({client.text() for client in others}) > 1


def test_a_long_prompt_does_not_stop_an_answer(engine: Bench) -> None:
    """While 8,000 tokens are read, the running answer gets a token in every step, and no step reads more of the prompt
    than it may."""
    running = engine.ask(said("Go.", max_tokens=ENDLESS))
    wait_for(lambda: len(running.frames) > 3)
    place = engine.model.steps[-1][0].place
    before = len(engine.model.steps)
    engine.ask(said("y" * 8000, max_tokens=1), tenant="b").text()
    reading = [parts for parts in engine.model.steps[before:] if any(part.place != place for part in parts)]
    assert len(reading) >= 8000 // 128
    for parts in reading:
        assert [len(part.tokens) for part in parts if part.place == place] == [1]
        assert sum(len(part.tokens) for part in parts if part.place != place) <= 128
    engine.scheduler.cancel(running.job)


def test_cancelling_frees_the_place_for_the_next(tiny_model: Path) -> None:
    """With every place taken, the end of one client's interest lets the next one in, and nothing more is sent."""
    with bench(tiny_model, parallel=2) as engine:
        first, second = (engine.ask(said("Go on.", max_tokens=ENDLESS)) for _ in range(2))
        waiting = engine.ask(said("Me too.", max_tokens=3))
        wait_for(lambda: len(first.frames) > 2 and len(second.frames) > 2)
        assert (engine.scheduler.figures().running, engine.scheduler.figures().waiting) == (2, 1)
        engine.scheduler.cancel(first.job)
        waiting.text()
        heard = len(first.frames)
        before = len(second.frames)
        wait_for(lambda: len(second.frames) > before + 5)
        assert len(first.frames) == heard
        engine.scheduler.cancel(second.job)
        wait_for(engine.idle)
        assert engine.agrees()


def test_a_step_that_nobody_waits_for_is_broken_off(tiny_model: Path) -> None:
    """Cancelling everything in the middle of a step leaves the cache as it was before, and usable."""
    with bench(tiny_model, parallel=4, batch_tokens=4096) as engine:
        expected = engine.ask(said("Hello.")).text()
        client = engine.ask(said("z" * 15_000))
        wait_for(lambda: bool(engine.scheduler._stepping))
        engine.scheduler.cancel(client.job)
        wait_for(engine.idle)
        assert engine.agrees()
        assert engine.ask(said("Hello."), tenant="b").text() == expected


def test_tenants_do_not_share_prefixes(engine: Bench) -> None:
    """The same prompt costs another tenant all of it, and the same tenant almost nothing."""
    body = said("A system prompt that everybody sends. " * 20, **USAGE)
    assert engine.ask(body, "a").cached == 0
    assert engine.ask(body, "b").cached == 0
    assert engine.ask(body, "a").cached > 700
    figures = engine.scheduler.figures()
    assert figures.prefix_hit_rate == pytest.approx(1 / 3, abs=0.01)


def test_tenants_share_prefixes_when_told_to(tiny_model: Path) -> None:
    """With the setting, one tenant's prompt serves another."""
    with bench(tiny_model, share_prefixes=True) as engine:
        body = said("A system prompt that everybody sends. " * 20, **USAGE)
        assert [engine.ask(body, tenant).cached > 700 for tenant in "ab"] == [False, True]


def test_a_running_answer_shares_its_prompt(engine: Bench) -> None:
    """A prefix can be shared while the answer that brought it is still being made, and neither changes."""
    body = said("Once upon a time. " * 20, max_tokens=300)
    expected = engine.ask(body, "x").text()
    first = engine.ask(body)
    wait_for(lambda: len(first.frames) > 2)
    second = engine.ask({**body, **USAGE})
    assert second.cached > 300
    assert first.text() == second.text() == expected


def test_a_prompt_that_comes_seven_times_at_once_is_read_once(engine: Bench) -> None:
    """Who comes while another one reads the same beginning waits for it, also when the reader leaves."""
    system = "You are a helpful assistant who knows the rules of the house. " * 20
    for leaves in (False, True):
        before = len(engine.model.steps)
        clients = [engine.ask(said(f"{system}{leaves} Question {number}", **USAGE)) for number in range(7)]
        if leaves:
            engine.scheduler.cancel(clients.pop(0).job)
        assert all(client.text() for client in clients)
        read = sum(len(part.tokens) for parts in engine.model.steps[before:] for part in parts)
        assert read < 1.5 * len(system) + 7 * 100
        wait_for(engine.idle)


def test_a_tenant_cannot_lock_the_others_out(tiny_model: Path) -> None:
    """With the queue full of one tenant's requests, that of another gets in, and the last of the many is told to come
    back later."""
    with bench(tiny_model, parallel=1, limit=3) as engine:
        many = [engine.ask(said("Go.", max_tokens=ENDLESS)) for _ in range(4)]
        other = engine.ask(said("Me too.", max_tokens=2), tenant="b")
        assert many[3].error() == (429, "queue_full")
        assert not engine.scheduler.submit(Client(said("More."), tenant="a").job)
        assert not any(client.done.is_set() for client in (*many[:3], other))
        for client in many[:3]:
            engine.scheduler.cancel(client.job)
        assert other.text()
        wait_for(engine.idle)
        assert engine.agrees()


def test_standing_still_shows(engine: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that wait while nothing is decoded count as a stall, whatever the reason; a long idle time before does
    not."""
    monkeypatch.setattr(engine.scheduler, "_admit", lambda: time.sleep(0.01))
    time.sleep(0.3)
    client = engine.ask(said("Hello."))
    assert engine.scheduler.figures().since_progress < 0.3
    wait_for(lambda: engine.scheduler.figures().since_progress > 0.5)
    engine.scheduler.cancel(client.job)
    assert engine.scheduler.figures().since_progress == 0


def test_waiting_is_no_work(tiny_model: Path) -> None:
    """How long a request takes is counted from its place on: who waits behind five others does not make the next
    wait longer than it will."""
    with bench(tiny_model, parallel=1) as engine:
        started = time.monotonic()
        clients = [engine.ask(said("Go on.", max_tokens=600, logit_bias={"2": -100})) for _ in range(6)]
        assert all(client.text() for client in clients)
        each = (time.monotonic() - started) / len(clients)
        assert engine.scheduler.figures().request_seconds < 2 * each


def test_a_full_queue_refuses(tiny_model: Path) -> None:
    """Places and queue are both bounded; after a cancellation there is room again."""
    with bench(tiny_model, parallel=2, limit=3) as engine:
        clients = [engine.ask(said("Go.", max_tokens=ENDLESS)) for _ in range(5)]
        assert not engine.scheduler.submit(Client(said("No.")).job)
        assert 1 <= engine.scheduler.retry_after() <= 60
        assert engine.scheduler.figures().refused == 1
        engine.scheduler.cancel(clients[4].job)
        last = engine.ask(said("Yes.", max_tokens=2))
        for client in clients[:4]:
            engine.scheduler.cancel(client.job)
        assert len(last.text()) == 2


def test_a_request_that_would_be_late_is_refused_at_once(tiny_model: Path) -> None:
    """With all places taken, the prediction exceeds what the request allows; one that may wait, waits."""
    with bench(tiny_model, parallel=1) as engine:
        engine.ask(said("Measure me.", max_tokens=800)).text()
        assert engine.ask(said("In time.", max_tokens=1), first_token=30.0).text()
        running = engine.ask(said("Go.", max_tokens=ENDLESS))
        wait_for(lambda: len(running.frames) > 2)
        predicted = engine.scheduler.figures(100).first_token_seconds
        assert predicted is not None
        assert predicted > engine.scheduler.figures(1).first_token_seconds
        assert engine.ask(said("Quick!"), first_token=predicted / 10).error(2) == (429, "too_late")
        patient = engine.ask(said("Slow.", max_tokens=1))
        engine.scheduler.cancel(running.job)
        assert patient.text()


def test_the_bound_is_learnt_from_what_was_told(tiny_model: Path) -> None:
    """What a request is measured by is the bound that the engine gave when it was submitted: not a later one, which
    knows how long the step under way has taken."""
    with bench(tiny_model, parallel=1) as engine:
        engine.ask(said("Measure me.", max_tokens=200)).text()
        size = len(engine.model.prompt(Client(said("Again, please.")).job.request))
        told = engine.scheduler.figures(size)
        client = engine.ask(said("Again, please.", max_tokens=1))
        assert client.text()
        after = engine.scheduler.figures()
        assert client.job.outlook.first_token(size) == told.first_token_seconds
        assert (told.first_tokens, after.first_tokens) == (0, 1)
        assert after.bound_kept_rate in (0.0, 1.0)


def test_interactive_comes_before_background(tiny_model: Path) -> None:
    """With one place, requests of the flex tier wait for those that came after them."""
    with bench(tiny_model, parallel=1) as engine:
        running = engine.ask(said("Go.", max_tokens=ENDLESS))
        wait_for(lambda: len(running.frames) > 2)
        slow = engine.ask(said("Later.", service_tier="flex", max_tokens=2))
        quick = engine.ask(said("Now.", max_tokens=200))
        wait_for(lambda: len(engine.scheduler._waiting) == 2)
        engine.scheduler.cancel(running.job)
        slow.text()
        assert quick.done.is_set()


def test_a_grammar_that_llama_cpp_refuses_costs_one_request(engine: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp gives a null pointer, on which a chain of samplers would crash: it is a 400, and the rest goes on."""
    running = engine.ask(said("Go.", max_tokens=ENDLESS))
    monkeypatch.setattr("adapters.llama_cpp.work.any_object_grammar", lambda: 'root ::= "a" nowhere (')
    bad = engine.ask(said("JSON.", response_format={"type": "json_object"}))
    assert bad.error() == (400, "invalid_schema")
    before = len(running.frames)
    wait_for(lambda: len(running.frames) > before + 3)
    engine.scheduler.cancel(running.job)


def test_choices_read_their_prompt_once(engine: Bench) -> None:
    """The second and further choices share what the first has read, and each is what it would be alone."""
    prompt = "Think. " * 60
    client = engine.ask(said(prompt, n=4, seed=3, temperature=1.0, **USAGE))
    texts = [client.text(index) for index in range(4)]
    read = sum(len(part.tokens) for parts in engine.model.steps for part in parts)
    assert len(set(texts)) == 4
    assert read < client.frames[-2][1]["usage"]["prompt_tokens"] + 4 * 42


def test_an_idle_hour_is_no_stall(engine: Bench) -> None:
    """The watchdog looks at running work only: a step after a long pause is not a hang."""
    engine.model.progress_at -= 3600
    assert engine.scheduler.figures().since_progress == 0
    client = engine.ask(said("z" * 8000, max_tokens=1))
    seen = []
    while not client.done.is_set():
        seen.append(engine.scheduler.figures().since_progress)
        time.sleep(0.001)
    assert max(seen) < 20


@pytest.mark.parametrize("prefix_memory", [0, 1 << 20])
def test_a_full_cache_makes_room_and_loses_nothing(tiny_model: Path, prefix_memory: int) -> None:
    """Six answers that do not fit at a time are all completed, with the text they have alone."""
    bodies = [said(f"Story {number}.", max_tokens=300) for number in range(6)]
    with bench(tiny_model, parallel=1, flash_attention="off") as engine:
        alone = [engine.ask(body).text() for body in bodies]
    options: dict[str, Any] = {"context_tokens": 768, "prefix_memory": prefix_memory, "flash_attention": "off"}
    with bench(tiny_model, parallel=6, **options) as engine:
        clients = [engine.ask(body, tenant=str(number)) for number, body in enumerate(bodies)]
        assert [client.text(seconds=60) for client in clients] == alone
        assert engine.scheduler.figures().preempted > 0
        wait_for(engine.idle)
        assert engine.agrees()


def test_a_cache_that_stays_full_is_a_fault_and_not_a_loop(engine: Bench) -> None:
    """When llama.cpp finds no room even for one answer, that answer fails, and the next one is served."""
    engine.ask(said("Leave a prefix.")).text()
    engine.model.full = 3
    assert engine.ask(said("Unlucky.")).error() == (500, "engine_fault")
    engine.model.full = 0
    assert engine.ask(said("Lucky.")).text()


def test_what_nobody_foresaw_is_a_fault_and_not_a_loop(engine: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the scheduler itself is answered to everybody it may concern, and service goes on."""
    with monkeypatch.context() as patch:
        patch.setattr(engine.scheduler._places, "take", lambda *_: 1 / 0)
        clients = [engine.ask(said("Unlucky.")) for _ in range(3)]
        assert [client.error() for client in clients] == [(500, "engine_fault")] * 3
    wait_for(engine.idle)
    assert engine.ask(said("Lucky.")).text()
    assert engine.agrees()


def test_a_model_that_cannot_go_back_reads_again(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recurrent models refuse to forget a part; then everything is read, and the answer is the same."""
    with bench(tiny_model, parallel=2) as engine:
        first = engine.ask(said("The same beginning, and one end.")).text()
        monkeypatch.setattr(engine.model, "rewinds", False)
        whole = LoadedModel.cut
        monkeypatch.setattr(engine.model, "cut", lambda place, start: start == 0 and whole(engine.model, place, 0))
        again = engine.ask(said("The same beginning, and one end.", **USAGE))
        assert (again.cached, again.text()) == (0, first)
        wait_for(engine.idle)
        assert engine.agrees()


@pytest.mark.parametrize("prefix_memory", [0, 200_000])
def test_arrivals_and_departures_leave_nothing_behind(tiny_model: Path, prefix_memory: int) -> None:
    """After 150 requests of all kinds, a third of them left at some moment, everything is free and llama.cpp holds what
    the prefix cache says."""
    chance = random.Random(11)
    with bench(tiny_model, parallel=6, context_tokens=2048, limit=200, prefix_memory=prefix_memory) as engine:
        clients = []
        for _ in range(150):
            body = said(
                "word " * chance.randrange(1, 60), max_tokens=chance.randrange(1, 60), n=chance.choice([1, 1, 3])
            )
            body |= {"stream": chance.random() < 0.7, "temperature": chance.choice([0, 1])}
            if chance.random() < 0.1:
                body["response_format"] = {"type": "json_object"}
            client = engine.ask(body, tenant=chance.choice("abc"))
            clients.append(client)
            if chance.random() < 0.3:
                engine.scheduler.cancel(chance.choice(clients[-5:]).job)
            time.sleep(chance.choice([0, 0, 0.01]))
        for client in clients:
            assert client.job.cancelled or client.done.wait(60)
        wait_for(engine.idle)
        assert engine.agrees()
        assert engine.scheduler.figures().waiting == engine.scheduler.figures().running == 0
        while engine.scheduler._places.evict():
            pass
        assert all(engine.model.resident(place) == 0 for place in range(engine.model.places))
