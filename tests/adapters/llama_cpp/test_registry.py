"""Tests of `adapters.llama_cpp.registry`."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from adapters.llama_cpp.registry import Model, Reference, Registry, Version, find
from gateway.domain.errors import ConfigurationError

ONE = Version(
    number=1,
    sha256="1" * 64,
    file="one.gguf",
    size=10,
    architecture="llama",
    quantisation="Q8_0",
    context_tokens=512,
    source="file:/one.gguf",
    added_at="2026-01-01T00:00:00+00:00",
    added_by="anna",
)


def filled(folder: Path, versions: int = 3) -> Registry:
    registry = Registry(folder)
    with registry.change() as models:
        model = models.setdefault("private", Model())
        for number in range(1, versions + 1):
            model.add(replace(ONE, number=number, sha256=str(number) * 64))
        model.point("stable", 1)
    return registry


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Versions, aliases and what they were before survive; where there is no registry, there are no models."""
    assert Registry(tmp_path / "none").read() == {}
    registry = filled(tmp_path / "new")
    with registry.change() as models:
        models["private"].point("stable", 3)
    (model,) = registry.read().values()
    assert list(model.versions) == [1, 2, 3]
    assert (model.aliases, model.before, model.last) == ({"stable": 3}, {"stable": [1]}, 3)
    assert find(registry.read(), Reference.parse("private@stable")).number == 3
    assert find(registry.read(), Reference.parse("private@2")).number == 2


def test_back_goes_step_by_step() -> None:
    """Each step back is to what the alias was before, and a version that is gone is passed over."""
    model = Model()
    for number in (1, 2, 3, 4):
        model.add(replace(ONE, number=number))
        model.point("stable", number)
    model.point("stable", 4)  # no change, nothing to remember
    assert model.back("stable") == 3
    model.remove(2)
    assert model.back("stable") == 1
    assert model.back("stable") is None
    assert model.aliases == {"stable": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("private", "names no version"),
        ("Private@stable", "cannot name a model"),
        ("../x@stable", "cannot name a model"),
        ("private@", "after the @"),
        ("private@Stable!", "after the @"),
        ("private@²", "after the @"),
        ("private@old", r"has no alias 'old' \(there are: stable\)"),
        ("private@9", r"has no version 9 \(there are: 1, 2, 3\)"),
        ("other@stable", "no model 'other'"),
    ],
)
def test_a_wrong_reference_is_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    """It says what is wrong with it, and what there is."""
    models = filled(tmp_path).read()
    with pytest.raises(ConfigurationError, match=words):
        find(models, Reference.parse(text))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"schema": 1, "models": {"a": {}}}',
        b'{"schema": 2, "models": {}}',
        b'{"schema": 1, "models": {"../a": {"versions": [], "aliases": {}, "before": {}, "last": 0}}}',
        orjson.dumps(
            {
                "schema": 1,
                "models": {
                    "a": {
                        "versions": [{name: getattr(ONE, name) for name in ONE.__slots__} | {"file": "../../x"}],
                        "aliases": {},
                        "before": {},
                        "last": 1,
                    }
                },
            }
        ),
    ],
)
def test_a_damaged_registry_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    """What is not a registry is refused, also where it leads to files elsewhere, and is not overwritten."""
    registry = Registry(tmp_path)
    registry.path.write_bytes(content)
    with pytest.raises(ConfigurationError), registry.change() as models:
        models["new"] = Model()
    assert registry.path.read_bytes() == content


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The file is as it was, and no lock remains."""
    registry = filled(tmp_path)
    before = registry.path.read_bytes()
    with pytest.raises(ZeroDivisionError), registry.change() as models:
        models["x"] = Model(last=1 // len(models.pop("x", Model()).versions))
    assert registry.path.read_bytes() == before
    with registry.change():
        pass


def _point(folder: Path, alias: str) -> None:
    for number in (2, 3, 1) * 10:
        with Registry(folder).change() as models:
            models["private"].point(alias, number)


def test_two_processes_lose_no_change(tmp_path: Path) -> None:
    """Each of two that change the registry at the same time finds what the other did."""
    registry = filled(tmp_path)
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_point, args=(tmp_path, alias)) for alias in ("a", "b")]
    for child in children:
        child.start()
    for child in children:
        child.join()
    model = registry.read()["private"]
    assert [len(model.before[alias]) for alias in ("a", "b")] == [29, 29]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """A file in the folder's place, say."""
    (tmp_path / "x").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be changed"), Registry(tmp_path / "x").change():
        pass
