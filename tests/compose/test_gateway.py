"""The gateway as a whole: opened in order, closed in order, ready when all of it is."""

from __future__ import annotations

import hashlib
import math
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import httpx
import psutil
import pytest

from adapters.llama_cpp.shelf import Shelf
from gateway import __version__
from gateway.compose.gateway import Experience
from gateway.domain.errors import Code, ConfigurationError, ProviderError
from gateway.domain.record import RecordKind
from gateway.domain.target import Route
from gateway.routing.breaker import Breaker
from gateway.routing.latency import LatencyBook
from support.evidence import intents, records
from support.exposure import CARD
from support.here import GatewayHere, gateway_here
from support.live import Setup, cloud_target, local_target, registered_target
from support.tiny_gguf import write_tiny_gguf, write_tiny_lora

NOWHERE = cloud_target("cloud", "http://127.0.0.1:9/v1")


def _children() -> list[int]:
    return [child.pid for child in psutil.Process().children(recursive=True)]


async def _until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    with anyio.fail_after(seconds):
        while not await condition():  # noqa: ASYNC110 (no event there)
            await anyio.sleep(0.05)


def _local(folder: Path) -> Setup:
    model = write_tiny_gguf(folder / "tiny.gguf")
    targets = [NOWHERE, local_target(file=str(model), context_tokens="512", max_output_tokens="8")]
    return Setup(folder, targets, {"auto": "{targets: [cloud, local], rank: listed}"})


@pytest.mark.anyio
async def test_start_and_end_are_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy that came into force, the start with the version, and the end, in this order."""
    setup = Setup(tmp_path, [NOWHERE], {"auto": "{targets: [cloud]}"})
    async with gateway_here(setup, monkeypatch) as here:
        assert here.opened.scripted_url is None
    events = [record for record in records(tmp_path / "state") if record.kind is RecordKind.EVENT]
    assert [event.event for event in events] == ["policy loaded", "gateway started", "gateway stopped"]
    assert events[1].error == __version__
    assert len({event.policy for event in events}) == 1


@pytest.mark.anyio
async def test_a_start_says_which_version_it_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that names an alias serves the version that it is at the start; the log names it with its hash. After a
    roll-back, the next start serves the version before."""
    setup = Setup(tmp_path, [registered_target("private@stable")], {"auto": "{targets: [house]}"})
    shelf = Shelf(tmp_path / "state" / "models" / "registry", lambda change: None)
    for context in (512, 256):
        file = write_tiny_gguf(tmp_path / "m.gguf", context_tokens=context)
        shelf.add("private", file, None, "stable", link=False)
    for _ in range(2):
        async with gateway_here(setup, monkeypatch) as here:
            await here.opened.upkeep.engines_settled()
            assert (await _ask(here, "Hello")).headers["x-bailiwick-target"] == "house"
        shelf = Shelf(tmp_path / "state" / "models" / "registry", lambda change: None)
        if shelf.registry.read()["private"].aliases["stable"] == 2:
            shelf.rollback("private", "stable")
    used = [record for record in records(tmp_path / "state") if record.event == "model in use"]
    assert [(record.target, record.model) for record in used] == [("house", "private@2"), ("house", "private@1")]
    versions = shelf.registry.read()["private"].versions
    assert [record.error for record in used] == [f"sha256:{versions[number].sha256}" for number in (2, 1)]


@pytest.mark.anyio
async def test_a_start_says_which_adapters_it_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target with an adapter answers with it, and the log names the adapter with its hash. One that is for another
    architecture stops the start, and the error names the target."""
    setup, lora = _local(tmp_path), write_tiny_lora(tmp_path / "support.gguf")
    setup.targets[1] += f"\n    lora: [{{file: {lora}}}]"
    async with gateway_here(setup, monkeypatch) as here:
        await here.opened.upkeep.engines_settled()
        assert (await _ask(here, f"Card {CARD}")).headers["x-bailiwick-target"] == "local"
    (used,) = [record for record in records(tmp_path / "state") if record.event == "adapter in use"]
    digest = hashlib.sha256(lora.read_bytes()).hexdigest()
    assert (used.target, used.model, used.error) == ("local", "support.gguf", f"sha256:{digest}")
    write_tiny_lora(lora, architecture="gemma")
    with pytest.raises(ConfigurationError, match=r"the target 'local': the LoRA adapter .*'gemma'"):
        async with gateway_here(setup, monkeypatch):
            raise AssertionError("it opened")


@pytest.mark.anyio
async def test_each_request_goes_where_its_share_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of two targets answers follows from the decision's id alone, so that everybody can check the draw."""
    setup = _local(tmp_path)
    setup.targets.append(setup.targets[1].replace("id: local", "id: next"))
    setup.models = {"auto": "{targets: [local, next], share: {local: 50 %, next: 50 %}}"}
    async with gateway_here(setup, monkeypatch) as here:
        await here.opened.upkeep.engines_settled()
        for _ in range(12):
            assert (await _ask(here, "Hello")).status_code == 200
    sent = intents(tmp_path / "state")
    route = Route("auto", ("local", "next"), "cost", (("local", 5000), ("next", 5000)))
    assert len(sent) == 12
    assert [record.target for record in sent] == [route.drawn(record.decision) for record in sent]


@pytest.mark.anyio
async def test_a_start_that_fails_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a later target cannot be opened, the engine that was started before it is ended again."""
    before = _children()
    setup = _local(tmp_path)
    setup.targets.append(local_target("other", file=str(tmp_path / "none.gguf")))
    with pytest.raises(ConfigurationError, match=r"none\.gguf"):
        async with gateway_here(setup, monkeypatch):
            raise AssertionError("it opened")
    assert _children() == before


@pytest.mark.anyio
async def test_readiness_follows_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not ready until the local model is loaded, nor while its engine is down; then ready again, and the restart is
    counted. Without the engine, what must stay is refused, not sent."""
    async with gateway_here(_local(tmp_path), monkeypatch) as here:

        async def ready() -> bool:
            return bool((await here.client.get("/readyz")).status_code == 200)

        await here.opened.upkeep.engines_settled()
        assert await ready()
        (engine,) = [pid for pid in _children() if "adapters.llama_cpp" in " ".join(psutil.Process(pid).cmdline())]
        os.kill(engine, signal.SIGKILL)
        await _until(lambda: _not(ready))
        told = (await here.client.get("/readyz")).json()
        assert told["status"] == "not ready"
        assert "the engine is" in told["problems"]["target local"]
        assert (await _ask(here, f"Card {CARD}")).status_code == 503
        await _until(ready)
        assert (await _ask(here, f"Card {CARD}")).headers["x-bailiwick-target"] == "local"

        async def counted() -> bool:
            metrics = (await here.client.get("/metrics")).text
            return 'bailiwick_engine_restarts_total{target="local"} 1.0' in metrics

        await _until(counted)
    assert not [record for record in records(tmp_path / "state") if record.target == "cloud"]


def _two_locals(folder: Path, memory: str) -> Setup:
    """Two targets, of which each needs about 129 MiB, behind model names of their own."""
    setup = _local(folder)
    setup.targets = [setup.targets[1], setup.targets[1].replace("id: local", "id: second")]
    setup.models = {"auto": "{targets: [local]}", "other": "{targets: [second]}"}
    setup.extra = f"local_models: {{memory: {memory}}}"
    return setup


@pytest.mark.anyio
async def test_two_models_with_memory_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway is ready when the first is loaded, both answer in turn, and the metrics tell which one is in memory
    and how often that changed."""
    async with gateway_here(_two_locals(tmp_path, "200 MiB"), monkeypatch) as here:
        await here.opened.upkeep.engines_settled()
        assert (await here.client.get("/readyz")).status_code == 200
        for model, target in (("auto", "local"), ("other", "second"), ("auto", "local")):
            answer = await _ask(here, "Hello", model)
            assert (answer.status_code, answer.headers["x-bailiwick-target"]) == (200, target)
        assert (await here.client.get("/readyz")).status_code == 200

        async def told() -> bool:
            lines = (await here.client.get("/metrics")).text.splitlines()
            wanted = {
                'bailiwick_engine_loaded{target="local"} 1.0',
                'bailiwick_engine_loaded{target="second"} 0.0',
                'bailiwick_engine_up{target="second"} 1.0',
                'bailiwick_engine_loads_total{target="local"} 2.0',
                'bailiwick_engine_loads_total{target="second"} 1.0',
                'bailiwick_engine_unloads_total{target="local"} 1.0',
                'bailiwick_engine_unloads_total{target="second"} 1.0',
            }
            return wanted <= set(lines)

        await _until(told)


@pytest.mark.anyio
async def test_a_model_that_never_fits_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the target, what it needs and what there is."""
    with pytest.raises(ConfigurationError, match=r"target 'local': it needs about 129 MiB.*grants 64 MiB"):
        async with gateway_here(_two_locals(tmp_path, "64 MiB"), monkeypatch):
            raise AssertionError("it opened")


@pytest.mark.anyio
async def test_a_pinned_file_is_compared_before_each_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that leaves memory and comes back is still the one that the log said was in use; else it is refused."""
    setup = _two_locals(tmp_path, "200 MiB")
    pinned = write_tiny_gguf(tmp_path / "pinned.gguf")
    digest = hashlib.sha256(pinned.read_bytes()).hexdigest()
    setup.targets[1] = setup.targets[1].replace("tiny.gguf", f"pinned.gguf\n    sha256: {digest}")
    async with gateway_here(setup, monkeypatch) as here:
        assert (await _ask(here, "Hello", "other")).status_code == 200
        assert (await _ask(here, "Hello")).status_code == 200
        write_tiny_gguf(pinned, context_tokens=300)
        assert (await _ask(here, "Hello", "other")).status_code == 503
        told = (await here.client.get("/readyz")).json()
        assert told["problems"] == {"target second": "the engine could not be loaded"}


async def _not(condition: Callable[[], Awaitable[bool]]) -> bool:
    return not await condition()


async def _ask(here: GatewayHere, text: str, model: str = "auto") -> httpx.Response:
    body = {"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": text}]}
    return await here.client.post("/v1/chat/completions", json=body)


@pytest.mark.anyio
async def test_explaining_sends_and_records_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An explanation tells the decision and each target's chances, and leaves no trace of the request."""
    async with gateway_here(_local(tmp_path), monkeypatch) as here:
        before = len(records(tmp_path / "state"))
        body = {"model": "auto", "messages": [{"role": "user", "content": f"Card {CARD}"}]}
        answer = (await here.client.post("/bailiwick/v1/explain", json=body)).json()
        assert answer["found"] == [{"entity": "CREDIT_CARD", "percent": 100, "distinct": 1}]
        assert [candidate["target"] for candidate in answer["candidates"]] == ["local"]
        assert [target["target"] for target in answer["rejected"]] == ["cloud"]
        assert len(records(tmp_path / "state")) == before


def test_what_is_no_sign_of_trouble() -> None:
    """A target that refuses a request is up: only failures of its own open its breaker."""
    now = 0.0
    breaker = Breaker(lambda: now, threshold=1)
    experience = Experience(LatencyBook(), breaker, lambda target: math.inf)
    for code in (Code.TARGET_REFUSED, Code.TARGET_BUSY, Code.REQUEST_TOO_LARGE, Code.EGRESS_REFUSED):
        experience.failed("a", ProviderError(code, "x"))
    assert breaker.waiting("a") == 0
    experience.failed("a", ProviderError(Code.TARGET_TIMEOUT, "x"))
    assert breaker.waiting("a") > 0
    experience.answered("a", 0.1)
    assert breaker.waiting("a") == 0


def test_a_load_is_no_latency() -> None:
    """A model that was loaded two seconds ago cannot have worked on a request for longer: no more is learnt of it."""
    latency = LatencyBook()
    experience = Experience(latency, Breaker(lambda: 0.0), lambda target: 2.0)
    experience.answered("a", 30.0)
    assert latency.expected("a", None) == 2.0
