"""Tests of `adapters.llama_cpp.schema`: what the grammars mean is tested by running them in llama.cpp."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.llama_cpp.chat import Sampling
from adapters.llama_cpp.decoding import Part
from adapters.llama_cpp.failures import BadRequest
from adapters.llama_cpp.model import LoadedModel, ModelConfig
from adapters.llama_cpp.schema import MAX_DEPTH, any_object_grammar, arguments_grammar, calls_grammar, to_grammar


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Iterator[LoadedModel]:
    """A model that, left to itself, would never write JSON."""
    model = LoadedModel(ModelConfig(tiny_model, context_tokens=4096, parallel=1))
    yield model
    model.close()


def generate(model: LoadedModel, grammar: str, seed: int) -> str:
    """What the model writes under the grammar, to its end."""
    ascii_only = tuple((token, -100.0) for token in range(4 + 128, 4 + 256))  # else bytes that are no UTF-8 come out
    sampling = Sampling(temperature=1.0, top_p=1.0, top_k=0, min_p=0.0, seed=seed, logit_bias=ascii_only)
    sampler = model.sampler(sampling, grammar, 0)
    try:
        model.cut(0, 0)
        data, read, unread = b"", 0, [10, 20, 30]
        for _ in range(3000):
            _, (row,) = model.decode([Part(0, read, unread, sampled=True)])
            read += len(unread)
            token = model.take(sampler, row)
            if model.ends(token):
                return data.decode()
            data += model.piece(token)
            unread = [token]
    finally:
        sampler.close()
    raise AssertionError("the grammar does not end")


ORDERED = {"properties": {"a": {"type": "boolean"}, "b": {"type": "null"}, "c": {"type": "boolean"}}, "required": ["b"]}
TREE = {
    "type": "object",
    "properties": {"value": {"enum": [1, 2]}, "next": {"anyOf": [{"$ref": "#/$defs/string"}, {"type": "null"}]}},
    "required": ["value", "next"],
    "$defs": {"string": {"$ref": "#"}},  # a definition that is called like a primitive rule
}


@pytest.mark.parametrize(
    ("schema", "holds"),
    [
        ({"type": "boolean"}, lambda v: isinstance(v, bool)),
        ({"type": "integer"}, lambda v: isinstance(v, int)),
        ({"type": "number"}, lambda v: isinstance(v, int | float)),
        ({"type": ["null", "boolean"]}, lambda v: v is None or isinstance(v, bool)),
        ({"type": "string", "minLength": 2, "maxLength": 5}, lambda v: 2 <= len(v) <= 5),
        ({"type": "string", "maxLength": 0}, lambda v: v == ""),
        ({"type": "string", "format": "date"}, lambda v: re.fullmatch(r"\d{4}-[01]\d-[0-3]\d", v)),
        ({"type": "string", "format": "date-time"},
         lambda v: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", v)),
        ({"type": "string", "format": "uuid"}, lambda v: re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", v)),
        ({"const": {"a\"\\b\n": [1, None]}}, lambda v: v == {"a\"\\b\n": [1, None]}),
        ({"enum": ["x", 'y"z', "\\", None]}, lambda v: v in ("x", 'y"z', "\\", None)),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}, lambda v: 2 <= len(v) <= 3),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 1}, lambda v: v in ([], [None])),
        ({"type": "array", "maxItems": 0}, lambda v: v == []),
        ({"prefixItems": [{"const": 1}, {"const": "b"}]}, lambda v: v == [1, "b"]),
        (ORDERED, lambda v: "b" in v and list(v) == [k for k in "abc" if k in v]),
        ({"type": "object", "properties": {}, "additionalProperties": False}, lambda v: v == {}),
        ({"type": "object", "required": ["z"], "properties": {"y\"\\": {"const": 0}}}, lambda v: "z" in v),
        ({"type": "object", "additionalProperties": {"const": 7}}, lambda v: set(v.values()) <= {7}),
        ({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]},
                    {"properties": {"b": {"const": 2}}, "required": ["b"]}], "type": "object"},
         lambda v: v == {"a": 1, "b": 2}),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, lambda v: v in (1, 2)),
        (TREE, lambda v: v["value"] in (1, 2) and "next" in v),
        ({"$ref": "#/$defs/a~1b/0", "$defs": {"a/b": [{"const": 5}]}}, lambda v: v == 5),
    ],
)  # fmt: skip
def test_what_the_grammar_lets_through_fits_the_schema(model: LoadedModel, schema: Any, holds: Any) -> None:
    """Whatever the model would rather say, it says JSON of the schema: names, types, order, lengths, references."""
    for seed in range(4):
        text = generate(model, to_grammar(schema, "schema"), seed)
        assert holds(json.loads(text)), text


def test_one_of_several_tools_must_be_called(model: LoadedModel) -> None:
    """The call names a tool that exists and has that tool's arguments."""
    boolean = {"properties": {"x": {"$ref": "#/$defs/flag"}}, "required": ["x"], "$defs": {"flag": {"type": "boolean"}}}
    number = {"properties": {"x": {"$ref": "#/$defs/flag"}}, "required": ["x"], "$defs": {"flag": {"const": 8}}}
    grammar = calls_grammar([("f", boolean, "tools[0]"), ("g", number, "tools[1]"), ("h", {}, "tools[2]")])
    for seed in range(6):
        call = json.loads(generate(model, grammar, seed))
        arguments = call["arguments"]
        assert {"f": isinstance(arguments.get("x"), bool), "g": arguments == {"x": 8}, "h": arguments == {}}[
            call["name"]
        ]


def test_arguments_are_an_object(model: LoadedModel) -> None:
    """A function without parameters gets ``{}``; a schema that is not of an object is refused."""
    assert generate(model, arguments_grammar({}, "p"), 1) == "{}"
    with pytest.raises(BadRequest, match="invalid_schema"):
        arguments_grammar({"type": "string"}, "tools[0].function.parameters")


def test_any_object(model: LoadedModel) -> None:
    """``json_object`` is an object of any kind."""
    sampler = model.sampler(Sampling(), any_object_grammar(), 0)
    sampler.close()


@pytest.mark.parametrize(
    ("schema", "param"),
    [
        (5, "s"),
        (False, "s"),
        ({"type": "date"}, "s.type"),
        ({"type": []}, "s.type"),
        ({"not": {}}, "s.not"),
        ({"properties": {"a": {"if": {}}}}, "s.properties.a.if"),
        ({"properties": []}, "s.properties"),
        ({"type": "object", "required": "a"}, "s.required"),
        ({"enum": []}, "s.enum"),
        ({"anyOf": []}, "s.anyOf"),
        ({"anyOf": [{"type": "x"}]}, "s.anyOf[0].type"),
        ({"$ref": "https://example.com/schema"}, "s.$ref"),
        ({"$ref": "#/$defs/x"}, "s.$ref"),
        ({"type": "string", "maxLength": 10**9}, "s.maxLength"),
        ({"type": "array", "minItems": 3, "maxItems": 1}, "s.maxItems"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "s.allOf[1].type"),
    ],
)  # fmt: skip
def test_what_cannot_be_guaranteed_is_refused_with_its_place(schema: Any, param: str) -> None:
    """A keyword that would be ignored silently is an error instead; nothing is fetched from the network."""
    with pytest.raises(BadRequest) as caught:
        to_grammar(schema, "s")
    assert caught.value.param == param


def test_a_schema_cannot_exhaust_the_engine(model: LoadedModel) -> None:
    """Depth, number of rules and size are bounded, and a schema that leads nowhere is refused, not crashed on."""
    deep: Any = {}
    for _ in range(MAX_DEPTH + 5):
        deep = {"type": "array", "items": deep}
    wide = {"properties": {f"p{number}": {"type": "object"} for number in range(5000)}}
    large = {"enum": ["x" * 300_000]}
    for schema in (deep, wide, large, {"$ref": "#"}):
        with pytest.raises(BadRequest):
            to_grammar(schema, "s")
    mutual = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    with pytest.raises(BadRequest):
        model.sampler(Sampling(), to_grammar(mutual, "s"), 0)
