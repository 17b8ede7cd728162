"""gateway.settings.ner: which engine finds names. Nothing is fetched; what is missing is said, with its cure."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gateway.documents import DocumentError
from gateway.settings import load_settings
from gateway.settings import ner as ner_module
from gateway.settings.ner import NerSettings, model_identity
from gateway.settings.recognizers import RegistrySettings

CONFIG = """\
schema: 1
policy: p.yaml
targets:
  - {id: t, adapter: openai, zone: local, region: here, model: m, base_url: 'http://h/v1', context_tokens: 99,
     max_output_tokens: 9}
models: {auto: {targets: [t]}}
inspection:
  ner: """


def ner(folder: Path, value: str) -> NerSettings:
    config = folder / "bailiwick.yaml"
    config.write_text(CONFIG + value + "\n")
    return load_settings(config).inspection.registry.ner


def problem(folder: Path, value: str) -> str:
    """The message of the one problem, which is where the setting is."""
    with pytest.raises(DocumentError) as refused:
        ner(folder, value)
    (found,) = refused.value.problems
    assert (Path(found.file).name, found.line) == ("bailiwick.yaml", 8)
    return f"{found.message} {found.suggestion}"


def spacy_model(folder: Path, labels: dict[str, list[str]], **others: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.json").write_text(json.dumps({"labels": labels, **others}))
    return folder


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the packages of all engines were installed: nothing here imports them."""
    names = {"torch", "transformers", "gliner"}
    monkeypatch.setattr(ner_module, "find_spec", lambda name: name if name in names else find_spec(name))


def test_without_a_model(tmp_path: Path) -> None:
    """The built-in engine, or none."""
    assert ner(tmp_path, "{engine: builtin}") == NerSettings() == RegistrySettings().ner
    assert ner(tmp_path, "{engine: none}") == NerSettings("none")
    assert NerSettings("none").entities == frozenset()


def test_labels_become_entities(tmp_path: Path) -> None:
    """The usual labels of entities are known, also in other spellings; those of other components do not count."""
    spacy_model(tmp_path / "models" / "m", {"ner": ["PER", "GPE", "persName", "EVENT"], "tagger": ["NN", "DT"]})
    found = ner(tmp_path, "{engine: spacy:models/m}")
    assert found.labels == (("GPE", "LOCATION"), ("PER", "PERSON"), ("persName", "PERSON"))
    assert found.entities == {"LOCATION", "PERSON"}
    assert found.name == "spacy:m"
    assert found.folder == str(tmp_path / "models" / "m")
    assert {"LOCATION", "PERSON"} <= RegistrySettings(ner=found).entities()


def test_labels_of_ones_own(tmp_path: Path) -> None:
    """A label can be given another meaning, or none."""
    spacy_model(tmp_path / "m", {"ner": ["PER", "GPE", "CODENAME"]})
    found = ner(tmp_path, "{engine: spacy:m, labels: {CODENAME: ACME_PROJECT, GPE: none}}")
    assert found.labels == (("CODENAME", "ACME_PROJECT"), ("PER", "PERSON"))
    assert "no label 'CODENAMES'" in problem(tmp_path, "{engine: spacy:m, labels: {CODENAMES: ACME_PROJECT}}")
    assert "in capitals" in problem(tmp_path, "{engine: spacy:m, labels: {PER: person}}")


def test_a_model_with_nothing_to_report(tmp_path: Path) -> None:
    """A model whose labels nobody knows is refused: it would find nothing."""
    spacy_model(tmp_path / "m", {"ner": ["LABEL_0"]})
    assert "it has: LABEL_0" in problem(tmp_path, "{engine: spacy:m}")


@pytest.mark.usefixtures("installed")
def test_models_for_transformers(tmp_path: Path) -> None:
    """Their labels are in config.json, without what says where an entity begins."""
    folder = tmp_path / "m"
    folder.mkdir()
    config: dict[str, Any] = {"architectures": ["BertForTokenClassification"]}
    config["id2label"] = {"0": "O", "1": "B-PER", "2": "I-PER", "3": "S-LOC"}
    (folder / "config.json").write_text(json.dumps(config))
    assert ner(tmp_path, "{engine: transformers:m}").labels == (("LOC", "LOCATION"), ("PER", "PERSON"))
    config["architectures"] = ["BertForMaskedLM"]
    (folder / "config.json").write_text(json.dumps(config))
    assert "BertForMaskedLM, and not for token" in problem(tmp_path, "{engine: transformers:m}")


@pytest.mark.usefixtures("installed")
def test_models_for_gliner(tmp_path: Path) -> None:
    """They look for what they are asked for: the usual things, or those that the settings name."""
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "gliner_config.json").write_text("{}")
    assert ner(tmp_path, "{engine: gliner:m}").entities == {"PERSON", "LOCATION", "ORGANIZATION", "NRP", "AGE"}
    assert ner(tmp_path, "{engine: gliner:m, labels: {ship: ACME_SHIP}}").labels == (("ship", "ACME_SHIP"),)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("spacy:en_core_web_none", "python -m spacy download en_core_web_none"),
        ("spacy:json", "python -m spacy download json"),
        ("transformers:some/ner-model", "hf download some/ner-model --local-dir models/ner-model"),
        ("gliner:some/gliner", "name it: gliner:models/gliner"),
    ],
)
def test_nothing_is_fetched(tmp_path: Path, engine: str, says: str) -> None:
    """What is not here is not looked for elsewhere: the message says how to get it."""
    message = problem(tmp_path, f"{{engine: '{engine}'}}")
    assert "models are never fetched by themselves" in message
    assert says in message


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("engine", "marker"), [("spacy", "meta.json"), ("transformers", "config.json"), ("gliner", "gliner_config.json")]
)
def test_a_folder_that_is_no_model(tmp_path: Path, engine: str, marker: str) -> None:
    """The file that is missing or broken is named."""
    (tmp_path / "m").mkdir()
    assert f"has no {marker}" in problem(tmp_path, f"{{engine: '{engine}:m'}}")
    (tmp_path / "m" / marker).write_text("{")
    assert f"{marker} that is no JSON" in problem(tmp_path, f"{{engine: '{engine}:m'}}")
    (tmp_path / "m" / marker).write_text("[]")
    assert "no JSON object" in problem(tmp_path, f"{{engine: '{engine}:m'}}")


@pytest.mark.parametrize(("engine", "packages"), [("transformers", "transformers and torch"), ("gliner", "gliner")])
def test_a_package_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, packages: str) -> None:
    """The message has the line for pip. A package that is installed here is taken away for this test."""
    monkeypatch.setattr(ner_module, "find_spec", lambda name: None)
    message = problem(tmp_path, f"{{engine: '{engine}:models/m'}}")
    assert f"needs the package {packages}" in message
    assert f"pip install 'bailiwick[{engine}]'" in message


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{engine: spasy:m}", "spacy"),
        ("{engine: crf}", "expected one of builtin, none"),
        ("{engine: 'spacy:'}", "expected one of builtin"),
        ("{engine: 7}", "expected text"),
        ("{labels: {PER: PERSON}}", "missing key 'engine'"),
        ("{engine: none, labels: {PER: PERSON}}", "the engine none has no labels"),
        ("{engine: none, model: m}", "unknown key 'model'"),
    ],
)
def test_wrong_values(tmp_path: Path, value: str, says: str) -> None:
    """Each is one problem at its place."""
    assert says in problem(tmp_path, value)


def test_the_identity_of_a_model(tmp_path: Path) -> None:
    """Another file, another size or another time of change is another model; a cache beside it is not."""
    folder = spacy_model(tmp_path / "m", {})
    seen = [model_identity(folder)]
    (folder / "weights").write_bytes(b"12")
    seen.append(model_identity(folder))
    (folder / "weights").write_bytes(b"123")
    seen.append(model_identity(folder))
    os.utime(folder / "weights", (1, 1))
    seen.append(model_identity(folder))
    assert len(set(seen)) == 4
    for name in ("__pycache__", ".cache"):
        (folder / name).mkdir()
        (folder / name / "x").write_text("x")
    assert model_identity(folder) == seen[-1]


def test_settings_travel_as_json(tmp_path: Path) -> None:
    """A detector process gets the same settings."""
    spacy_model(tmp_path / "m", {"ner": ["PER"]})
    settings = RegistrySettings(ner=ner(tmp_path, "{engine: spacy:m}"))
    assert RegistrySettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
