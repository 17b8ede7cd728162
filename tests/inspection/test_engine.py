"""The engine finds what Presidio's own analyzer finds over the same recognisers."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer, RecognizerRegistry, RecognizerResult

from gateway.domain.finding import Span
from gateway.inspection import excerpts
from gateway.inspection.catalogue import ENTITIES
from gateway.inspection.engine import Engine
from gateway.inspection.presidio import FLOOR, analyzer, registry
from support.corpus import corpus

RECOGNIZERS = registry()
ENGINE = Engine(RECOGNIZERS.recognizers)
LOOSE = Engine(RECOGNIZERS.recognizers, floor=0.0)
REFERENCE: AnalyzerEngine = analyzer(RECOGNIZERS)

VALUES = [
    *("536-90-4399", "536 90 4399", "536904399", "536-904399", "53690-4399", "536.90.4399", "900-70-1234", "912345678"),
    *("4242 4242 4242 4242", "4242424242424242", "378282246310005", "3782 822463 10005", "6011000990139424"),
    *("DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NL91ABNA0417164300", "DE89370400440532013001"),
    *("anna@example.com", "o'neil+x@mail.co.uk", "bob@corp.local", "a@b", "@", "x@1.2.3", "user@sub.example.museum"),
    *("192.168.0.1", "10.0.0.1/24", "::1", "2001:db8::ff00:42:8329", "fe80::1%eth0", "1.2.3", "::ffff:1.2.3.4", "a::b"),
    *("00:1A:2B:3C:4D:5E", "00-1a-2b-3c-4d-5e", "0012.3456.789a", "00:1A:2B:3C:4D", "12:30:45"),
    *("AB 12 34 56 C", "AB123456C", "QQ123456C", "ab 12 34 56 d", "943 476 5919", "9434765919", "943-476-5918"),
    *("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "A12345678", "123456789"),
    *("+1 212-555-5555", "(212) 555-5555", "030 901820", "+49 30 901820", "12345678901234567", "2024-01-15 10:30"),
    *("Anna Kowalski", "Dr. Miller", "my name is Bob", "John", "12 High Street", "SW1A 1AA", "Hauptstraße 5"),
    *("sk-abcdefghijklmnopqrstuvwx123", "ghp_" + "a1B2" * 9, "postgres://u:hunter22@db/x", "password: tr0ub4dor"),
    *(
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "\u017f36-90-4399",
        "\uff15\uff13\uff16-90-4399",
        "\u0661\u0662",
    ),
]
WORDS = [
    *(
        "ssn",
        "social security",
        "passport",
        "bank account",
        "iban",
        "the",
        "nhs patient",
        "phone",
        "card",
        "wallet",
        "btc",
    ),
    *(
        "My",
        "is",
        "and",
        "call me",
        "email",
        "a:b",
        "x:",
        "-",
        "itin taxpayer",
        "ni number",
        "mac",
        "ip",
        ".",
        ",",
        "\n",
    ),
    *("  ", "(", ")", '"', "Hello", "customer", "€", "日本語", "I'm", "address", "don't", "e.g.", "/", "\t", "\u00a0"),
]
PIECES = st.lists(
    st.tuples(
        st.sampled_from(VALUES + WORDS), st.sampled_from([" ", " ", " ", "", "-", ".", ",", "\n", ":", "x", "7"])
    ),
    max_size=14,
)


def reference(text: str, floor: float = FLOOR) -> set[Span]:
    results: list[RecognizerResult] = REFERENCE.analyze(text, "en", score_threshold=floor)
    return {Span(r.start, r.end, r.entity_type, round(r.score * 100)) for r in results}


@settings(max_examples=400, deadline=None)
@given(PIECES)
def test_equals_presidio_on_mixed_texts(pieces: list[tuple[str, str]]) -> None:
    """Values and context words in any order and joined in any way give the findings of Presidio's engine, those
    below the floor included."""
    text = "".join(value + joint for value, joint in pieces)
    assert set(ENGINE.scan(text)) == reference(text)
    assert {s for s in LOOSE.scan(text) if s.percent} == {s for s in reference(text, 0.0) if s.percent}


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=string.digits + " -.:/@abcABCfxZ\n", max_size=80))
def test_equals_presidio_on_random_characters(text: str) -> None:
    """Also texts made of nothing but the characters that identifiers are made of."""
    assert {s for s in LOOSE.scan(text) if s.percent} == {s for s in reference(text, 0.0) if s.percent}


def test_equals_presidio_on_long_texts() -> None:
    """Also texts of some thousand characters with many findings."""
    rng = random.Random(7)
    for _ in range(12):
        text = " ".join(rng.choice(VALUES + WORDS * 3) for _ in range(300))
        assert set(ENGINE.scan(text)) == reference(text)


def test_equals_presidio_on_a_large_corpus() -> None:
    """Also on thousands of texts as people and machines write them: letters in several languages, forms, chats, source
    code, logs, tables, and values after their context words at all distances."""
    rng = random.Random(11)
    for text in corpus(rng, 2_500):
        assert set(ENGINE.scan(text)) == reference(text), repr(text)


# Patterns of a company's own, as they may stand in its configuration: with everything that a pattern can have.
OWN = [
    *(r"EMP-\d{6}", r"(?i)\bproject[- ](?:kestrel|skylark|ibis)\b", r"(?<=case )[0-9]{4,6}(?=\W|$)", r"^ACME:\s*\w+$"),
    *(r"\b[A-Z]{2}\d{2}(?:\s?\d{3}){2,}\b", r"(?<!\w)k[0-9a-f]{20,}(?!\w)", r"\d+(?:\.\d+)?\s*(?:kg|stone)", r"#\w+"),
    *(
        r"(\w)\1{3,}",
        r"(?:sk|ik)[-_]x\S{3,}",
        r"\S{24,}",
        r"\p{Lu}\p{Ll}+-\d",
        r"[^\d\s]{2}\d(?>\d*)x?+",
        r"\Aid \d+|\d+ id\Z",
    ),
    *(
        r"(?=.{0,20}secret)ref\d",
        r"(?:foo|b[aä]r|\d{3})-?z",
        r"[①-⑨]\d",
        r"a{2,3}(?:b|(?:c\d)){2}",
        r"(?:x{e<=1})9",
        r"[[:alpha:]]9",
    ),
]
TOKENS = [
    *(
        "EMP-123456",
        "emp-\u0661\u0662\u0663\u0664\u0665\u0666",
        "Project Kestrel",
        "project-\u0131bis",
        "PRO\u0130ECT",
        "case 12345",
        "ACME: yes",
    ),
    *(
        "DE12 345 678",
        "\u212a0123456789abcdef0123456789",
        "k0123456789abcdef01234",
        "12.5 kg",
        "7 \u017ftone",
        "#tag",
        "aaaa",
    ),
    *(
        "\u017fk-xabc",
        "s\u212a_xabc",
        "I\u212a-xyz",
        "x" * 30,
        "Anna-7",
        "ab12x",
        "id 9",
        "9 id",
        "secret ref4",
        "b\u00c4r-z",
        "123z",
    ),
    *(
        "\u24601",
        "aabbc1",
        "x9",
        "y9",
        "a9",
        "\n",
        "\u2028",
        "\x1c",
        "\x1f",
        "\u00a0",
        "\t",
        "ordinary words here",
        "-",
        "5",
        "\ud800",
    ),
]


def own(patterns: list[str]) -> list[PatternRecognizer]:
    return [
        PatternRecognizer(f"OWN_{i}", name=f"Own{i}", patterns=[Pattern("p", pattern, 0.6)], context=["case"])
        for i, pattern in enumerate(patterns)
    ]


OWN_RECOGNIZERS = own(OWN)
OWN_ENGINE = Engine([*OWN_RECOGNIZERS])
OWN_REFERENCE = analyzer(RecognizerRegistry(recognizers=own(OWN), supported_languages=["en"]))


@pytest.mark.parametrize("short", [0, 2_000])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(TOKENS), st.sampled_from([" ", " ", "", "\n", "  filler " * 9])), max_size=9
    )
)
def test_equals_presidio_with_patterns_of_a_company(
    short: int, pieces: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patterns of which nobody said where they can match find the same, in short texts and in excerpts of long ones."""
    monkeypatch.setattr(excerpts, "SHORT", short)
    text = "".join(value + joint for value, joint in pieces)
    expected = {Span(r.start, r.end, r.entity_type, round(r.score * 100)) for r in OWN_REFERENCE.analyze(text, "en")}
    assert set(OWN_ENGINE.scan(text)) == expected


def test_equals_presidio_in_excerpts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recognisers of the registry find the same where every text is treated as a long one."""
    monkeypatch.setattr(excerpts, "SHORT", 0)
    rng = random.Random(13)
    for text in corpus(rng, 400):
        assert set(ENGINE.scan(text)) == reference(text), repr(text)


def test_catalogue_names_what_the_engine_finds() -> None:
    """The entities known without loading anything are exactly those of the recognisers."""
    assert ENGINE.entities == ENTITIES


@pytest.mark.parametrize(
    ("text", "value", "entity", "percent"),
    [
        ("My SSN is 536-90-4399, draft a letter.", "536-90-4399", "US_SSN", 85),
        ("536-90-4399", "536-90-4399", "US_SSN", 50),
        ("The ssn: 536904399", "536904399", "US_SSN", 40),
        ("Pay with 4242 4242 4242 4242 now", "4242 4242 4242 4242", "CREDIT_CARD", 100),
        ("amex 3782 822463 10005", "3782 822463 10005", "CREDIT_CARD", 100),
        ("card 4222222222222", "4222222222222", "CREDIT_CARD", 75),
        ("order 12345 4242424242424242 x", "4242424242424242", "CREDIT_CARD", 100),
        ("iban DE89 3704 0044 0532 0130 00.", "DE89 3704 0044 0532 0130 00", "IBAN_CODE", 100),
        ("mail anna.k@example.com!", "anna.k@example.com", "EMAIL_ADDRESS", 100),
        ("email anna@host.corp", "anna@host.corp", "EMAIL_ADDRESS", 85),
        ("NHS number 943 476 5919", "943 476 5919", "UK_NHS", 55),
        ("AB 12 34 56 C", "AB 12 34 56 C", "UK_NINO", 50),
        ("from 10.1.2.3", "10.1.2.3", "IP_ADDRESS", 60),
    ],
)
def test_finds(text: str, value: str, entity: str, percent: int) -> None:
    """The identifiers that policies speak of are found, with the confidence that policies rely on."""
    assert (value, entity, percent) in [(text[s.start : s.end], s.entity, s.percent) for s in ENGINE.scan(text)]


@pytest.mark.parametrize(
    "text",
    [
        "The order number is 123456789 and our customer ID is 987654321.",
        "Released 2024-01-15 at 10:30:15, version 1.2.3, build 20240115.",
        "for i in range(1000000): total += values[i] * 3.14159265",
        "We use @app.route and pkg@1.2.3 with std::vector in C++.",
        "Call 2125550123x or not: id 4111111111111112.",
    ],
)
def test_ordinary_numbers_are_left_alone(text: str) -> None:
    """Order numbers, dates, versions and code are not taken for identifiers."""
    assert [s for s in ENGINE.scan(text) if s.percent >= 50] == []


def test_a_boost_of_its_own_is_refused() -> None:
    """A recogniser whose context boost the engine would skip is refused when the engine is made."""

    class Boosting(type(RECOGNIZERS.recognizers[0])):  # type: ignore[misc]
        def enhance_using_context(self, *args: object, **kwargs: object) -> list[RecognizerResult]:
            return []

    with pytest.raises(TypeError, match="context boost"):
        Engine([Boosting()])
