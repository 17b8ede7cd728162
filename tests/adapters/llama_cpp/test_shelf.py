"""Tests of `adapters.llama_cpp.shelf`: the registry's operations, with real models and a hub on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from adapters.llama_cpp.files import HubFile, ModelFile, resolve
from adapters.llama_cpp.registry import Reference
from adapters.llama_cpp.shelf import Change, Shelf, locate
from gateway.domain.errors import ConfigurationError
from gateway.settings import LlamaCppSettings
from support.hub import Hub, serving
from support.tiny_gguf import write_tiny_gguf


class Told:
    """What was announced, in order; raises for the events in `refused`."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.refused: set[str] = set()

    def __call__(self, change: Change) -> None:
        if change.event in self.refused:
            raise ConfigurationError("no record, no change")
        self.changes.append(change)

    def short(self) -> list[tuple[str, str, str]]:
        return [(change.event, change.model, change.alias) for change in self.changes]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def shelf(tmp_path: Path, told: Told) -> Shelf:
    return Shelf(tmp_path / "registry", told)


def model(folder: Path, context: int = 512) -> Path:
    """A model that differs by its context."""
    return write_tiny_gguf(folder / f"m{context}.gguf", context_tokens=context)


def pull(shelf: Shelf, hub: Hub, name: str = "private", wanted: str | None = None, alias: str = "") -> int:
    return shelf.pull(name, HubFile("owner/name", "m.gguf", "main", hub.url), wanted, alias, None).number


def test_added_versions_are_numbered_and_described(shelf: Shelf, told: Told, tmp_path: Path) -> None:
    """A copy is kept under its hash; each version says what it is; the same file twice is one version."""
    first = shelf.add("private", model(tmp_path), None, "stable", link=False)
    second = shelf.add("private", model(tmp_path, 256), None, "", link=False)
    again = shelf.add("private", model(tmp_path), first.sha256.upper(), "", link=False)
    assert (first.number, second.number, again) == (1, 2, first)
    assert (first.architecture, first.context_tokens, first.source) == ("llama", 512, f"file:{tmp_path / 'm512.gguf'}")
    place = shelf.registry.place(first)
    assert hashlib.sha256(place.read_bytes()).hexdigest() == first.sha256
    assert not place.is_symlink()
    assert told.short() == [
        ("model added", "private@1", ""),
        ("model alias set", "private@1", "private@stable"),
        ("model added", "private@2", ""),
    ]
    assert {change.sha256 for change in told.changes} == {first.sha256, second.sha256}


def test_a_linked_file_stays_where_it_is(shelf: Shelf, tmp_path: Path) -> None:
    """It is not copied, is verified like a copy, and removing the version does not delete it."""
    path = model(tmp_path)
    version = shelf.add("private", path, None, "", link=True)
    place = shelf.registry.place(version)
    assert place.readlink() == path
    shelf.remove(Reference.parse("private@1"), {})
    assert path.exists()
    assert not place.is_symlink()


def test_what_is_no_model_is_not_registered(shelf: Shelf, told: Told, tmp_path: Path) -> None:
    """Neither a cut file, nor one with another hash, nor under a name that is none; and nothing is left behind."""
    path = model(tmp_path)
    with pytest.raises(ConfigurationError, match="has the SHA-256"):
        shelf.add("private", path, "0" * 64, "", link=False)
    with pytest.raises(ConfigurationError, match="64 hexadecimal"):
        shelf.add("private", path, "abc", "", link=False)
    with pytest.raises(ConfigurationError, match="cannot name a model"):
        shelf.add("My Model", path, None, "", link=False)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ConfigurationError, match="not within the file bounds"):
        shelf.add("private", path, None, "", link=False)
    assert told.changes == []
    assert not list(tmp_path.glob("registry/*.gguf"))


def test_a_first_pull_pins_what_it_got(shelf: Shelf, hub: Hub, told: Told) -> None:
    """Later pulls of the same file must give the same, from whatever mirror; a new version needs its hash."""
    assert pull(shelf, hub, alias="stable") == 1
    version = shelf.registry.read()["private"].versions[1]
    assert version.sha256 == hashlib.sha256(hub.data).hexdigest()
    assert version.source == "owner/name/m.gguf@main"
    asked = len(hub.requests)
    assert pull(shelf, hub) == 1  # it is there: the hub is not even asked
    assert len(hub.requests) == asked
    with serving(hub.data.replace(b"tiny", b"TINY")) as mirror:
        with pytest.raises(ConfigurationError, match=r"pinned when it was fetched before.*say --sha256"):
            pull(shelf, mirror, name="other")
        wanted = hashlib.sha256(mirror.data).hexdigest()
        assert pull(shelf, mirror, wanted=wanted, alias="next") == 2
    assert told.short()[-1] == ("model alias set", "private@2", "private@next")


def test_a_pull_goes_on_after_an_interruption(shelf: Shelf, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of a pull that broke off are used by the next one."""
    hub.tag, hub.break_after = '"one"', 100_000
    with monkeypatch.context() as patched:
        patched.setattr("adapters.llama_cpp.download._ATTEMPTS", 1)
        with pytest.raises(ConfigurationError, match="the next try goes on"):
            pull(shelf, hub)
    assert pull(shelf, hub) == 1
    assert hub.ranges_asked() == [None, "bytes=100000-"]


def test_a_pull_of_what_is_no_model_leaves_nothing(shelf: Shelf, hub: Hub, told: Told, tmp_path: Path) -> None:
    """A page, or a cut model, with whatever hash: it is deleted, and the next pull begins from the start."""
    good = hub.data
    for bad in (b"<html>", good[:-5000]):
        hub.data = bad
        with pytest.raises(ConfigurationError, match="is not usable, and was deleted"):
            pull(shelf, hub)
    hub.data = good
    assert pull(shelf, hub) == 1
    assert not list(tmp_path.rglob("*.part"))
    assert [change.event for change in told.changes] == ["model added"]


@pytest.mark.parametrize("text", ["file.gguf", "owner/name", "a/b/c.bin", "a/b/../c.gguf", "https://h/a/b.gguf"])
def test_a_hubs_file_is_named_properly(text: str) -> None:
    """Anything but owner/name/file.gguf is an error that says so."""
    with pytest.raises(ConfigurationError, match=r"owner/name|must be a \.gguf file"):
        HubFile.parse(text, "main", "https://h")
    with pytest.raises(ConfigurationError, match="revision"):
        HubFile.parse("a/b/c.gguf", "../../x", "https://h")


def test_a_smaller_version(shelf: Shelf, told: Told, tmp_path: Path) -> None:
    """It is a version of its own with its own hash; the source is verified before."""
    first = shelf.add("private", model(tmp_path), None, "stable", link=False)
    second = shelf.quantize(Reference.parse("private@stable"), "Q8_0", "next", 1)
    assert (second.number, second.quantisation, second.source) == (2, "Q8_0", "Q8_0 of private@1")
    assert second.size < first.size
    assert hashlib.sha256(shelf.registry.place(second).read_bytes()).hexdigest() == second.sha256 != first.sha256
    shelf.registry.place(first).write_bytes(b"GGUF something else")
    with pytest.raises(ConfigurationError, match="is not the file that was configured"):
        shelf.quantize(Reference.parse("private@1"), "Q4_K_M", "", 1)
    assert len(told.changes) == 4
    assert not list((tmp_path / "registry").glob("*.tmp"))


def test_roll_back_and_what_a_target_gets(shelf: Shelf, told: Told, tmp_path: Path) -> None:
    """An alias moves, and goes back in one step; a target that names it gets that version, verified."""
    folder = tmp_path / "registry"
    source = LlamaCppSettings(None, registered="private@stable")
    with pytest.raises(ConfigurationError, match="no model 'private'"):
        locate(source, folder)
    for context in (512, 256):
        shelf.add("private", model(tmp_path, context), None, "stable", link=False)
    located = locate(source, folder)
    assert located.version == "private@2"
    assert resolve(located.file, tmp_path) == shelf.registry.place(shelf.registry.read()["private"].versions[2])
    old, new = shelf.rollback("private", "stable")
    assert (old.number, new.number) == (2, 1)
    assert told.short()[-1] == ("model rolled back", "private@1", "private@stable")
    assert locate(source, folder).version == "private@1"
    with pytest.raises(ConfigurationError, match="nothing to go back to"):
        shelf.rollback("private", "stable")
    place = shelf.registry.place(new)
    place.write_bytes(place.read_bytes().replace(b"tiny", b"TINY"))
    with pytest.raises(ConfigurationError, match="is not the file that was configured"):
        resolve(locate(source, folder).file, tmp_path)


def test_a_path_needs_no_registry(tmp_path: Path) -> None:
    """A target that names its file gets it."""
    located = locate(LlamaCppSettings(tmp_path / "m.gguf"), tmp_path)
    assert (located.file, located.version) == (ModelFile(path=tmp_path / "m.gguf"), "")


def test_what_is_used_is_not_removed(shelf: Shelf, told: Told, tmp_path: Path) -> None:
    """Not what an alias points to, nor what a target uses; a number is never given again."""
    for context in (512, 256):
        shelf.add("private", model(tmp_path, context), None, "stable", link=False)
    with pytest.raises(ConfigurationError, match="is private@stable; point the alias"):
        shelf.remove(Reference.parse("private@2"), {})
    with pytest.raises(ConfigurationError, match="is used by the target 'house'"):
        shelf.remove(Reference.parse("private@1"), {"private@1": "the target 'house'"})
    place = shelf.registry.place(shelf.remove(Reference.parse("private@1"), {}))
    assert not place.exists()
    assert told.short()[-1] == ("model removed", "private@1", "")
    with pytest.raises(ConfigurationError, match="nothing to go back to"):
        shelf.rollback("private", "stable")
    assert shelf.add("private", model(tmp_path), None, "", link=False).number == 3


def test_a_file_of_two_models_stays_for_the_other(shelf: Shelf, tmp_path: Path) -> None:
    """Two names may have the same file; it goes with the last of them."""
    path = model(tmp_path)
    place = shelf.registry.place(shelf.add("one", path, None, "", link=False))
    shelf.add("two", path, None, "", link=False)
    shelf.remove(Reference.parse("one@1"), {})
    assert place.exists()
    shelf.remove(Reference.parse("two@1"), {})
    assert not place.exists()


def test_without_a_record_nothing_changes(shelf: Shelf, told: Told, tmp_path: Path) -> None:
    """Each change is announced before it is made, and not made when that fails."""
    for context in (512, 256):
        shelf.add("private", model(tmp_path, context), None, "stable", link=False)
    shelf.add("private", model(tmp_path, 128), None, "", link=False)
    before = shelf.registry.path.read_bytes()
    told.refused = {"model added", "model alias set", "model rolled back", "model removed"}
    for attempt in (
        lambda: shelf.add("other", model(tmp_path, 64), None, "", link=False),
        lambda: shelf.point(Reference.parse("private@stable"), 3),
        lambda: shelf.rollback("private", "stable"),
        lambda: shelf.remove(Reference.parse("private@3"), {}),
    ):
        with pytest.raises(ConfigurationError, match="no record, no change"):
            attempt()
    assert shelf.registry.path.read_bytes() == before


def test_a_change_that_cannot_be_written_is_taken_back_in_words(
    shelf: Shelf, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was announced and could not be made is said to be not made."""
    shelf.add("private", model(tmp_path), None, "", link=False)

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.domain.files.os.fsync", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        shelf.point(Reference.parse("private@stable"), 1)
    assert [change.event for change in told.changes[1:]] == ["model alias set", "model change not made"]
    assert shelf.registry.read()["private"].aliases == {}


def test_a_damaged_copy_is_mended(shelf: Shelf, hub: Hub, tmp_path: Path) -> None:
    """Adding or pulling the same file again puts it back as it was."""
    pull(shelf, hub)
    version = shelf.registry.read()["private"].versions[1]
    place = shelf.registry.place(version)
    place.write_bytes(b"GGUF")
    assert pull(shelf, hub) == 1
    assert place.read_bytes() == hub.data
    place.unlink()
    (tmp_path / "m.gguf").write_bytes(hub.data)
    shelf.add("copy", tmp_path / "m.gguf", None, "", link=False)
    shelf.registry.place(shelf.registry.read()["copy"].versions[1]).write_bytes(b"GGUF")
    assert shelf.add("copy", tmp_path / "m.gguf", None, "", link=False).number == 1
    assert shelf.registry.place(shelf.registry.read()["copy"].versions[1]).read_bytes() == hub.data
