"""The guide to policies is true: who does what it says, in an empty folder, gets the answers that it shows.

``python tests/test_policy_guide.py`` writes the answers of today into the guide, and the files that come out of it into
docs/examples/hospital. Answers of which the guide leaves something out are left as they are.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

from gateway.cli import main

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "policy-guide.md"
HOSPITAL = ROOT / "docs" / "examples" / "hospital"
FILES = ("targets.yaml", "known.yaml", "policy-1.yaml", "policy.yaml", "policy_test.yaml")

# What the guide asks of its reader: to add a box to the file that is named above it, to change that file, or to type
# commands.
BOX = re.compile(r"^(?:<!-- (?P<file>\S+) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_OUT = "…\n"
TODAY = re.compile(r"(?<=, for )\d{4}-\d\d-\d\d$", re.MULTILINE)
FOR_EDITORS = re.compile(r"^# yaml-language-server: .*\n")


@dataclass(frozen=True)
class Answer:
    """What the guide shows below a command, and what the command says. `line` is the place in the guide."""

    line: int
    command: str
    shown: str
    real: str

    @property
    def same(self) -> bool:
        """Apart from the day of today, and from what is left out."""
        parts = TODAY.sub("DAY", self.shown).split(LEFT_OUT)
        return re.fullmatch(".*".join(map(re.escape, parts)), TODAY.sub("DAY", self.real), re.DOTALL) is not None


def follow(box: re.Match[str]) -> Iterator[Answer]:
    """Do what a box of the guide says, in this folder."""
    line = box.string.count("\n", 0, box.start("body"))
    match box["kind"]:
        case "yaml":
            add(Path(box["file"]), box["body"])
        case "diff":
            change(Path(box["file"]), box["body"])
        case "console":
            for part in re.split(r"^\$ ", box["body"], flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                yield Answer(line, command, shown, said(command))
        case other:
            raise AssertionError(f"docs/policy-guide.md:{line}: nobody knows what to do with a box of kind {other}")


def add(file: Path, body: str) -> None:
    """At the end, after an empty line."""
    file.write_text(f"{file.read_text('utf-8')}\n{body}" if file.exists() else body, "utf-8")


def change(file: Path, body: str) -> None:
    """Lines with - go, lines with + come, the others say where."""
    lines = body.splitlines(keepends=True)
    old, new = ("".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +"))
    text = file.read_text("utf-8")
    assert text.count(old) == 1, f"{file} has these lines {text.count(old)} times:\n{old}"
    file.write_text(text.replace(old, new), "utf-8")


def said(command: str) -> str:
    """What a terminal would show: both streams, as they come."""
    program, *arguments = shlex.split(command)
    if program == "cp":
        shutil.copy(*arguments)
        return ""
    assert program == "bailiwick", command
    output = CliRunner().invoke(main, arguments, catch_exceptions=False).output
    return "".join(f"{line.rstrip()}\n" for line in output.splitlines())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hospital")


@pytest.fixture(scope="module")
def answers(folder: Path) -> list[Answer]:
    """All of the guide, done once in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TERM", "dumb")
        for name in [name for name in os.environ if name.startswith("BAILIWICK_")]:
            patch.delenv(name)
        return [answer for box in BOX.finditer(GUIDE.read_text("utf-8")) for answer in follow(box)]


def test_every_answer_in_the_guide_is_real(answers: list[Answer]) -> None:
    """Each command of the guide answers, letter by letter, what the guide shows below it."""
    assert answers
    for each in answers:
        assert each.same, f"docs/policy-guide.md:{each.line}: $ {each.command}\nanswers:\n{each.real}"


def test_the_guide_shows_what_it_is_for(answers: list[Answer]) -> None:
    """Its answers have slips that are told, guarantees proved and broken, a loosening, passed tests and a signature."""
    shown = "".join(each.shown for each in answers)
    for words in ("did you mean", "✓ proved", "✗ BROKEN", "LOOSER", " 0 failed", "Coverage 100 %", "Signature: ___"):
        assert words in shown, words


@pytest.mark.parametrize("name", FILES)
def test_the_example_is_what_the_guide_makes(folder: Path, answers: list[Answer], name: str) -> None:
    """Who follows the guide ends with the files of docs/examples/hospital, but for their comments to editors."""
    assert (folder / name).read_text("utf-8") == FOR_EDITORS.sub("", (HOSPITAL / name).read_text("utf-8"))


def test_another_answer_is_noticed() -> None:
    """An answer with anything more, less or else is not taken for the real one; that of another day is."""
    real = "a.yaml: ok\n  analysed with the 3 targets, for 2026-11-21\n  1 guarantee: 1 proved\n"
    assert Answer(1, "", real.replace("2026-11-21", "2027-01-01"), real).same
    assert Answer(1, "", "a.yaml: ok\n…\n  1 guarantee: 1 proved\n", real).same
    for wrong in (real.replace("ok", "no"), f"{real}more\n", real.removesuffix("\n"), "…\n  1 guarantee", ""):
        assert not Answer(1, "", wrong, real).same


def write() -> None:
    """The answers into the guide, the files into the example."""

    def again(box: re.Match[str]) -> str:
        found = list(follow(box))
        if not found:
            return box[0]
        kept = (f"$ {each.command}\n{each.shown if LEFT_OUT in each.shown else each.real}" for each in found)
        return f"```console\n{''.join(kept)}```"

    with TemporaryDirectory() as folder:
        os.chdir(folder)
        guide = BOX.sub(again, GUIDE.read_text("utf-8"))
        for name in FILES:
            comment = FOR_EDITORS.match((HOSPITAL / name).read_text("utf-8"))
            (HOSPITAL / name).write_text((comment[0] if comment else "") + Path(name).read_text("utf-8"), "utf-8")
        GUIDE.write_text(guide, "utf-8")
        os.chdir(ROOT)


if __name__ == "__main__":
    write()
