"""Tests of `gateway.cli.models`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.llama_cpp.files import ModelFile, hash_file
from gateway.cli.models import models
from support.tiny_gguf import write_tiny_gguf


@dataclass
class FakeTarget:
    id: str
    adapter: str
    model_file: ModelFile | None


@dataclass
class FakeSettings:
    targets: Sequence[FakeTarget]
    model_cache: Path

    def settings(self) -> FakeSettings:
        """This object is also what the command line passes on."""
        return self


def run(settings: FakeSettings | None, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(models, arguments, obj=settings)


@pytest.fixture
def settings(tmp_path: Path) -> FakeSettings:
    """A local model that is there, one that is missing, one that was not fetched, and a cloud target."""
    here = write_tiny_gguf(tmp_path / "here.gguf")
    return FakeSettings(
        [
            FakeTarget("here", "llama_cpp", ModelFile(path=here, sha256=hash_file(here))),
            FakeTarget("gone", "llama_cpp", ModelFile(path=tmp_path / "gone.gguf")),
            FakeTarget("hub", "llama_cpp", ModelFile(hub="a/b", file="c.gguf", sha256="0" * 64)),
            FakeTarget("cloud", "openai", None),
        ],
        tmp_path / "cache",
    )


def test_list_shows_each_local_target(settings: FakeSettings) -> None:
    """One sees at a glance which files are missing."""
    lines = run(settings, "list").output.splitlines()

    def row(name: str) -> str:
        return next((line for line in lines if f" {name} " in line), "")

    assert "here.gguf" in row("here")
    assert "512" in row("here")
    assert "missing" in row("gone")
    assert "not fetched" in row("hub")
    assert row("cloud") == ""


def test_pull_verifies_one_target(settings: FakeSettings) -> None:
    """A target by name is enough, and its hash is checked."""
    result = run(settings, "pull", "here")
    assert result.exit_code == 0
    assert "here.gguf" in result.output
    assert "verified" in result.output


@pytest.mark.parametrize(("arguments", "words"), [(["pull", "nobody"], "models list"), (["pull"], "does not exist")])
def test_pull_fails_with_a_sentence(settings: FakeSettings, arguments: list[str], words: str) -> None:
    """An error is one line for a person, and the exit code is not 0."""
    result = run(settings, *arguments)
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output


def test_check_describes_a_file(tmp_path: Path) -> None:
    """What a file is, and what it lacks for chats."""
    result = run(None, "check", str(write_tiny_gguf(tmp_path / "m.gguf", template=None)))
    assert result.exit_code == 0
    assert "llama" in result.output
    assert "512 tokens" in result.output
    assert "warning: without a chat template" in result.output


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"<html>", "not a usable GGUF file")])
def test_check_refuses_what_is_no_model(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The reason is told, with a failing exit code."""
    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)
    result = run(None, "check", str(path))
    assert result.exit_code == 1
    assert words in result.output
