"""gateway.cli.inspect: what was found is shown, to people and to programs, and counted against labels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from support.live import Setup, cloud_target

TEXT = "Write to anna@example.com, card 4242 4242 4242 4242."


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["inspect", *arguments], input=stdin, catch_exceptions=False)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file is lying about."""
    monkeypatch.chdir(tmp_path)


def test_a_text() -> None:
    """Entity, score, recogniser, place and value of each finding, and in one line which recognisers were asked."""
    result = run(TEXT)
    assert result.exit_code == 0
    active, header, *rows, end = result.stdout.splitlines()
    assert active.startswith("Presidio ")
    assert "Card" in active
    assert header.split() == ["entity", "score", "recogniser", "place", "value"]
    assert [row.split()[:4] for row in rows] == [
        ["EMAIL_ADDRESS", "1.00", "MailRecognizer", "9\u201325"],
        ["CREDIT_CARD", "1.00", "CardRecognizer", "32\u201351"],
    ]
    assert "4242 4242 4242 4242" in rows[1]
    assert end == f"2 findings in {len(TEXT)} characters."
    assert "\x1b" not in result.stdout  # no colour where no terminal reads


@pytest.mark.parametrize("how", ["file", "stdin", "dash", "command"])
def test_where_the_text_comes_from(tmp_path: Path, how: str) -> None:
    """A file, standard input, or the argument of the command by its full name give the same."""
    (tmp_path / "letter.txt").write_text(TEXT)
    found = {
        "file": lambda: run("--file", "letter.txt"),
        "stdin": lambda: run(stdin=TEXT.encode()),
        "dash": lambda: run("-", stdin=TEXT.encode()),
        "command": lambda: run("text", TEXT),
    }[how]()
    assert found.exit_code == 0
    assert found.stdout == run(TEXT).stdout


def test_json() -> None:
    """The same for programs; a disguised value is shown as it stands in the text."""
    found: dict[str, Any] = json.loads(run("Mail anna%40example.com", "--format", "json").stdout)
    (finding,) = found["findings"]
    assert finding == {
        "entity": "EMAIL_ADDRESS",
        "score": 1.0,
        "recognizer": "MailRecognizer",
        "start": 5,
        "end": 23,
        "value": "anna%40example.com",
    }
    assert found["language"] is None
    assert found["detector"]["names"] == "builtin"
    assert "EMAIL_ADDRESS" in found["detector"]["entities"]
    assert "MailRecognizer" in found["detector"]["recognizers"]


@pytest.mark.parametrize("format_", ["table", "json"])
def test_without_values(format_: str) -> None:
    """Nothing of the text is printed when it is not wanted."""
    result = run(TEXT, "--no-values", "--format", format_)
    assert "CREDIT_CARD" in result.stdout
    assert "4242" not in result.stdout
    assert "anna" not in result.stdout


def test_the_language() -> None:
    """It is told where it can be guessed, with the engine for names."""
    german = "Bitte schreiben Sie mir an anna@example.com, danke."
    lines = run(german).stdout.splitlines()
    assert "(names: builtin)" in lines[0]
    assert lines[-1] == f"1 finding in {len(german)} characters of German."
    assert json.loads(run(german, "--format", "json").stdout)["language"] == "de"


def test_nothing_found() -> None:
    """That there is nothing is said; less sure findings can be left out."""
    assert run("The sky is blue.").stdout.splitlines()[-1] == "Nothing was found in 16 characters of English."
    server = "The server is 10.20.30.40."
    assert run(server).stdout.splitlines()[-1].startswith("1 finding in")
    assert run(server, "--threshold", "0.9").stdout.splitlines()[-1].startswith("Nothing")


def test_a_value_cannot_steer_the_terminal() -> None:
    """Control characters in a value are shown, not sent."""
    result = run(
        stdin=b"-----BEGIN PRIVATE KEY-----\nMIIE\x1b[2Jvgabcdefghijklmnopqrstuvwxyz\n-----END PRIVATE KEY-----"
    )
    assert "PRIVATE_KEY" in result.stdout
    assert "\x1b" not in result.stdout
    assert "KEY-----\\nMIIE" in result.stdout


def test_wrong_use(tmp_path: Path) -> None:
    """Exit code 2: two texts, a file that is not there, settings that are wrong, a map that is none."""
    (tmp_path / "bad.yaml").write_text("nonsense: 1")
    (tmp_path / "data.jsonl").write_text('{"text": "a", "spans": []}')
    for arguments, says in [
        (["a text", "--file", "x"], "not both"),
        (["--file", "x"], "x: No such file"),
        (["evaluate"], "--data"),
        (["evaluate", "--data", "x.json"], "x.json: No such file"),
        (["evaluate", "--data", "data.jsonl", "--map", "PER"], "'PER' is not FROM=TO"),
    ]:
        result = run(*arguments)
        assert (result.exit_code, says in result.stderr) == (2, True), (arguments, result.output)
    result = CliRunner().invoke(main, ["--config", "bad.yaml", "inspect", "a text"])
    assert result.exit_code == 2
    assert "bad.yaml" in result.stderr


def test_recognisers_of_ones_own(tmp_path: Path) -> None:
    """What the settings add to the recognisers is found, named and counted, in this folder's settings or in others."""
    setup = Setup(
        folder=tmp_path / "other",
        targets=[cloud_target("cloud", "https://api.example.com/v1")],
        models={"auto": "{targets: [cloud]}"},
        extra="inspection: {recognizers: [company.yaml]}",
    )
    config = setup.write()
    rule = "{name: badge, regex: 'ACME-\\d{6}', score: 0.6}"
    config.with_name("company.yaml").write_text(
        f"recognizers: [{{name: Staff numbers, supported_entity: ACME_STAFF_ID, patterns: [{rule}]}}]\n"
    )
    text = "Number ACME-204711."
    assert "Nothing was found" in run(text).stdout
    result = CliRunner().invoke(main, ["--config", str(config), "inspect", text], catch_exceptions=False)
    assert re.search(r"ACME_STAFF_ID +0\.60 +Staff numbers +7\u201318 +ACME-204711", result.stdout)


DATA = [
    ("Write to anna@example.com today.", [[9, 25, "EMAIL"]]),
    ("Card 4242 4242 4242 4242, thanks.", [[5, 24, "CREDIT_CARD"]]),
    ("The blue zebra told nobody.", [[4, 14, "SECRET_ANIMAL"]]),
    ("The server is 10.20.30.40.", []),
]


@pytest.fixture
def data(tmp_path: Path) -> str:
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps({"text": text, "spans": spans}) + "\n" for text, spans in DATA))
    return str(file)


def test_evaluate(data: str) -> None:
    """Two of three labels are found, and one finding is none, worked out by hand; the rest is told in words."""
    found: dict[str, Any] = json.loads(run("evaluate", "--data", data, "--format", "json").stdout)
    assert found["samples"] == 4
    pii = found["pii"]
    assert (pii["precision"], pii["recall"]) == (2 / 3, 2 / 3)
    assert pii["f2"] == pytest.approx(2 / 3)
    assert found["types"]["EMAIL_ADDRESS"]["recall"] == 1
    assert found["types"]["SECRET_ANIMAL"]["recall"] == 0
    assert found["types"]["IP_ADDRESS"]["precision"] == 0
    assert found["units"] == {"labelled": 3, "hidden": 2, "share": 2 / 3}
    assert found["characters"]["covered"] == 16 + 16
    shown = run("evaluate", "--data", data).stdout
    assert "4 texts, 3 labels" in shown
    assert "Fully hidden: 2 of 3 labels (66.7%)." in shown
    assert "blue zebra" not in shown


def test_evaluate_a_choice(data: str) -> None:
    """Entities, names and thresholds can be chosen."""
    options = ["--entities", "EMAIL,ANIMAL", "--map", "SECRET_ANIMAL=ANIMAL", "--format", "json"]
    found: dict[str, Any] = json.loads(run("evaluate", "--data", data, *options).stdout)
    assert set(found["types"]) == {"EMAIL_ADDRESS", "ANIMAL"}
    assert (found["pii"]["precision"], found["pii"]["recall"]) == (1, 0.5)
    left_out = run("evaluate", "--data", data, "--map", "SECRET_ANIMAL=", "--threshold", "0.9", "--format", "json")
    assert json.loads(left_out.stdout)["pii"]["f2"] == 1


def test_evaluate_names_file_and_line(tmp_path: Path) -> None:
    """What is wrong in the data is said with its place and without its text."""
    (tmp_path / "data.jsonl").write_text('{"text": "a", "spans": []}\n{"text": "my secret", "spans": [[3, 99, "A"]]}\n')
    result = run("evaluate", "--data", "data.jsonl")
    assert result.exit_code == 2
    assert "data.jsonl:2: span 1: 3 to 99 is not in the text" in result.stderr
    assert "secret" not in result.stderr
