"""The registry of recognisers: which run, quietly, offline, and as the settings say."""

from __future__ import annotations

import json
import logging
import re
import socket
from pathlib import Path

import pytest

from gateway.inspection.catalogue import ENTITIES
from gateway.inspection.engine import Engine
from gateway.inspection.presidio import analyzer, registry, silence
from gateway.inspection.version import detector_version
from gateway.settings.company import read_company_file
from gateway.settings.recognizers import (
    CustomPattern,
    CustomRecognizer,
    RegistrySettings,
    Terms,
    catalogue,
    countries,
)

DOCS = Path(__file__).parents[2] / "docs" / "recognizers.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
OWN = RegistrySettings(
    custom=(
        CustomRecognizer("Staff", "ACME_STAFF_ID", (CustomPattern("badge", r"ACME-\d{6}\b", 0.5),), context=("badge",)),
        CustomRecognizer("Projects", "ACME_PROJECT", deny_list=("Bluebird", "Nightjar 2")),
    ),
    allow=("support@acme.example", "+49 30 901820", "acme-000000", "de89370400440532013000"),
    terms=(Terms("ACME_PRODUCT", ("Red Kite",)), Terms("MEDICAL_CONDITION", ("Zorblax",))),
)
OWN_TEXT = (
    "Badge ACME-204711 and ACME-000000, project bluebird; nightjar 2; red kite; Zorblax. Mail support@acme.example or "
    "anna@acme.example, tel +49 30 901820 or +49 30 901821, iban DE89370400440532013000, ssn 536-90-4399"
)


def found(engine: Engine, text: str) -> set[tuple[str, str, int]]:
    return {(span.entity, text[span.start : span.end], span.percent) for span in engine.scan(text)}


def test_presidio_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Not at any level, nor after anybody has changed the level, whatever recogniser runs."""
    engine = Engine(registry(everything()).recognizers)
    silence()
    logging.getLogger("presidio-analyzer").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        engine.scan("IBAN DE89 \u00b2704 0044 0532 0130 00, XX00 0000 0000 \u0130000, DE893704004405320130\u00b2\u00b2")
        logging.getLogger("presidio-analyzer").error("candidate %s", "DE89")
    assert caplog.records == []
    silence()


def everything() -> RegistrySettings:
    return RegistrySettings(tuple(sorted(countries())), tuple(entry.name for entry in catalogue()))


def test_the_catalogue_tells_the_truth() -> None:
    """Every recogniser of the catalogue can be made, reports the entities that are promised, and is of its country."""
    made = {recognizer.name: recognizer for recognizer in registry(everything()).recognizers}
    assert made.keys() == {entry.name for entry in catalogue()}
    for entry in catalogue():
        assert set(made[entry.name].supported_entities) == set(entry.entities), entry.name
        assert made[entry.name].country_code() == entry.country, entry.name


def test_entities_are_known_without_loading() -> None:
    """What is found by default, and with settings, is known from the catalogue and the files alone."""
    assert Engine().entities == ENTITIES
    assert Engine(registry(OWN).recognizers).entities == OWN.entities()
    assert {"ACME_STAFF_ID", "ACME_PROJECT", "ACME_PRODUCT"} <= OWN.entities()


def test_nothing_touches_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """All recognisers are made and used without a connection or a question for a name."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    engine = Engine(registry(everything()).recognizers)
    engine.warm()
    assert ("EMAIL_ADDRESS", "anna@example.co.uk", 100) in found(engine, "anna@example.co.uk, https://example.co.uk/x")


def test_numbers_alone_are_no_identity() -> None:
    """A right checksum or nine digits near the word "customer" are not enough; the right words are."""
    engine = Engine()
    text = "our customer document 943 476 5919 and 123456789, 021000021 at 1234567893"
    assert {span.entity for span in engine.scan(text)}.isdisjoint(
        {"UK_NHS", "US_PASSPORT", "US_SSN", "US_BANK_NUMBER", "US_NPI", "ABA_ROUTING_NUMBER"}
    )
    assert [s.entity for s in engine.scan("passport 123456789")] == ["US_PASSPORT"]
    assert "ABA_ROUTING_NUMBER" in {s.entity for s in engine.scan("routing number 021000021")}


def test_harmful_recognisers_are_left_out() -> None:
    """Links, ids and arbitrary codes are not reported by themselves."""
    assert ENTITIES.isdisjoint({"URL", "UUID", "MEDICAL_LICENSE"})
    assert (
        found(Engine(), "see https://example.org/a, id 550e8400-e29b-41d4-a716-446655440000, code H12234567") == set()
    )


@pytest.mark.parametrize("text", ["My SSN is 536-90-4399", "Social security number: 536-90-4399", "SSNs: 536-90-4399"])
def test_context_without_a_model(text: str) -> None:
    """Words before a number raise its confidence, inflected too."""
    assert found(Engine(), text) == {("US_SSN", "536-90-4399", 85)}


def test_context_in_other_languages() -> None:
    """So do words of the other languages."""
    engine = Engine(registry(RegistrySettings(("us", "de", "es", "it"))).recognizers)
    for text, entity in (
        ("Reisepass Nr. C01X00T41", "DE_PASSPORT"),
        ("Reisepässe: Pass-Nr Reisepassnummer C01X00T41", "DE_PASSPORT"),
        ("teléfonos: 612 34 56 78", "PHONE_NUMBER"),
        ("telefono 612 34 56 78", "PHONE_NUMBER"),
        ("numer telefonu 501 234 567", "PHONE_NUMBER"),
    ):
        assert entity in {e for e, _, percent in found(engine, text) if percent >= 70}, text


def test_countries_and_names() -> None:
    """A country's recognisers run when it is chosen; single ones can be switched on and off."""
    text = "Steuer-ID 86095742719, SSN 536-90-4399, 550e8400-e29b-41d4-a716-446655440000"
    chosen = RegistrySettings(("de",), ("UuidRecognizer",), ("PhoneRecognizer", "TaggerRecognizer"))
    assert {entity for entity, _, _ in found(Engine(registry(chosen).recognizers), text)} == {"DE_TAX_ID", "UUID"}


def test_recognisers_of_ones_own() -> None:
    """Patterns, deny lists and vocabularies find; what is allowed is reported by nobody, in neither engine."""
    recognizers = registry(OWN.to_json())
    engine = Engine(recognizers.recognizers)
    spans = found(engine, OWN_TEXT)
    assert {(entity, value) for entity, value, percent in spans if percent >= 50} >= {
        ("ACME_STAFF_ID", "ACME-204711"),
        ("ACME_PROJECT", "bluebird"),
        ("ACME_PROJECT", "nightjar 2"),
        ("ACME_PRODUCT", "red kite"),
        ("MEDICAL_CONDITION", "Zorblax"),
        ("EMAIL_ADDRESS", "anna@acme.example"),
        ("PHONE_NUMBER", "+49 30 901821"),
        ("US_SSN", "536-90-4399"),
    }
    assert {value for _, value, _ in spans}.isdisjoint(
        {"ACME-000000", "support@acme.example", "+49 30 901820", "DE89370400440532013000"}
    )
    reference = analyzer(recognizers).analyze(OWN_TEXT, "en")
    assert {(r.entity_type, OWN_TEXT[r.start : r.end], round(r.score * 100)) for r in reference} == spans


def test_not_anything_is_settings() -> None:
    """A value that is not settings is refused."""
    with pytest.raises(TypeError, match="RegistrySettings"):
        registry(["us"])


def test_the_example_in_the_documentation(tmp_path: Path) -> None:
    """The five lines in docs/recognizers.md find what the page says, with that confidence."""
    example = next(text for text in EXAMPLES if "ACME_STAFF_ID" in text)
    assert len(example.splitlines()) == 5
    (tmp_path / "company.yaml").write_text(example)
    file = read_company_file(tmp_path / "company.yaml")
    engine = Engine(registry(RegistrySettings(custom=file.custom)).recognizers)
    assert ("ACME_STAFF_ID", "ACME-204711", 95) in found(engine, "Her badge: ACME-204711")


def test_the_other_examples_in_the_documentation(tmp_path: Path) -> None:
    """They load too."""
    for name in ("conditions", "formulary", "products"):
        (tmp_path / f"{name}.txt").write_text("a term\n")
    for example in EXAMPLES[1:]:
        (tmp_path / "company.yaml").write_text(example)
        file = read_company_file(tmp_path / "company.yaml")
        assert file.custom or file.allow or file.terms


def test_the_documentation_is_complete() -> None:
    """It names every recogniser that is off by itself, and every one whose checksum is no proof."""
    text = DOCS.read_text(encoding="utf-8")
    for entry in catalogue():
        assert (entry.on and not entry.weak_checksum) or f"`{entry.name}`" in text, entry.name
    assert all(f"`{country}`" in text for country in countries())


def test_the_version_says_what_finds() -> None:
    """The same settings have the same version; any other setting, file or model another."""
    versions = [
        detector_version(),
        detector_version(OWN),
        detector_version(RegistrySettings(("de",))),
        detector_version(RegistrySettings(allow=("x",))),
        detector_version(models=[b"a"]),
        detector_version(models=[b"b"]),
    ]
    assert len(set(versions)) == len(versions)
    assert detector_version(RegistrySettings()) == versions[0]
    assert detector_version(RegistrySettings.from_json(json.loads(json.dumps(OWN.to_json())))) == versions[1]
