"""OpenAI's embeddings: what is read in a request, what is changed in it, what is taken from an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects import openai_embeddings
from gateway.domain.errors import Code, GatewayError
from gateway.domain.money import Usage
from gateway.inspection.walk import leaves


def parsed(**fields: Any) -> Any:
    return openai_embeddings.parse(json.dumps({"model": "m", **fields}).encode())


def test_a_request_is_read() -> None:
    """Its model, its user and its size; it is never streamed, and each of its texts has a context of its own."""
    found = parsed(input=["a", "b"], encoding_format="base64", dimensions=3, user="u-1")
    assert (found.dialect, found.model, found.user) == ("openai_embeddings", "m", "u-1")
    assert (found.stream, found.choices, found.max_output_tokens, found.together) == (False, 1, None, False)
    assert found.size == len(json.dumps(found.body))


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({}, "input", "is missing"),
        ({"input": None}, "input", "must be a string or a list"),
        ({"input": ""}, "input", "must not be empty"),
        ({"input": []}, "input", "from 1 to 2048"),
        ({"input": ["a"] * 2049}, "input", "from 1 to 2048"),
        ({"input": ["a", ""]}, "input[1]", "must not be empty"),
        ({"input": [1212, 318]}, "input[0]", "cannot be inspected"),
        ({"input": [["a"], [1212]]}, "input[0]", "cannot be inspected"),
        ({"input": [[1212, 318], [1]]}, "input[0]", "cannot be inspected"),
        ({"input": 7}, "input", "cannot be inspected"),
        ({"input": [{"type": "image_url"}]}, "input[0]", "must be a string"),
        ({"input": [True]}, "input[0]", "must be a string"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "float or base64"),
        ({"input": "a", "encoding_format": ["float"]}, "encoding_format", "float or base64"),
        ({"input": "a", "dimensions": 0}, "dimensions", "at least 1"),
        ({"input": "a", "dimensions": "256"}, "dimensions", "whole number"),
        ({"input": "a", "user": 5}, "user", "must be a string"),
        ({"input": "a", "model": ""}, "model", "names a model"),
    ],
)
def test_a_bad_request_is_told_by_its_field(fields: dict[str, Any], param: str, words: str) -> None:
    """The field at fault and what is wrong with it, and never its value."""
    with pytest.raises(GatewayError) as caught:
        parsed(**fields)
    assert (caught.value.code, caught.value.param) == (Code.INVALID_REQUEST, param)
    assert words in caught.value.public


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b'"a"'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """As with every dialect."""
    with pytest.raises(GatewayError) as caught:
        openai_embeddings.parse(body)
    assert caught.value.code in (Code.INVALID_JSON, Code.INVALID_REQUEST)


def test_every_text_is_seen_by_inspection() -> None:
    """Each text, and whatever else stands in the body; what steers the protocol is none while it is a known value."""
    body = parsed(input=["one", "two"], encoding_format="float", dimensions=8, user="u", extra={"deep": ["three"]}).body
    texts = {leaf.text for leaf in leaves(body, openai_embeddings.GRAMMAR).leaves}
    assert {"one", "two", "u", "three", "extra", "deep"} <= texts
    assert texts.isdisjoint({"m", "float", "input", "dimensions"})


def test_only_the_models_name_is_changed() -> None:
    """A field of tomorrow passes through, and the request itself stays as it is."""
    body = parsed(input="a", tomorrow=1).body
    changed = openai_embeddings.with_changes(body, model="provider-name", include_usage=True, max_output_tokens=5)
    assert changed == {**body, "model": "provider-name"}
    assert body["model"] == "m"


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 7, "total_tokens": 7}, Usage(7, 0)),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": "7"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_usage_is_the_providers_count(usage: Any, counted: Usage | None) -> None:
    """There is no output to count."""
    assert openai_embeddings.usage_of({"data": [], "usage": usage}) == counted


def test_a_probe_is_a_request() -> None:
    """What the self-probe sends is one that this dialect reads."""
    body = openai_embeddings.probe("m", "text")
    assert openai_embeddings.parse(json.dumps(body).encode()).body == body
