"""Another version of a registered model comes into force while the gateway serves; only the log tells."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx
import pytest

from adapters.llama_cpp.shelf import Shelf
from support.evidence import records
from support.here import GatewayHere, gateway_here
from support.live import Setup, registered_target
from support.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.anyio


def shelf_of(folder: Path) -> Shelf:
    return Shelf(folder / "state" / "models" / "registry", lambda change: None)


def with_versions(folder: Path, *contexts: int) -> Setup:
    """A gateway over private@stable; one version for each context, the last of them stable."""
    for context in contexts:
        file = write_tiny_gguf(folder / "m.gguf", context_tokens=context)
        shelf_of(folder).add("private", file, None, "stable", link=False)
    return Setup(folder, [registered_target("private@stable")], {"auto": "{targets: [house]}"})


async def ask(here: GatewayHere, tokens: int = 4, **more: object) -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": tokens, **more}
    return await here.client.post("/v1/chat/completions", json=body, timeout=60)


async def served(here: GatewayHere) -> str:
    """Which version answers, as its answer says."""
    answer = await ask(here)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["model"])


def told(folder: Path, event: str) -> list[str]:
    return [record.model for record in records(folder / "state") if record.event == event]


async def test_a_roll_back_takes_effect_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next request after it goes to the version before; the log says from when; the engine before has ended."""
    async with gateway_here(with_versions(tmp_path, 512, 256), monkeypatch) as here:
        await here.opened.upkeep.engines_settled()
        assert await served(here) == "private@2"
        shelf_of(tmp_path).rollback("private", "stable")
        with anyio.fail_after(30):
            while await served(here) != "private@1":  # noqa: ASYNC110 (no event there)
                await anyio.sleep(0.2)
        text = (await here.client.get("/metrics")).text
        assert 'bailiwick_engine_up{target="house"} 1.0' in text
        assert not await here.opened.upkeep.problems()
    assert told(tmp_path, "model in use") == ["private@2", "private@1"]


async def test_an_answer_that_is_being_made_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that the engine before has begin and end there; nothing is broken off."""
    async with gateway_here(with_versions(tmp_path, 512, 511), monkeypatch) as here:
        await here.opened.upkeep.engines_settled()
        answers: list[httpx.Response] = []

        async def long() -> None:
            answers.append(await ask(here, 400, logit_bias={"0": -100, "1": -100, "2": -100}))

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(long)
            await anyio.sleep(0.1)
            shelf_of(tmp_path).rollback("private", "stable")
            await here.opened.upkeep.versions.look()
        assert [answer.status_code for answer in answers] == [200] * 4
        assert await served(here) == "private@1"


async def test_a_version_that_cannot_be_loaded_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was loaded goes on, the gateway stays ready, and the log names the version."""
    setup = with_versions(tmp_path, 512, 256)
    shelf = shelf_of(tmp_path)
    versions = shelf.registry.read()["private"].versions
    async with gateway_here(setup, monkeypatch) as here:
        await here.opened.upkeep.engines_settled()
        file = shelf.registry.place(versions[1])
        file.chmod(0o600)
        file.write_bytes(file.read_bytes()[:200])
        shelf.rollback("private", "stable")
        await here.opened.upkeep.versions.look()
        assert await served(here) == "private@2"
        assert not await here.opened.upkeep.problems()
        await here.opened.upkeep.versions.look()
    assert told(tmp_path, "model version not taken up") == ["private@1"]
    assert told(tmp_path, "model in use") == ["private@2"]


async def test_the_old_version_makes_room_within_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With memory for one engine, the old one is unloaded first; the new one answers."""
    setup = with_versions(tmp_path, 512, 256)
    setup.extra = "local_models: {memory: 200 MiB, patience: 1s}"
    async with gateway_here(setup, monkeypatch) as here:
        await here.opened.upkeep.engines_settled()
        assert await served(here) == "private@2"
        shelf_of(tmp_path).rollback("private", "stable")
        await here.opened.upkeep.versions.look()
        assert await served(here) == "private@1"


async def test_a_damaged_registry_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens to the file, what is loaded goes on, and the log says so."""
    async with gateway_here(with_versions(tmp_path, 512), monkeypatch) as here:
        await here.opened.upkeep.engines_settled()
        shelf_of(tmp_path).registry.path.write_text("{")
        await here.opened.upkeep.versions.look()
        assert await served(here) == "private@1"
    assert told(tmp_path, "model version not taken up") == ["private@stable"]
