"""gateway.inspection.ner: models that a person brings find names in place of the built-in engine, and fail loudly.

The same promises are asked of every engine that is installed here. The models are made by the tests: small, and
trained on a few words.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import spacy

from gateway.domain.errors import ConfigurationError
from gateway.domain.ports import DetectorFailed
from gateway.inspection import batches
from gateway.inspection.detector import PresidioDetector
from gateway.inspection.engine import Engine
from gateway.inspection.explained import Explainer
from gateway.inspection.ner import NerRecognizer
from gateway.inspection.presidio import analyzer, registry
from gateway.inspection.version import detector_version
from gateway.settings import load_settings
from gateway.settings.ner import NerSettings
from gateway.settings.recognizers import RegistrySettings

CONFIG = """
schema: 1
policy: p.yaml
targets:
  - {id: t, adapter: openai, zone: local, region: here, model: m, base_url: 'http://h/v1', context_tokens: 99,
     max_output_tokens: 9}
models: {auto: {targets: [t]}}
inspection: {ner: {engine: '%s'}}
"""
WORDS = ("the", "report", "by", "was", "late", "anna", "kowal", "##ski", "met", "in", "leeds", ".", "we", "at", "noon")
LABELS = {"anna": "B-PER", "kowal": "I-PER", "##ski": "I-PER", "leeds": "B-LOC"}


def settings_of(folder: Path, engine: str) -> NerSettings:
    config = folder.parent / f"{folder.name}.yaml"
    config.write_text(CONFIG % f"{engine}:{folder.name}")
    return load_settings(config).inspection.registry.ner


def spacy_rules(folder: Path) -> None:
    """A pipeline of rules alone."""
    pipeline = spacy.blank("en")
    ruler: Any = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Anna Kowalski"}, {"label": "GPE", "pattern": "Leeds"}])
    pipeline.to_disk(folder)


def spacy_trained(folder: Path) -> None:
    """A recogniser of entities that has learned two names by heart."""
    from spacy.training import Example

    pipeline = spacy.blank("en")
    pipeline.add_pipe("ner")
    texts = [
        ("The report by Anna Kowalski was late.", [(14, 27, "PERSON")]),
        ("We met Anna Kowalski in Leeds.", [(7, 20, "PERSON"), (24, 29, "GPE")]),
        ("We met at noon.", []),
        ("The report was late in Leeds.", [(23, 28, "GPE")]),
    ]
    examples = [Example.from_dict(pipeline.make_doc(text), {"entities": spans}) for text, spans in texts]
    optimizer = pipeline.initialize(lambda: examples)
    for _ in range(40):
        pipeline.update(examples, sgd=optimizer)
    pipeline.to_disk(folder)


def tokenizer_in(folder: Path) -> Any:
    from transformers import BertTokenizerFast

    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)) + "\n")
    return BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True)


SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}


def transformers_trained(folder: Path) -> None:
    """A BERT of one layer that has learned the labels of the words above, and takes 62 tokens."""
    import torch
    from transformers import BertConfig, BertForTokenClassification

    tokenizer = tokenizer_in(folder)
    torch.manual_seed(0)
    names = ["O", "B-PER", "I-PER", "B-LOC"]
    config = BertConfig(
        vocab_size=len(tokenizer),
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        **SMALL,
    )
    model = BertForTokenClassification(config)
    tokens = torch.randint(5, len(tokenizer), (64, 20))
    wanted = [
        [names.index(LABELS.get(tokenizer.convert_ids_to_tokens(t), "O")) for t in row] for row in tokens.tolist()
    ]
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        loss = model(input_ids=tokens, labels=torch.tensor(wanted)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def gliner_untrained(folder: Path) -> None:
    """A GLiNER over a BERT of one layer, which guesses."""
    import torch
    from gliner import GLiNER, GLiNERConfig
    from transformers import BertConfig

    tokenizer = tokenizer_in(folder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    encoder = BertConfig(vocab_size=len(tokenizer), **{**SMALL, "max_position_embeddings": 1024}).to_dict()
    config = GLiNERConfig(model_name=str(folder), hidden_size=32, max_len=120, encoder_config=encoder)
    model = GLiNER.from_config(config, backbone_from_pretrained=False)
    model.save_pretrained(folder)


MODELS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "spacy-rules": ("spacy", spacy_rules),
    "spacy-trained": ("spacy", spacy_trained),
    "transformers": ("transformers", transformers_trained),
    "gliner": ("gliner", gliner_untrained),
}
TRAINED = ("spacy-rules", "spacy-trained", "transformers")


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NerSettings:
    """Settings that name a model which this made."""
    engine, make = MODELS[request.param]
    for package in (engine, *(("torch", "transformers") if engine != "spacy" else ())):
        if find_spec(package) is None:
            pytest.skip(f"NOT TESTED: the engine {engine} needs {package}: pip install 'bailiwick[{engine}]'")
    folder = tmp_path_factory.mktemp("models") / request.param
    make(folder)
    return settings_of(folder, engine)


every_engine = pytest.mark.parametrize("model", MODELS, indirect=True)
trained_engines = pytest.mark.parametrize("model", TRAINED, indirect=True)


def names(recognizer: NerRecognizer, text: str) -> list[tuple[str, str]]:
    return [(entity, text[start:end]) for entity, start, end, _ in recognizer.found(text)]


@trained_engines
def test_it_finds_what_it_learned(model: NerSettings) -> None:
    """Names are reported as Presidio's entities, at their places, however long the text is and wherever they are."""
    recognizer = NerRecognizer(model)
    text = "We met Anna Kowalski in Leeds."
    assert names(recognizer, text) == [("PERSON", "Anna Kowalski"), ("LOCATION", "Leeds")]
    assert names(recognizer, "") == []
    assert names(recognizer, "1234 \n 5678") == []
    long = "the report was late at noon " * 300
    assert names(recognizer, f"{long}\nThe report by Anna Kowalski was late.\n{long}") == [("PERSON", "Anna Kowalski")]
    many = "The report by Anna Kowalski was late. " * 200
    assert names(recognizer, many) == [("PERSON", "Anna Kowalski")] * 200


@every_engine
def test_it_finds_something(model: NerSettings) -> None:
    """So that what is asked of its findings below is asked of some; also of a model that only guesses."""
    assert names(NerRecognizer(model), "We met Anna Kowalski in Leeds.")


@trained_engines
def test_a_long_sentence(model: NerSettings) -> None:
    """A sentence that is longer than the model takes is read to its end: nothing is cut off in silence."""
    part = "the report by Anna Kowalski was late in Leeds "
    found = names(NerRecognizer(model), part * 120)
    assert found.count(("PERSON", "Anna Kowalski")) == 120
    assert found.count(("LOCATION", "Leeds")) == 120


@every_engine
@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "\n\n", ".", "\u200b", "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301" * 50),
        *(
            "x" * 5_000,
            "\u4e00" * 900,
            "Anna Kowalski\r\nLeeds\x00\x1b[2J",
            "a\n" * 500,
            "We met Anna\tKowalski\u00a0in Leeds",
        ),
    ],
    ids=range(12),
)
def test_spans_are_in_the_text(model: NerSettings, text: str) -> None:
    """Whatever the text: spans that are not empty, without white space at their ends, of a promised entity."""
    recognizer = NerRecognizer(model)
    for entity, start, end, score in recognizer.found(text):
        assert entity in recognizer.supported_entities
        assert 0 <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert 0.3 <= score <= 1.0


@trained_engines
def test_findings_do_not_depend_on_the_cuts(model: NerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long text gives the same whole and in the pieces that the detector's processes are given."""
    engine = Engine(registry(RegistrySettings(ner=model)).recognizers)
    sentence = "The report by Anna Kowalski was late. We met at noon in Leeds.\n"
    text = "".join(sentence * (1 + number % 5) + "\n" for number in range(90))
    monkeypatch.setattr(batches, "PIECE", 2 * batches.REACH + 1_111)
    found = [
        span for batch in batches.batches([text], 2) for piece in batch for span in piece.owned(engine.scan(piece.text))
    ]
    whole = engine.scan(text)
    assert sorted(found, key=str) == sorted(whole, key=str)
    assert len(whole) == 2 * text.count("Leeds")


@every_engine
def test_the_network_is_not_touched(model: NerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is loaded and used without a connection or a question for a name."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    list(NerRecognizer(model).found("We met Anna Kowalski in Leeds."))


@every_engine
def test_nothing_is_logged(
    model: NerSettings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not when it works, nor when the model fails: then the error goes to the caller, so that the request is unsure."""
    caplog.set_level(logging.DEBUG)
    recognizer = NerRecognizer(model)
    list(recognizer.found("Zqcanaryxw Anna Kowalski " * 100))

    def broken(texts: list[str]) -> Any:
        raise ValueError("no")

    recognizer._predict = broken
    with pytest.raises(ValueError, match="no"):
        list(recognizer.found("Zqcanaryxw"))
    assert "Zqcanaryxw" not in caplog.text + "".join(capfd.readouterr())


@every_engine
def test_both_engines_are_equal(model: NerSettings) -> None:
    """In the registry it is one of Presidio's recognisers: our engine and Presidio's own find the same with it."""
    recognizers = registry(RegistrySettings(ner=model, allow=("leeds",)).to_json())
    text = "The report by Anna Kowalski, anna@example.com, was late in Leeds."
    ours = {(span.entity, span.start, span.end, span.percent) for span in Engine(recognizers.recognizers).scan(text)}
    theirs = analyzer(recognizers).analyze(text, "en")
    assert {(r.entity_type, r.start, r.end, round(r.score * 100)) for r in theirs} == ours
    assert all(text[start:end] != "Leeds" for _, start, end, _ in ours)


@pytest.mark.parametrize("model", ["spacy-rules"], indirect=True)
def test_the_built_in_engine_is_replaced(model: NerSettings) -> None:
    """With a model, or with none, the recogniser of names that is shipped does not run, and what can be found is known
    beforehand."""
    chosen = {engine: RegistrySettings(ner=ner) for engine, ner in (("spacy", model), ("none", NerSettings("none")))}
    builtin = {r.name for r in registry().recognizers}
    for settings in chosen.values():
        made = registry(settings).recognizers
        assert Engine(made).entities == settings.entities()
    spacy_names = {r.name for r in registry(chosen["spacy"]).recognizers}
    none_names = {r.name for r in registry(chosen["none"]).recognizers}
    assert spacy_names - builtin == {"spacy:spacy-rules"}
    assert none_names < builtin
    assert spacy_names & builtin == none_names
    assert "PERSON" not in chosen["none"].entities()
    found = Explainer(chosen["spacy"]).explain("We met Anna Kowalski and John Smith.")
    assert [(item.recognizer, item.span.start, item.span.end) for item in found] == [("spacy:spacy-rules", 7, 20)]


@pytest.mark.parametrize("model", ["spacy-rules"], indirect=True)
def test_the_version_knows_the_model(model: NerSettings, tmp_path: Path) -> None:
    """Findings that are remembered are never another engine's, nor those of the same folder with other files in it."""
    folder = tmp_path / "model"
    spacy_rules(folder)
    before = settings_of(folder, "spacy")
    assert detector_version(RegistrySettings(ner=before)) not in (
        detector_version(),
        detector_version(RegistrySettings(ner=model)),
        detector_version(RegistrySettings(ner=NerSettings("none"))),
    )
    assert RegistrySettings.from_json(json.loads(json.dumps(RegistrySettings(ner=before).to_json()))).ner == before
    (folder / "entity_ruler" / "patterns.jsonl").write_text('{"label":"PERSON","pattern":"John Smith"}\n')
    after = settings_of(folder, "spacy")
    assert detector_version(RegistrySettings(ner=before)) != detector_version(RegistrySettings(ner=after))
    with pytest.raises(ConfigurationError, match="was changed"):
        NerRecognizer(before)
    assert names(NerRecognizer(after), "John Smith") == [("PERSON", "John Smith")]


def test_a_model_that_is_broken(tmp_path: Path) -> None:
    """What the library says about it is told, with the folder."""
    folder = tmp_path / "model"
    spacy_rules(folder)
    (folder / "config.cfg").write_text("[nlp]\nlang = 7\n")
    with pytest.raises(ConfigurationError, match=r"model cannot be loaded by spacy: "):
        NerRecognizer(settings_of(folder, "spacy"))


def test_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline that was installed with pip is named like its package."""
    package = tmp_path / "en_tiny_test"
    pipeline = package / "en_tiny_test-1.0"
    package.mkdir()
    spacy_rules(pipeline)
    (package / "__init__.py").write_text("")
    meta = json.loads((pipeline / "meta.json").read_text()) | {"lang": "en", "name": "tiny_test", "version": "1.0"}
    (package / "meta.json").write_text(json.dumps(meta))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    config = tmp_path / "elsewhere" / "bailiwick.yaml"
    config.parent.mkdir()
    config.write_text(CONFIG % "spacy:en_tiny_test")
    settings = load_settings(config).inspection.registry.ner
    assert settings.name == "spacy:en_tiny_test-1.0"
    assert names(NerRecognizer(settings), "We met Anna Kowalski.") == [("PERSON", "Anna Kowalski")]


@pytest.mark.anyio
async def test_a_model_never_runs_in_the_event_loop(tmp_path: Path) -> None:
    """Even a short text goes to a process; a window of a stream, which could not wait for one, is refused."""
    spacy_rules(tmp_path / "rules")
    settings = RegistrySettings(ner=settings_of(tmp_path / "rules", "spacy"))
    detector = PresidioDetector(registry=settings.to_json())
    await detector.start()
    try:
        (spans,) = await detector.scan(["We met Anna Kowalski."], 30)
        assert [(span.start, span.end) for span in spans if span.entity == "PERSON"] == [(7, 20)]
        assert detector._engine is None
        with pytest.raises(DetectorFailed):
            detector.scan_now("We met Anna Kowalski.")
    finally:
        await detector.aclose()
