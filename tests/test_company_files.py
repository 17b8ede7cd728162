"""Files with recognisers of one's own: what they may say, and how mistakes are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.documents import DocumentError
from gateway.settings import RegistrySettings, load_settings
from gateway.settings.backtracking import runs_away
from gateway.settings.company import read_company_file
from gateway.settings.recognizers import CustomPattern, CustomRecognizer, Terms, catalogue, countries

SETTINGS = """schema: 1
policy: p.yaml
inspection: {inspection}
targets:
  - {{id: t, adapter: llama_cpp, zone: local, region: x, model: m, file: m, context_tokens: 99, max_output_tokens: 9}}
models: {{auto: {{targets: [t]}}}}
"""
GOOD = """recognizers:
  - name: Staff
    supported_entity: ACME_STAFF_ID
    patterns: [{name: badge, regex: 'ACME-\\d{6}\\b', score: 0.6}]
    context: [Badge]
  - name: Names
    type: custom
    supported_language: en
    supported_entities: [ACME_NAME]
    deny_list: [Bluebird]
    deny_list_score: 0.9
  - {name: Off, supported_entity: X_Y, deny_list: [x], enabled: false}
allow_list: [Support@acme.example]
vocabularies: {ACME_PRODUCT: terms.txt}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "company.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def settings(folder: Path, inspection: str) -> RegistrySettings:
    (folder / "bailiwick.yaml").write_text(SETTINGS.format(inspection=inspection), encoding="utf-8")
    return load_settings(folder / "bailiwick.yaml", environ={}).inspection.registry


def test_a_good_file(tmp_path: Path) -> None:
    """Patterns, deny lists, allow lists and vocabularies; Presidio's keys; what is not enabled is left out."""
    (tmp_path / "terms.txt").write_text("# ours\nBlue bird\n~swift # a bird too\n\n", encoding="utf-8")
    found = read_company_file(write(tmp_path, GOOD))
    assert found.custom == (
        CustomRecognizer("Staff", "ACME_STAFF_ID", (CustomPattern("badge", r"ACME-\d{6}\b", 0.6),), context=("badge",)),
        CustomRecognizer("Names", "ACME_NAME", deny_list=("Bluebird",), deny_list_score=0.9),
    )
    assert found.allow == ("support@acme.example",)
    assert found.terms == (Terms("ACME_PRODUCT", ("Blue bird", "~swift")),)


def test_the_settings_hold_all_of_it(tmp_path: Path) -> None:
    """Countries, names and the content of the files are in one value, which survives JSON."""
    (tmp_path / "terms.txt").write_text("a\n", encoding="utf-8")
    write(tmp_path, GOOD)
    found = settings(
        tmp_path,
        "{countries: [de], recognizers: company.yaml, switch_on: [UrlRecognizer], switch_off: [Names, AgeRecognizer,"
        " TaggerRecognizer]}",
    )
    assert found.countries == ("de",)
    assert [item.name for item in found.custom] == ["Staff"]
    assert RegistrySettings.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert {"ACME_STAFF_ID", "ACME_PRODUCT", "DE_TAX_ID", "URL"} <= found.entities()
    assert found.entities().isdisjoint({"ACME_NAME", "US_SSN", "AGE"})


@pytest.mark.parametrize(
    ("inspection", "problem"),
    [
        ("{countries: [ux]}", "3:26: recognisers are there for no country 'ux'"),
        ("{switch_on: [UrlRecogniser]}", "did you mean 'UrlRecognizer'"),
        ("{switch_off: [Nonsense_1]}", "3:27: there is no recogniser 'Nonsense_1'"),
        ("{switch_on: [UrlRecognizer], switch_off: [UrlRecognizer]}", "'UrlRecognizer' is switched on and off"),
        ("{recognizers: [gone.yaml]}", "gone.yaml: cannot be read"),
        ("{recognisers: [x.yaml]}", "did you mean 'recognizers'"),
    ],
)
def test_mistakes_in_the_settings(tmp_path: Path, inspection: str, problem: str) -> None:
    """A name that does not exist is an error with its place and what was probably meant."""
    with pytest.raises(DocumentError) as caught:
        settings(tmp_path, inspection)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("recognizers: [{name: A, supported_entity: A_B}]", "1:15: a recogniser needs 'patterns' or a 'deny_list'"),
        ("recognizers: [{name: A, deny_list: [x]}]", "needs either 'supported_entity' or 'supported_entities'"),
        ("recognizers: [{name: A, supported_entity: acme, deny_list: [x]}]", "'acme' is not an entity"),
        ("recognizers: [{name: A, supported_entities: [A, B], deny_list: [x]}]", "reports one entity"),
        ("recognizers: [{name: A, supported_entity: A_B, deny_list: []}]", "expected a list of at least one"),
        (
            "recognizers: [{name: UsSsnRecognizer, supported_entity: A_B, deny_list: [x]}]",
            "one of the recognisers that are shipped",
        ),
        (
            "recognizers: [{name: A, supported_entity: A_B, deny_list: [x]}, {name: A, supported_entity: A_C}]",
            "is there twice",
        ),
        ("recognizers: [{name: A, supported_entity: A_B, denylist: [x]}]", "did you mean 'deny_list'"),
        (
            "recognizers: [{name: A, supported_entity: A_B, patterns: [{name: p, regex: '(', score: 0.5}]}]",
            "does not compile",
        ),
        (
            "recognizers: [{name: A, supported_entity: A_B, patterns: [{name: p, regex: 'a*', score: 0.5}]}]",
            "matches nothing at all",
        ),
        (
            "recognizers: [{name: A, supported_entity: A_B, patterns: [{name: p, regex: 'x(?:a|aa)+b', score: 0.5}]}]",
            "backtrack for ever",
        ),
        (
            "recognizers: [{name: A, supported_entity: A_B, patterns: [{name: p, regex: 'a', score: 5}]}]",
            "5 is more than 1",
        ),
        ("vocabularies: {A_B: gone.txt}", "1:21: 'gone.txt' cannot be read"),
        ("vocabularies: {A_B: empty.txt}", "'empty.txt' has no terms"),
        ("vocabularies: {A_B: latin.txt}", "'latin.txt' is not UTF-8 text"),
        ("other: 1", "unknown key 'other'"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, problem: str) -> None:
    """Each mistake is told with its place in the file, also when the settings name the file."""
    (tmp_path / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    write(tmp_path, text)
    for read in (
        lambda: read_company_file(tmp_path / "company.yaml"),
        lambda: settings(tmp_path, "{recognizers: company.yaml}"),
    ):
        with pytest.raises(DocumentError) as caught:
            read()
        assert "company.yaml:1:" in str(caught.value)
        assert problem in str(caught.value)


def test_names_over_files(tmp_path: Path) -> None:
    """Two files with a recogniser of the same name do not go together."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("recognizers: [{name: A, supported_entity: A_B, deny_list: [x]}]")
    with pytest.raises(DocumentError, match="two of these files"):
        settings(tmp_path, "{recognizers: [a.yaml, b.yaml]}")


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(\w+\s?)*:", r"x(?:ab|a|b)*y", r"([a-z]+)*\d", r"prefix:(?:a|aa)+z"])
def test_what_runs_away(pattern: str) -> None:
    """Repetitions within repetitions are noticed, also behind a fixed beginning."""
    assert runs_away(pattern)


@pytest.mark.parametrize(
    "pattern", [r"ACME-\d{6}\b", r"\b[A-Z]{2,4}-?\d+\b", r"(?:\d{3}[- ]?){3}", r"(a++)+$", r"[\w.]+@acme\.example"]
)
def test_what_does_not(pattern: str) -> None:
    """Ordinary patterns pass."""
    assert not runs_away(pattern)


def test_the_catalogue() -> None:
    """Names are unique, reasons are given, and the countries are those that are promised."""
    names = [entry.name for entry in catalogue()]
    assert len(names) == len(set(names))
    assert all(entry.on or entry.why for entry in catalogue())
    assert countries() == {
        *("au", "ca", "de", "es", "fi", "in", "it", "kr", "ng", "ph", "pl", "se", "sg", "th", "tr", "uk", "us", "za")
    }
