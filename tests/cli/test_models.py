"""``bailiwick models``: every command, with real model files, and what the audit log says of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.llama_cpp import download
from gateway.cli import main
from support.evidence import records
from support.hub import Hub, serving
from support.live import REPOSITORY, Setup, cloud_target, local_target, registered_target
from support.tiny_gguf import write_tiny_gguf

URL = "https://api.example.com/v1"


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """A model of the registry, a file that is here, one that is missing, one that was not fetched, and a cloud."""
    for name in ("HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.0)
    write_tiny_gguf(tmp_path / "here.gguf")
    hub = f"    hub: {{repo: a/b, file: c.gguf, sha256: {'a' * 64}}}"
    targets = [
        registered_target("private@stable"),
        local_target("here", file=str(tmp_path / "here.gguf")),
        local_target("gone", file=str(tmp_path / "gone.gguf")),
        re.sub("    file: .*", hub, local_target("hub")),
        cloud_target("cloud", URL),
    ]
    return Setup(tmp_path, targets, {"auto": "{targets: [house]}"})


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serving(write_tiny_gguf(tmp_path / "original.gguf").read_bytes()) as hub:
        yield hub


def run(setup: Setup, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--config", str(setup.write()), "models", *arguments])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def add(setup: Setup, context: int = 512, *more: str) -> None:
    file = write_tiny_gguf(setup.folder / f"m{context}.gguf", context_tokens=context)
    run(setup, "add", str(file), "--name", "private", *more)


def events(setup: Setup) -> list[tuple[str, str, str]]:
    return [(each.event, each.model, each.outcome) for each in records(setup.folder / "state")]


def test_list_shows_versions_and_targets(setup: Setup) -> None:
    """One sees what there is, what each alias is, and which files of targets are missing; programs get all of it."""
    lines = run(setup, "list").output.splitlines()
    assert lines[0].startswith("No models are registered")
    add(setup, 512, "--alias", "stable")
    add(setup, 256, "--alias", "next")
    lines = run(setup, "list").output.splitlines()
    rows = {line.split("\t")[0]: line.split("\t") for line in lines if line}
    assert rows["private@1"][1] == "stable"
    assert rows["private@2"][1:2] + rows["private@2"][6:7] == ["next", "256"]
    states = {name: rows[name][-1] for name in ("house", "here", "gone", "hub")}
    assert states == {"house": "here", "here": "here", "gone": "missing", "hub": "not fetched"}
    assert rows["house"][2] == "private@1"
    assert "cloud" not in rows
    found = json.loads(run(setup, "list", "--json").output)
    assert found["models"]["private"]["aliases"] == {"stable": 1, "next": 2}
    assert [each["context_tokens"] for each in found["models"]["private"]["versions"]] == [512, 256]
    assert [each["target"] for each in found["targets"]] == ["house", "here", "gone", "hub"]


def test_pull_from_a_mirror(setup: Setup, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash is shown and pinned, progress is plain lines where there is no terminal, and the log says what came."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    result = run(setup, "pull", "owner/name/m.gguf", "--name", "private", "--alias", "stable")
    digest = hashlib.sha256(hub.data).hexdigest()
    assert f"private@1: llama, 468 kB, sha256 {digest}" in result.stdout
    assert "private@stable is private@1" in result.stdout
    assert "compare it" in result.stderr
    assert re.search(r"^private: \d+ kB of 468 kB \(\d+ %\)$", result.stderr, re.MULTILINE)
    assert "private: 468 kB of 468 kB (100 %)" in result.stderr
    assert "\x1b" not in result.output
    assert events(setup) == [
        ("model added", "private@1", "private@1"),
        ("model alias set", "private@1", "private@stable is private@1"),
    ]
    assert {each.error for each in records(setup.folder / "state")} == {f"sha256:{digest}"}


def test_pull_on_a_terminal(setup: Setup, hub: Hub) -> None:
    """There, progress is a bar that is drawn over itself, and the result stays."""
    hub.silent = 0.3
    ours, theirs = pty.openpty()
    arguments = ["models", "pull", "owner/name/m.gguf", "--name", "private", "--endpoint", hub.url]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "--config", str(setup.write()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environ,
        cwd=REPOSITORY,
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other side has closed
            while data := os.read(ours, 4096):
                shown += data
    os.close(ours)
    assert process.returncode == 0
    assert "━" in shown.decode()
    assert b"private@1: llama, 468 kB" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a/b/none.gguf", "--name", "x"], 1, "does not exist (HTTP 404)"),
        (["owner/name/m.gguf", "--name", "x", "--sha256", "0" * 64], 1, "is another file: its SHA-256 is"),
        (["owner/name/m.gguf", "--name", "x", "--sha256", "abc"], 1, "64 hexadecimal digits"),
        (["owner/name/m.gguf", "--name", "X Y"], 1, "cannot name a model"),
        (["owner/name/m.gguf"], 2, "--name is missing"),
        (["owner/m", "--name", "x"], 1, "owner/name/file.gguf"),
        (["here", "--name", "x"], 2, "are for a hub's file"),
        (["nobody"], 1, "models list"),
        (["gone"], 1, "does not exist"),
        ([], 1, "no model 'private'"),
    ],
)
def test_pull_fails_with_a_sentence(setup: Setup, hub: Hub, arguments: list[str], code: int, words: str) -> None:
    """An error is one line for a person, nothing is registered, and the exit code is not 0."""
    result = run(setup, "pull", "--endpoint", hub.url, *arguments, code=code)
    assert words in result.stderr
    assert json.loads(run(setup, "list", "--json").output)["models"] == {}


def test_pull_verifies_a_target(setup: Setup) -> None:
    """A target by its id is enough; one of the registry is verified too."""
    assert "here.gguf (468 kB), verified" in run(setup, "pull", "here").output
    add(setup, 512, "--alias", "stable")
    assert run(setup, "pull", "house").output.endswith("verified\n")


def test_quantize_alias_and_rollback(setup: Setup) -> None:
    """A smaller version is made, tried, put in force, and taken back with one command; the log tells all of it."""
    add(setup, 512, "--alias", "stable")
    result = run(setup, "quantize", "private@stable", "q8_0", "--alias", "next", "--threads", "1")
    assert "private@2: llama, Q8_0, 130 kB" in result.stdout
    assert "private@stable is private@2" in run(setup, "alias", "private@stable", "2").stdout
    result = run(setup, "rollback", "private")
    assert "private@stable is private@1 again (was private@2)" in result.stdout
    assert "within seconds" in result.stderr
    assert "nothing to go back to" in run(setup, "rollback", "private", code=1).stderr
    assert "no alias 'other'" in run(setup, "rollback", "private", "--alias", "other", code=1).stderr
    assert "no version 7" in run(setup, "alias", "private@stable", "7", code=1).stderr
    assert "not an alias" in run(setup, "alias", "private@3", "1", code=1).stderr
    assert "no model 'x'" in run(setup, "quantize", "x@1", "Q8_0", code=1).stderr
    assert [event for event, _, _ in events(setup)] == [
        *("model added", "model alias set", "model added", "model alias set", "model alias set", "model rolled back"),
    ]
    assert events(setup)[-1] == ("model rolled back", "private@1", "private@stable is private@1")


def test_remove_what_nobody_uses(setup: Setup) -> None:
    """Not what an alias is, nor what a target names by its number."""
    add(setup, 512, "--alias", "stable")
    add(setup, 256)
    add(setup, 128)
    assert "point the alias to another version" in run(setup, "remove", "private@1", code=1).stderr
    setup.targets[0] = registered_target("private@2")
    assert "is used by the target 'house'" in run(setup, "remove", "private@2", code=1).stderr
    assert "private@3 is removed" in run(setup, "remove", "private@3").stdout
    assert "names no version" in run(setup, "remove", "private", code=1).stderr
    assert events(setup)[-1] == ("model removed", "private@3", "private@3")


def test_verify_finds_what_was_changed(setup: Setup) -> None:
    """Every file is read again, whatever was noted of it before; what is wrong is counted."""
    add(setup, 512, "--alias", "stable")
    add(setup, 256)
    setup.targets = setup.targets[:2]
    result = run(setup, "verify")
    assert "private@1: as pinned\nprivate@2: as pinned\nhere: can be loaded; no SHA-256" in result.stdout
    (place,) = (setup.folder / "state" / "models" / "registry").glob("*-m256.gguf")
    content = place.read_bytes()
    stat = place.stat()
    place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    result = run(setup, "verify", code=1)
    assert "private@2: " in result.stdout
    assert "is not the file that was configured" in result.stdout
    assert "1 not as it should be" in result.stderr
    assert run(setup, "verify", "private@stable").stdout == "private@1: as pinned\n"
    place.unlink()
    assert "No such file" in run(setup, "verify", "private", code=1).stdout
    assert "no model 'x'" in run(setup, "verify", "x", code=1).stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"<html>", "not a usable GGUF file"),
        (b"GGUF\x03\x00\x00\x00", "cut or damaged"),
    ],
)
def test_what_is_no_model_is_refused(setup: Setup, content: bytes | None, words: str) -> None:
    """`check` and `add` tell the reason in a sentence."""
    path = setup.folder / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    for arguments in (["check", str(path)], ["add", str(path), "--name", "x"]):
        assert words in run(setup, *arguments, code=1).stderr


def test_check_describes_a_file(setup: Setup) -> None:
    """What a file is, and what it lacks for chats."""
    path = write_tiny_gguf(setup.folder / "m.gguf", template=None)
    said = run(setup, "check", str(path)).stdout
    assert "llama" in said
    assert "512 tokens" in said
    assert "warning: without a chat template" in said


def test_without_an_audit_log_nothing_changes(setup: Setup) -> None:
    """A log that cannot be written stops the change, with a sentence that says so."""
    add(setup, 512, "--alias", "stable")
    add(setup, 256)
    with sqlite3.connect(setup.folder / "state" / "audit.db") as database:
        database.execute("UPDATE alembic_version_audit SET version_num = '9999'")
    run(setup, "alias", "private@stable", "2", code=1)
    assert json.loads(run(setup, "list", "--json").output)["models"]["private"]["aliases"] == {"stable": 1}


def test_a_damaged_registry_is_a_sentence(setup: Setup) -> None:
    """Every command says which file is damaged."""
    add(setup)
    (setup.folder / "state" / "models" / "registry" / "registry.json").write_text("{")
    for arguments in (["list"], ["verify"], ["rollback", "private"], ["pull", "house"]):
        assert "registry.json is damaged" in run(setup, *arguments, code=1).stderr
