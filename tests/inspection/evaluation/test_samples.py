"""Labelled text from files: every kind is read, and what is wrong is said with its line and without its content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.domain.errors import ConfigurationError
from gateway.inspection.evaluation import Label, Sample, read_samples


def read(tmp_path: Path, content: str) -> list[Sample]:
    file = tmp_path / "data"
    file.write_text(content, "utf-8")
    return read_samples(file)


def shown(sample: Sample) -> tuple[str, list[tuple[str, str]]]:
    return sample.text, [(sample.text[label.start : label.end], label.entity) for label in sample.labels]


def test_presidio_research(tmp_path: Path) -> None:
    """A list of objects, with other members that do not matter, and the line of each."""
    span = {"entity_type": "PERSON", "entity_value": "Ada", "start_position": 5, "end_position": 8}
    items = [{"full_text": "I am Ada", "masked": "I am {{p}}", "spans": [span]}, {"full_text": "nobody", "spans": []}]
    samples = read(tmp_path, json.dumps(items, indent=1))
    assert samples[0] == Sample("I am Ada", (Label(5, 8, "PERSON"),), 2)
    assert (samples[1].text, samples[1].labels, samples[1].line) == ("nobody", (), 14)
    assert len(read(tmp_path, json.dumps(items))) == 2


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "I am Ada", "spans": [[5, 8, "PER"]]}',
        '{"text": "I am Ada", "label": [[5, 8, "PER"]], "id": 3}',
        '{"text": "I am Ada", "entities": [{"start": 5, "end": 8, "label": "PER"}]}',
        '{"full_text": "I am Ada", "spans": [{"start_offset": 5, "end_offset": 8, "type": "PER"}]}',
    ],
)
def test_json_lines(tmp_path: Path, line: str) -> None:
    """One object per line, with the names that labelling tools use; empty lines do not count."""
    samples = read(tmp_path, f"{line}\n\n{line}\n")
    assert samples == [Sample("I am Ada", (Label(5, 8, "PER"),), number) for number in (1, 3)]


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ("B-PER I-PER O B-LOC", ["Ada Byron", "London"]),
        ("I-PER I-PER O I-LOC", ["Ada Byron", "London"]),
        ("B-PER L-PER O U-LOC", ["Ada Byron", "London"]),
        ("B-PER E-PER O S-LOC", ["Ada Byron", "London"]),
        ("PER PER O LOC", ["Ada Byron", "London"]),
        ("B-PER B-PER O B-LOC", ["Ada", "Byron", "London"]),
        ("I-PER I-LOC O O", ["Ada", "Byron"]),
    ],
)
def test_tags_of_conll(tmp_path: Path, tags: str, names: list[str]) -> None:
    """The tag is in the last column; every scheme gives the same stretches."""
    rows = zip(["Ada", "Byron", "in", "London"], tags.split(), strict=True)
    content = "-DOCSTART- -X- O O\n\n" + "".join(f"{token} NN X {tag}\n" for token, tag in rows)
    (sample,) = read(tmp_path, content)
    assert [value for value, _ in shown(sample)[1]] == names
    assert sample.line == 3


def test_text_of_conll(tmp_path: Path) -> None:
    """Tokens become text as one would write it; a tab may part the columns, and a hash sign may be a token."""
    tokens = 'Ada \'s "|fine|" -LRB- see p. 3 -RRB- , #ok !'.replace("|", " ").split()
    content = (
        "\n".join(f"{token}\tO" for token in tokens).replace("Ada\tO", "Ada\tB-person") + "\n\n\nBob\tB-person\r\n"
    )
    samples = read(tmp_path, "# a comment\n" + content)
    assert shown(samples[0]) == ('Ada\'s "fine" (see p. 3), #ok!', [("Ada", "person")])
    assert shown(samples[1]) == ("Bob", [("Bob", "person")])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("[]", "has no samples"),
        ('[{"full_text": "secret", "spans": []}\n{}]', ":2: a comma"),
        ('[\n{"full_text": "secret", "spans": [}]', ":2: is not JSON"),
        ('[\n\n{"full_text": "secret"}]', ':3: a sample needs a list of spans under "spans"'),
        ('{"text": "secret", "spans": []}\n{"spans": []}', ":2: a sample needs a text"),
        ('{"text": "secret", "spans": [[0, 3, "A"], [2, 9, "A"]]}', ":1: span 2: 2 to 9 is not in the text"),
        ('{"text": "secret", "spans": [[3, 3, "A"]]}', ":1: span 1: 3 to 3"),
        ('{"text": "secret", "spans": [[true, 3, "A"]]}', "whole numbers"),
        ('{"text": "secret", "spans": ["secret"]}', ":1: span 1: must be [start, end, label]"),
        ('{"text": "secret", "spans": [[0, 3, ""]]}', "has no label"),
        ('{"text": "secret", "spans": []}\nsecret', ":2: is not JSON"),
        ("a O\nsecret\n", ":2: a line needs a token and a tag"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: str, says: str) -> None:
    """File and line, and what is wrong there, but nothing of the text."""
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, content)
    message = str(error.value)
    assert message.startswith(str(tmp_path / "data"))
    assert says in message
    assert "secret" not in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and one that is no text are named."""
    with pytest.raises(ConfigurationError, match="No such file"):
        read_samples(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"caf\xe9 O")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        read_samples(tmp_path / "latin")
