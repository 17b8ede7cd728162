"""The policy file is watched: what it holds decides, not what the operating system says about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from gateway.domain.decision import PolicyId
from gateway.domain.errors import ConfigurationError
from gateway.policy import CompiledPolicy, PolicyStore, compile_policy
from gateway.policy.archive import load_archived
from gateway.policy.schema import Policy
from gateway.policy.watch import watch
from support.policies import document


def text(version: int) -> str:
    return json.dumps(document(version=version))


class Watching:
    """A store that is watched, and what was told about it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = PolicyStore(path, archive=path.parent / "state" / "policies")
        self.loaded: list[int] = []
        self.refused: list[str] = []

    def took_over(self, identity: PolicyId) -> None:
        self.loaded.append(identity.version)

    def was_refused(self, problem: ConfigurationError) -> None:
        self.refused.append(str(problem))

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(5):
            while not condition():  # noqa: ASYNC110 (no event there)
                await anyio.sleep(0.01)


@asynccontextmanager
async def watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watching]:
    monkeypatch.setattr("gateway.policy.watch.LOOK_EVERY", 0.02)
    monkeypatch.setattr("gateway.policy.watch.SETTLED_AFTER", 0.2)
    path = tmp_path / "policy.yaml"
    path.write_text(text(1))
    seen = Watching(path)
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await watch(seen.store, loaded=seen.took_over, refused=seen.was_refused)

        tasks.start_soon(run)
        yield seen
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_each_change_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good file takes over, a bad one is refused once however long it lies there, and what does not change the
    meaning is told to nobody."""
    async with watching(tmp_path, monkeypatch) as seen:
        seen.path.write_text(text(2))
        await seen.until(lambda: seen.loaded == [2])
        seen.path.write_text("schema: 1\n")
        await seen.until(lambda: len(seen.refused) == 1)
        await anyio.sleep(0.2)
        assert len(seen.refused) == 1
        assert seen.store.current.id.version == 2
        seen.path.write_text("# again\n" + text(2))
        await seen.until(lambda: seen.store.last_error == "")
        seen.path.unlink()
        await seen.until(lambda: len(seen.refused) == 2)
        assert "No such file" in seen.refused[1]
        seen.path.write_text(text(3))
        await seen.until(lambda: seen.loaded == [2, 3])


@pytest.mark.anyio
async def test_what_changed_before_the_watch_began_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between loading the policy and watching it lie the seconds of a start; a change in them is not missed."""
    path = tmp_path / "policy.yaml"
    path.write_text(text(1))
    seen = Watching(path)
    path.write_text(text(2))
    monkeypatch.setattr("gateway.policy.watch.SETTLED_AFTER", 0.01)
    with anyio.move_on_after(5):
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                await watch(seen.store, loaded=seen.took_over, refused=seen.was_refused)

            tasks.start_soon(run)
            await seen.until(lambda: seen.loaded == [2])
            tasks.cancel_scope.cancel()
    assert seen.loaded == [2]


@pytest.mark.anyio
async def test_a_file_that_grows_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a policy that is valid in itself never comes into force while the rest is being written."""
    async with watching(tmp_path, monkeypatch) as seen:
        whole = text(2) + "\n" + "# padding\n" * 3
        with seen.path.open("w") as file:
            file.write(text(9))
            file.flush()
            for _ in range(20):
                await anyio.sleep(0.02)
                file.write("\n#")
                file.flush()
            file.seek(0)
            file.truncate()
            file.write(whole)
        await seen.until(lambda: seen.loaded == [2])


def test_the_archive_holds_what_was_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is kept under its hash, before it decides and whatever the file holds by then."""
    path = tmp_path / "policy.yaml"
    path.write_text(text(1))
    archive = tmp_path / "state" / "policies"
    store = PolicyStore(path, archive=archive)
    path.write_text(text(2))

    def compiled_late(policy: Policy) -> CompiledPolicy:
        path.write_text("schema: 1\n")
        return compile_policy(policy)

    monkeypatch.setattr("gateway.policy.store.compile_policy", compiled_late)
    store.reload()
    with pytest.raises(ConfigurationError):
        store.reload()
    kept = sorted(path.stem for path in archive.glob("*.json"))
    assert sorted(load_archived(archive, hash).id.version for hash in kept) == [1, 2]
    assert sorted((archive / "sources" / hash / "policy.yaml").read_text() for hash in kept) == [text(1), text(2)]
    assert archive.stat().st_mode & 0o777 == 0o700
    assert archive.parent.stat().st_mode & 0o777 == 0o700


def test_a_policy_that_cannot_be_archived_does_not_decide(tmp_path: Path) -> None:
    """Without a copy its decisions could not be recomputed, so the last one stays; at the start nothing begins."""
    path = tmp_path / "policy.yaml"
    path.write_text(text(1))
    archive = tmp_path / "state"
    store = PolicyStore(path, archive=archive)
    shutil.rmtree(archive)
    archive.write_text("in the way")
    path.write_text(text(2))
    with pytest.raises(ConfigurationError, match=r"cannot be written"):
        store.reload()
    assert store.current.id.version == 1
    with pytest.raises(ConfigurationError, match=r"cannot be written"):
        PolicyStore(path, archive=archive)


@pytest.mark.anyio
async def test_every_file_of_a_folder_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes, comes or goes for one tenant only is told, although everybody's policy stays."""
    folder = tmp_path / "policies"
    folder.mkdir()
    monkeypatch.setattr("gateway.policy.watch.LOOK_EVERY", 0.02)
    monkeypatch.setattr("gateway.policy.watch.SETTLED_AFTER", 0.02)
    lab = {"for": {"tenant": ["lab"]}, "policy": "lab"}
    (folder / "all.yaml").write_text(text(1))
    seen = Watching(folder)
    hashes: list[str] = []

    def loaded(identity: PolicyId) -> None:
        hashes.append(seen.store.for_tenant("lab").id.name)

    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await watch(seen.store, loaded=loaded, refused=seen.was_refused)

        tasks.start_soon(run)
        (folder / "lab.yaml").write_text(json.dumps(document(**lab)))
        await seen.until(lambda: hashes == ["acme+lab"])
        (folder / "lab.yaml").write_text("schema: 1\n")
        await seen.until(lambda: len(seen.refused) == 1)
        assert seen.store.for_tenant("lab").id.name == "acme+lab"
        (folder / "lab.yaml").unlink()
        await seen.until(lambda: hashes == ["acme+lab", "acme"])
        (folder / "all.yaml").unlink()
        await seen.until(lambda: len(seen.refused) == 2)
        assert "the folder holds no policy" in seen.refused[1]
        assert seen.store.current.id.version == 1
        tasks.cancel_scope.cancel()
