"""Tests of `adapters.llama_cpp.download`, against a hub on this machine."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path

import pytest

from adapters.llama_cpp import download
from adapters.llama_cpp.download import WrongFile, fetch, private_folder
from gateway.domain.errors import ConfigurationError
from support.hub import Hub

FILE = "/owner/name/resolve/main/m.gguf"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def interrupted(hub: Hub, part: Path, monkeypatch: pytest.MonkeyPatch, wanted: str | None = None) -> None:
    """A download of which 100,000 bytes are there."""
    hub.break_after = 100_000
    with monkeypatch.context() as patched:
        patched.setattr(download, "_ATTEMPTS", 1)
        with pytest.raises(ConfigurationError, match="the 100000 bytes"):
            fetch(hub.url + FILE, part, wanted)


def test_without_a_hash_one_is_told(hub: Hub, tmp_path: Path) -> None:
    """A file that nothing is known of arrives whole, and its hash is what it is."""
    assert fetch(hub.url + FILE, tmp_path / "part", None) == digest(hub.data)
    assert (tmp_path / "part").read_bytes() == hub.data


def test_a_later_try_goes_on(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an interrupted command left is not fetched again, as long as the hub says that the file is the same."""
    hub.tag = '"one"'
    interrupted(hub, tmp_path / "part", monkeypatch)
    assert fetch(hub.url + FILE, tmp_path / "part", None) == digest(hub.data)
    assert hub.ranges_asked() == [None, "bytes=100000-"]


@pytest.mark.parametrize("pinned", [False, True])
def test_a_file_that_changed_meanwhile_comes_whole(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    """The rest of another file is never put after the beginning of this one."""
    hub.tag = '"one"'
    interrupted(hub, tmp_path / "part", monkeypatch, "0" * 64 if pinned else None)
    hub.data, hub.tag = hub.data[::-1], '"two"'
    assert fetch(hub.url + FILE, tmp_path / "part", digest(hub.data) if pinned else None) == digest(hub.data)
    assert (tmp_path / "part").read_bytes() == hub.data


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_what_cannot_be_told_apart_begins_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    """Without a hash and without a strong tag, nothing would notice a change, so the download begins from the start."""
    hub.tag = tag
    interrupted(hub, tmp_path / "part", monkeypatch)
    hub.data = hub.data[::-1]
    assert fetch(hub.url + FILE, tmp_path / "part", None) == digest(hub.data)
    assert hub.ranges_asked() == [None, None]


def test_a_server_that_falls_silent_is_asked_again(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which nothing arrives is given up, and what had arrived is kept."""
    monkeypatch.setattr(download, "_SILENCE_SECONDS", 0.2)
    hub.tag, hub.silent = '"one"', 1.0
    assert fetch(hub.url + FILE, tmp_path / "part", None) == digest(hub.data)
    asked = hub.ranges_asked()
    assert asked[0] is None
    assert str(asked[1]).startswith("bytes=")


def test_a_disk_that_fills_up_is_a_sentence(hub: Hub, tmp_path: Path) -> None:
    """The error says where there is no room; with room, the next try goes on. (A limit on the size of files stands in
    for the full disk: the same call fails in the same place.)"""
    hub.tag = '"one"'
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(ConfigurationError, match=r"is full; the \d+ bytes that are there are kept"):
            fetch(hub.url + FILE, tmp_path / "part", None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert fetch(hub.url + FILE, tmp_path / "part", None) == digest(hub.data)
    assert hub.ranges_asked()[1] is not None


def test_a_wrong_hash_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    """Neither the file nor its tag stay behind."""
    hub.tag = '"one"'
    with pytest.raises(WrongFile, match=digest(hub.data)):
        fetch(hub.url + FILE, tmp_path / "part", "0" * 64)
    assert list(tmp_path.glob("part*")) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://[bad/x", "ftp://127.0.0.1/x"])
def test_an_address_that_leads_nowhere_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Nobody there, no URL, no HTTP: the error names what cannot be fetched."""
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.0)
    with pytest.raises(ConfigurationError, match="cannot be fetched"):
        fetch(url, tmp_path / "part", None)


def test_folders_are_private(tmp_path: Path) -> None:
    """Each folder that is made can be entered by its owner only."""
    private_folder(tmp_path / "a" / "b")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700, 0o700]
