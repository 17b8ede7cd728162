"""Tests of `adapters.llama_cpp.files`, against a hub on this machine."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from pathlib import Path

import pytest

from adapters.llama_cpp import download, files
from adapters.llama_cpp.files import ModelFile, resolve
from gateway.domain.errors import ConfigurationError
from support.hub import Hub
from support.tiny_gguf import write_tiny_gguf


def named(hub: Hub, file: str = "m.gguf", sha256: str | None = None) -> ModelFile:
    digest = hashlib.sha256(hub.data).hexdigest() if sha256 is None else sha256
    return ModelFile(hub="owner/name", file=file, sha256=digest, base_url=hub.url)


def test_a_model_is_fetched_through_a_redirect_and_only_once(hub: Hub, tmp_path: Path) -> None:
    """The file arrives whole under its final name, with progress; the second time nothing is asked of the hub."""
    seen: list[tuple[int, int | None]] = []
    place = resolve(named(hub), tmp_path / "cache", progress=lambda have, total: seen.append((have, total)))
    assert place.read_bytes() == hub.data
    assert seen[-1] == (len(hub.data), len(hub.data))
    asked = len(hub.requests)
    assert resolve(named(hub), tmp_path / "cache") == place
    assert len(hub.requests) == asked
    assert not list(place.parent.glob("*.part"))


def test_a_broken_download_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    """A cut connection costs what was not yet there, and the result is the same file."""
    hub.break_after = 100_000
    assert resolve(named(hub), tmp_path / "cache").read_bytes() == hub.data
    assert [wanted for path, wanted, _ in hub.requests if path == "/storage"] == [None, "bytes=100000-"]


def test_a_part_of_an_earlier_try_is_used(hub: Hub, tmp_path: Path) -> None:
    """What a try left behind is not fetched again, even if it was everything."""
    for size in (50_000, len(hub.data)):
        cache = tmp_path / f"cache{size}"
        place = named(hub).place(cache)
        place.parent.mkdir(parents=True)
        place.with_name(place.name + ".part").write_bytes(hub.data[:size])
        assert resolve(named(hub), cache).read_bytes() == hub.data
        assert hub.requests[-1][1] == f"bytes={size}-"


def test_a_hub_without_ranges_serves_too(hub: Hub, tmp_path: Path) -> None:
    """When the whole file comes again, the part is replaced, not appended to."""
    hub.ranges, hub.break_after = False, 100_000
    assert resolve(named(hub), tmp_path / "cache").read_bytes() == hub.data


def test_a_wrong_hash_is_deleted_and_named(hub: Hub, tmp_path: Path) -> None:
    """A file that is not the one configured never gets its final name; the error holds both hashes."""
    wrong = "0" * 64
    with pytest.raises(ConfigurationError) as caught:
        resolve(named(hub, sha256=wrong), tmp_path / "cache")
    assert wrong in str(caught.value)
    assert hashlib.sha256(hub.data).hexdigest() in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.gguf*part"))
    assert not list((tmp_path / "cache").rglob("*.gguf"))


@pytest.mark.parametrize(
    ("status", "words"), [(404, "does not exist"), (401, "HF_TOKEN"), (403, "HF_TOKEN"), (400, "HTTP 400")]
)
def test_the_hubs_refusals_are_explained(hub: Hub, tmp_path: Path, status: int, words: str) -> None:
    """Each refusal says what to do, and is not tried again."""
    hub.statuses = [status]
    with pytest.raises(ConfigurationError, match=words):
        resolve(named(hub), tmp_path / "cache")
    assert len(hub.requests) == 1


def test_a_hub_in_trouble_is_tried_again_but_not_for_ever(hub: Hub, tmp_path: Path) -> None:
    """Passing trouble is waited out; lasting trouble ends in an error."""
    hub.statuses = [503, 429]
    assert resolve(named(hub), tmp_path / "cache").exists()
    hub.statuses = [500] * 50
    with pytest.raises(ConfigurationError, match="cannot be fetched"):
        resolve(named(hub), tmp_path / "other")


def test_the_token_stays_with_the_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The storage host that the hub redirects to does not see the token."""
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    resolve(named(hub), tmp_path / "cache")
    assert [token for _, _, token in hub.requests] == ["Bearer hf_x", None]


def test_without_permission_nothing_is_fetched(hub: Hub, tmp_path: Path) -> None:
    """A gateway that starts does not download unless it is meant to; the error names the command."""
    with pytest.raises(ConfigurationError, match="bailiwick models pull"):
        resolve(named(hub), tmp_path / "cache", download=False)
    assert hub.requests == []


def test_a_full_disk_is_found_before_the_download(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes at once and says how much is missing."""
    monkeypatch.setattr(download, "_SPARE_BYTES", 2**60)
    with pytest.raises(ConfigurationError, match="bytes free"):
        resolve(named(hub), tmp_path / "cache")


def _resolve_in_child(model: ModelFile, cache: Path) -> None:
    resolve(model, cache)


def test_two_processes_fetch_it_once(hub: Hub, tmp_path: Path) -> None:
    """One waits for the other."""
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_resolve_in_child, args=(named(hub), tmp_path / "cache")) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert len([path for path, _, _ in hub.requests if path == "/storage"]) == 1


def test_a_path_is_used_as_it_is(tmp_path: Path) -> None:
    """A file by path needs no hash, and gets a clear error when it is missing or something else."""
    good = write_tiny_gguf(tmp_path / "m.gguf")
    assert resolve(ModelFile(path=good), tmp_path / "cache") == good
    with pytest.raises(ConfigurationError, match="does not exist"):
        resolve(ModelFile(path=tmp_path / "none.gguf"), tmp_path)
    with pytest.raises(ConfigurationError, match="does not exist"):
        resolve(ModelFile(path=tmp_path), tmp_path)
    other = tmp_path / "page.gguf"
    other.write_text("<!doctype html>")
    with pytest.raises(ConfigurationError, match="not a GGUF model file"):
        resolve(ModelFile(path=other), tmp_path)


def test_a_path_with_a_hash_is_verified_and_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has not changed is not read again at each start; one that has is."""
    path, hashed = write_tiny_gguf(tmp_path / "m.gguf"), []
    real = files.hash_file
    monkeypatch.setattr(files, "hash_file", lambda one: hashed.append(one) or real(one))
    model = ModelFile(path=path, sha256=real(path).upper())
    for _ in range(3):
        resolve(model, tmp_path / "cache")
    assert hashed == [path]
    os.utime(path, ns=(1, 1))
    resolve(model, tmp_path / "cache")
    assert len(hashed) == 2
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ConfigurationError, match="is not the file that was configured"):
        resolve(model, tmp_path / "cache")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "'path' or by 'hub'"),
        ({"path": Path("m.gguf"), "hub": "a/b"}, "'path' or by 'hub'"),
        ({"hub": "a/b", "file": "m.gguf"}, "needs 'sha256'"),
        ({"hub": "a/b", "file": "m.bin", "sha256": "0" * 64}, "must name a .gguf file"),
        ({"hub": "a/b", "file": "../../m.gguf", "sha256": "0" * 64}, "must name a .gguf file"),
        ({"hub": "a/b", "sha256": "0" * 64}, "must name a .gguf file"),
        ({"hub": "https://x/a/b", "file": "m.gguf", "sha256": "0" * 64}, "owner/name"),
        ({"path": Path("m.gguf"), "sha256": "abc"}, "64 hexadecimal"),
    ],
)
def test_a_model_is_named_properly_or_not_at_all(fields: dict[str, object], words: str) -> None:
    """What cannot be right is refused when the settings are read; without a hash nothing comes from a hub."""
    with pytest.raises(ConfigurationError, match=words):
        ModelFile(**fields)  # type: ignore[arg-type]
