"""What is hidden does not occur any more, comes back exactly, and has the same token on every turn."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.finding import Finding, Found, Span
from gateway.domain.grammar import Grammar
from gateway.domain.tree import Embedded, KeyOf
from gateway.inspection.occurrences import Needle, leaks
from gateway.inspection.redact import Pseudonymiser

KEY = b"0123456789abcdef0123456789abcdef"
P = Pseudonymiser(KEY)


def finding(path: tuple[Any, ...], text: str, value: str, entity: str = "PERSON", percent: int = 85) -> Finding:
    start = text.index(value)
    return Finding(path, Span(start, start + len(value), entity, percent))


def test_tokens_are_stable_and_separate() -> None:
    """The same value has the same token in any request of a tenant, another one for another tenant or key."""
    text = "I am Anna Kowalski"
    one = P.redact({"a": text}, [finding(("a",), text, "Anna Kowalski")], "t")
    other = "Ask Anna Kowalski about it"
    two = P.redact({"b": [other]}, [finding(("b", 0), other, "Anna Kowalski")], "t")
    assert one.mapping.tokens == two.mapping.tokens
    assert re.fullmatch(r"I am PERSON_[A-Z2-7]{8}", str(one.tree["a"]))
    assert one.mapping.tokens.isdisjoint(
        P.redact({"a": text}, [finding(("a",), text, "Anna Kowalski")], "u").mapping.tokens
    )
    elsewhere = Pseudonymiser(KEY[::-1]).redact({"a": text}, [finding(("a",), text, "Anna Kowalski")], "t")
    assert one.mapping.tokens.isdisjoint(elsewhere.mapping.tokens)


def test_the_tree_is_not_changed_and_what_stays_is_shared() -> None:
    """Only the branches that change are copied."""
    tree = {"a": ["Anna Kowalski"], "b": {"c": "nothing"}}
    result = P.redact(tree, [finding(("a", 0), "Anna Kowalski", "Anna Kowalski")], "t")
    assert tree == {"a": ["Anna Kowalski"], "b": {"c": "nothing"}}
    assert result.tree["b"] is tree["b"]
    assert result.hidden == (Found("PERSON", 85, 1),)


def test_other_occurrences_are_hidden_too() -> None:
    """A value that was found in one place and missed in another is hidden in both, in every spelling, in names too."""
    tree = {
        "a": "mail anna@x.com",
        "b": "see q=anna%40x.com, ANNA@X.COM",
        "anna@x.com": 1,
        "c": json.dumps({"to": "anna@x.com"}),
    }
    result = P.redact(tree, [finding(("a",), str(tree["a"]), "anna@x.com", "EMAIL_ADDRESS")], "t")
    body = json.dumps(result.tree)
    assert "anna" not in body
    assert result.mapping.restore_tree(result.tree)[0] == tree


def test_overlapping_findings_are_one() -> None:
    """Findings that overlap or lie in each other become one token, named after the surest."""
    text = "I am Anna Maria Kowalski."
    spans = [Span(5, 15, "PERSON", 60), Span(10, 24, "LOCATION", 90), Span(10, 15, "PERSON", 50)]
    result = P.redact({"a": text}, [Finding(("a",), span) for span in spans], "t")
    assert re.fullmatch(r"I am LOCATION_[A-Z2-7]{8}\.", str(result.tree["a"]))
    assert result.mapping.restore_text(str(result.tree["a"])) == text


def test_numbers_names_and_json_in_strings() -> None:
    """A number becomes a token in a string, a member is renamed, and JSON in a string stays JSON."""
    tree = {"n": 4242424242424242, "Anna Kowalski": {"x": 1}, "s": '{"who": "Anna \\"K\\" Kowalski", "i": 12}'}
    findings = [
        Finding(("n",), Span(0, 16, "CREDIT_CARD", 100)),
        Finding((KeyOf("Anna Kowalski"),), Span(0, 13, "PERSON", 85)),
        Finding(("s", Embedded.JSON, "who"), Span(0, 17, "PERSON", 85)),
    ]
    result = P.redact(tree, findings, "t")
    assert re.fullmatch(r"CARD_[A-Z2-7]{8}", str(result.tree["n"]))
    inner = json.loads(str(result.tree["s"]))
    assert re.fullmatch(r"PERSON_[A-Z2-7]{8}", inner["who"])
    restored, count = result.mapping.restore_tree(result.tree)
    assert restored == {**tree, "n": "4242424242424242"}
    assert count == 3


def test_control_fields_stay() -> None:
    """With a grammar, a value that is also a control value or a known name does not break the request."""
    grammar = Grammar({("model",): frozenset({"claude-x"})}, frozenset({"model", "text"}), frozenset())
    tree = {"model": "claude-x", "text": "claude-x said so"}
    result = P.redact(tree, [finding(("text",), "claude-x said so", "claude-x")], "t", grammar)
    assert result.tree["model"] == "claude-x"
    assert "claude-x" not in str(result.tree["text"])


def test_literal_tokens_in_the_text_are_not_taken_for_ours() -> None:
    """Text that happens to hold a token's very characters comes back as it was."""
    first = P.redact({"a": "Anna Kowalski"}, [finding(("a",), "Anna Kowalski", "Anna Kowalski")], "t")
    (token,) = first.mapping.tokens
    text = f"Anna Kowalski {token}"
    result = P.redact({"a": text}, [finding(("a",), text, "Anna Kowalski")], "t")
    assert result.mapping.restore_text(str(result.tree["a"])) == text
    assert token in str(result.tree["a"])


def test_no_findings_no_change() -> None:
    """Without findings the very tree is handed back."""
    tree = {"a": "x"}
    assert P.redact(tree, [], "t").tree is tree


def test_the_key_must_be_long() -> None:
    """A short key is refused: tokens could be reversed by guessing."""
    with pytest.raises(ValueError, match="16 bytes"):
        Pseudonymiser(b"short")


def test_nothing_is_printed() -> None:
    """Neither the redaction nor its map shows a value."""
    result = P.redact({"a": "Anna Kowalski"}, [finding(("a",), "Anna Kowalski", "Anna Kowalski")], "t")
    assert "Anna" not in repr(result) + repr(result.mapping) + str(result.mapping)
    assert "Anna" not in repr(P)


WORDS = [
    "Anna",
    "Li",
    "Zoë",
    "Kowalski",
    "A1",
    "7",
    "x-y",
    "a@b.org",
    "4242 4242",
    '"q"',
    "\\n",
    "\n",
    " ",
    "_",
    "PERSON",
    "n",
]
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=6).map("".join)
LEAVES = TEXTS | st.integers(-(10**17), 10**17) | st.none() | TEXTS.map(lambda t: json.dumps({"k": t, t: [t]}))
TREES = st.dictionaries(
    TEXTS,
    st.recursive(LEAVES, lambda i: st.lists(i, max_size=3) | st.dictionaries(TEXTS, i, max_size=3), max_leaves=6),
    min_size=1,
    max_size=3,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], str]]:
    if isinstance(value, str):
        from gateway.inspection import embedded

        inner = embedded.parse(value) if path.count(Embedded.JSON) < embedded.MAX_NESTING else None
        return [(path, value)] if inner is None else places(inner, (*path, Embedded.JSON))
    if isinstance(value, dict):
        return [
            place
            for name, item in value.items()
            for place in [((*path, KeyOf(name)), name), *places(item, (*path, name))]
        ]
    if isinstance(value, list):
        return [place for i, item in enumerate(value) for place in places(item, (*path, i))]
    return []


@settings(max_examples=300, deadline=None)
@given(TREES, st.data())
def test_hidden_and_restored(tree: dict[str, Any], data: st.DataObject) -> None:
    """For any tree and findings: the guard finds the values before, not after, and restoring gives the texts back."""
    candidates = [(path, text) for path, text in places(tree) if text]
    if not candidates:
        return
    findings = []
    for _ in range(data.draw(st.integers(1, 4))):
        path, text = data.draw(st.sampled_from(candidates))
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start + 1, len(text)))
        entity = data.draw(st.sampled_from(["PERSON", "EMAIL_ADDRESS", "SECRET"]))
        findings.append(Finding(path, Span(start, end, entity, data.draw(st.integers(30, 100)))))
    result = P.redact(tree, findings, "t")
    values = result.mapping.values()
    assert not leaks(values, json.dumps(result.tree).encode())
    long = [value for value in values if len(value) >= 6 and Needle(value).searchable]
    assert all(leaks([value], json.dumps(tree).encode()) for value in long)
    restored, _ = result.mapping.restore_tree(result.tree)
    assert [text for _, text in places(restored) if not text.lstrip("-").isdigit()] == [
        text for _, text in places(tree) if not text.lstrip("-").isdigit()
    ]


@given(st.lists(st.text("Anna-0@\u00e9 ", min_size=1, max_size=6), min_size=1, max_size=8), st.integers(0, 60))
def test_many_values_are_hidden_as_few_are(values: list[str], others: int) -> None:
    """Beside many other values, each is hidden wherever it occurs, and the tokens are the same."""
    text = " | ".join(values)
    tree = {"x1": values, "x2": text, "x3": json.dumps({"x4": text}, ensure_ascii=False)}
    findings = [Finding(("x1", i), Span(0, len(v), "PERSON", 85)) for i, v in enumerate(values)]
    crowd = [f"customer{i}@example.com" for i in range(others)]
    more = [Finding(("x5", i), Span(0, len(v), "EMAIL_ADDRESS", 85)) for i, v in enumerate(crowd)]
    few = P.redact(tree, findings, "t")
    many = P.redact({**tree, "x5": crowd}, findings + more, "t")
    assert {name: many.tree[name] for name in tree} == few.tree
    assert not leaks(many.mapping.values(), json.dumps(many.tree).encode())
    assert many.mapping.restore_tree(many.tree)[0] == {**tree, "x5": crowd}
