"""Tests of `adapters.llama_cpp.schema`: what the grammars mean is tested by running them in llama.cpp."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import llama_cpp as native
import pytest

from adapters.llama_cpp import cheap
from adapters.llama_cpp.chat import Sampling
from adapters.llama_cpp.decoding import Part
from adapters.llama_cpp.failures import BadRequest
from adapters.llama_cpp.gbnf import FORMATS, PRIMITIVES, other_names
from adapters.llama_cpp.model import LoadedModel, ModelConfig
from adapters.llama_cpp.rules import MAX_OPEN
from adapters.llama_cpp.schema import (
    MAX_DEPTH,
    MAX_REPEAT,
    any_object_grammar,
    arguments_grammar,
    calls_grammar,
    to_grammar,
)
from support.tiny_gguf import END_OF_TURN


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
        ({"$ref": "#/$defs/50%25", "$defs": {"50%": {"const": 5}}}, lambda v: v == 5),
        # what stands beside something else holds as well
        ({"type": "string", "enum": [1, "a", None]}, lambda v: v == "a"),
        ({"enum": ["abc", "a", 5], "maxLength": 2, "minimum": 4}, lambda v: v in ("a", 5)),
        ({"properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["a"], "anyOf": [{"required": ["b"]}]},
         lambda v: v == {"a": 1, "b": 2}),
        ({"type": "integer", "anyOf": [{"type": "string"}, {"const": 7}]}, lambda v: v == 7),
        ({"$ref": "#/$defs/t", "maxLength": 2, "$defs": {"t": {"type": "string", "minLength": 2}}},
         lambda v: len(v) == 2),
        ({"allOf": [{"properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]},
                    {"properties": {"a": {"type": ["integer", "null"]}}}]}, lambda v: v == {"a": None}),
        ({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False},
                    {"properties": {"b": {"const": 2}}}]}, lambda v: v == {"a": 1}),
        ({"allOf": [{"type": "number"}, {"type": "integer"}]}, lambda v: isinstance(v, int)),
        ({"type": "object", "required": ["z"], "additionalProperties": {"const": 3}, "maxProperties": 1},
         lambda v: v == {"z": 3}),
        ({"properties": {"a": False, "b": {"const": 1}}, "required": ["b"]}, lambda v: v == {"b": 1}),
        ({"prefixItems": [{"const": 1}, {"const": 2}], "maxItems": 1}, lambda v: v == [1]),
        ({"prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 3}, lambda v: v == [1, 2, 2]),
        ({"prefixItems": [{"const": 1}], "items": False}, lambda v: v == [1]),
        ({"minItems": 2, "maxItems": 2}, lambda v: len(v) == 2),
        ({"type": "object", "unevaluatedProperties": False}, lambda v: v == {}),
    ],
)  # fmt: skip
def test_what_the_grammar_lets_through_fits_the_schema(model: LoadedModel, schema: Any, holds: Any) -> None:
    """Whatever the model would rather say, it says JSON of the schema: names, types, order, lengths, references."""
    for seed in range(4):
        text = generate(model, to_grammar(schema, "schema"), seed)
        assert holds(json.loads(text)), text


NAMES = ["a", "ab", "abc", "x-y]^", "größe", "\u00a0", "n" * 63, "n" * 64, "n" * 70]


def test_a_name_that_is_made_up_is_none_of_the_declared(model: LoadedModel) -> None:
    """Else a member could be there twice, and the second time as something else. Beginnings and endings are free."""
    schema = {"properties": {name: {"const": 1} for name in NAMES}, "additionalProperties": {"const": 2}}
    grammar = to_grammar(schema, "schema")
    model.sampler(Sampling(), grammar, 0).close()
    rule = other_names(NAMES)
    for name in NAMES:
        assert not accepts(model, rule, json.dumps(name, ensure_ascii=False)), name
    for name in ("", "b", "abcd", "ax", "x-y]", "größer", "日本", "n" * 62, "n" * 62 + "m"):
        assert accepts(model, rule, json.dumps(name, ensure_ascii=False)), name
    assert not accepts(model, rule, '"\\u0061"')
    assert accepts(model, other_names([""]), '"a"')
    assert not accepts(model, other_names([""]), '""')


@pytest.mark.parametrize("day", ["2024-02-29", "2000-02-29", "1999-12-31", "0001-01-01", "2023-04-30"])
def test_days_that_exist_can_be_said(model: LoadedModel, day: str) -> None:
    """As `datetime` knows them."""
    assert date.fromisoformat(day)
    assert accepts(model, FORMATS["date"][0], f'"{day}"')


@pytest.mark.parametrize("day", ["2023-02-29", "1900-02-29", "2024-02-30", "2023-04-31", "0000-01-01", "2023-13-01"])
def test_days_that_do_not_exist_cannot(model: LoadedModel, day: str) -> None:
    """Neither the thirtieth of February nor the year 0."""
    assert not accepts(model, FORMATS["date"][0], f'"{day}"')


@pytest.mark.parametrize(
    ("text", "allowed"),
    [(r'"\ud83d\ude00"', False), (r'"\u00e9"', True), (r'"\ud7ff"', True), ('"😀"', True), ('"\x07"', False)],
)
def test_each_character_of_a_string_counts_as_one(model: LoadedModel, text: str, allowed: bool) -> None:
    """Half a surrogate pair is none, so that lengths are kept and every string is one."""
    assert accepts(model, "string", text) is allowed


def accepts(model: LoadedModel, rule: str, text: str) -> bool:
    """Does the rule match all of the text? Asked of llama.cpp byte by byte, as the tiny model has its tokens."""
    grammar = "\n".join([f"root ::= {rule}", *(f"{name} ::= {rule}" for name, rule in PRIMITIVES.items())])
    sampler = native.llama_sampler_init_grammar(model._vocab, grammar.encode(), b"root")
    assert sampler
    try:
        for token in [*(4 + byte for byte in text.encode()), END_OF_TURN]:
            candidate = (native.llama_token_data * 1)(native.llama_token_data(token, 0.0, 0.0))
            native.llama_sampler_apply(sampler, native.llama_token_data_array(candidate, 1, -1, False))
            if candidate[0].logit == -math.inf:
                return False
            native.llama_sampler_accept(sampler, token)
        return True
    finally:
        native.llama_sampler_free(sampler)


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
    assert json.loads(generate(model, arguments_grammar({}, "p"), 1)) == {}
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
        ({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}, "s.allOf[1].pattern"),
        ({"anyOf": [{"const": 1}], "oneOf": [{"const": 1}], "allOf": [{"anyOf": [{"const": 2}]}]}, "s.allOf[0].anyOf"),
        ({"type": "integer", "anyOf": [{"type": "string"}]}, "s.anyOf[0].type"),
        ({"type": "string", "enum": [1, 2]}, "s.enum"),
        ({"type": "string", "const": 1}, "s.const"),
        ({"required": ["a"], "additionalProperties": False}, "s.required"),
        ({"type": "array", "prefixItems": [True], "items": False, "minItems": 2}, "s.minItems"),
        ({"type": "string", "format": "date", "maxLength": 5}, "s.format"),
        ({"$ref": "#anchor"}, "s.$ref"),
        ({"$ref": "#/$defs/a", "minLength": 1, "$defs": {"a": {"$ref": "#/$defs/a"}}}, "s.$ref"),
        ({"type": {"a": 1}}, "s.type"),
        ({"enum": [{"a": 1}], "properties": {}}, "s.properties"),
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


@pytest.mark.parametrize(
    "values",
    [
        ["a", "ab", "abc", "b", "", "ab"],
        [1, 12, 123, -1, 1.5, None, True, "1"],
        ['a"b', "a\\b", "a\nb", "aä", "a\\"],
        [[1, 2], [1, 3], {"k": 1}, {"k": 2}],
    ],
)
def test_each_value_of_an_enumeration_can_be_said_and_no_other(model: LoadedModel, values: list[Any]) -> None:
    """Values that begin alike share the rule of their beginning, and come apart where they differ."""
    for schema in ({"enum": values}, {"anyOf": [{"const": value} for value in values]}):
        grammar = to_grammar(schema, "s")
        for value in values:
            assert fits(model, grammar, json.dumps(value, ensure_ascii=False))
        for wrong in ('"abcd"', '"c"', "2", '"a', "[1, 4]"):
            assert not fits(model, grammar, wrong)


def fits(model: LoadedModel, grammar: str, text: str) -> bool:
    """May the answer be just this text?"""
    tokens = [*model._tokenize(text.encode(), controls=False), END_OF_TURN]
    sampler = model.sampler(Sampling(temperature=0), grammar, 0)
    try:
        for token in tokens:
            model.cut(0, 0)
            _, (row,) = model.decode([Part(0, 0, [10], sampled=True)])
            pointer = cheap.logits(model._context, row)
            pointer[token] = 1000.0  # the model now wants nothing but this token
            if model.take(sampler, row) != token:
                return False
        return True
    finally:
        sampler.close()


def test_what_a_grammar_may_hold_open_does_not_grow_with_the_enumeration(model: LoadedModel) -> None:
    """Two thousand names cost hardly more per token than twenty: no rule has more alternatives than there are next
    characters."""
    grammar = to_grammar({"enum": [f"customer-{number:05d}" for number in range(2000)]}, "s")
    assert max(line.count(" | ") for line in grammar.splitlines() if re.match(r"r\d+ ::=", line)) < 10


def optional(count: int) -> dict[str, Any]:
    return {"properties": {f"p{number}": {"type": "null"} for number in range(count)}, "additionalProperties": False}


def doubled(depth: int) -> dict[str, Any]:
    """Each level can be read in two ways until it ends: 2 ** depth ways at its heart."""
    inner = doubled(depth - 1) if depth else {"type": "boolean"}
    return {"anyOf": [{"type": "array", "items": inner}, {"type": "array", "items": inner, "minItems": 2}]}


def tagged(tag: str) -> dict[str, Any]:
    return {"properties": {"kind": {"const": tag}, **optional(40)["properties"]}, "required": ["kind"]}


@pytest.mark.parametrize("schema", [optional(MAX_OPEN + 1), doubled(20), {"anyOf": [{"type": "null"}] * 300},
                                    {"anyOf": [optional(40)] * 10}])  # fmt: skip
def test_too_many_readings_at_once_are_refused_with_the_limit(schema: Any) -> None:
    """What would take llama.cpp seconds for a token, or for ever, is an error that names the limit and the place."""
    with pytest.raises(BadRequest) as caught:
        to_grammar({"type": "array", "items": schema}, "s")
    assert str(MAX_OPEN) in caught.value.message
    assert str(caught.value.param).startswith("s.items")


def test_a_schema_that_is_only_long_is_no_problem(model: LoadedModel) -> None:
    """Objects that a constant tells apart, a thousand required members, many repetitions: few readings are open."""
    long = {f"member{number}": {"type": "string", "maxLength": 200} for number in range(1000)}
    schemas: list[Any] = [
        {"anyOf": [tagged(f"kind {number}") for number in range(30)]},
        {"properties": long, "required": list(long)},
        {"type": "array", "items": {"type": "integer"}, "maxItems": MAX_REPEAT},
        {"type": "array", "items": doubled(3), "minItems": MAX_REPEAT, "maxItems": MAX_REPEAT},
        {"type": "string", "maxLength": MAX_REPEAT},
        {"enum": [f"value {number * 7919}" for number in range(8000)]},
        {"$ref": "#/$defs/node", "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}},
    ]
    for schema in schemas:
        model.sampler(Sampling(), to_grammar(schema, "s"), 0).close()


def test_a_hundred_tools_are_told_apart_by_their_name(model: LoadedModel) -> None:
    """Also where two have the same name, or one's name begins as another's."""
    flag = {"properties": {"x": {"const": 1}}, "required": ["x"]}
    tools = [(f"tool{number}", flag, f"tools[{number}]") for number in range(100)] + [("tool1", {}, "tools[100]")]
    grammar = calls_grammar(tools)
    assert fits(model, grammar, '{"name":"tool10","arguments":{"x":1}}')
    assert fits(model, grammar, '{"name": "tool1", "arguments": {}}')
    assert not fits(model, grammar, '{"name":"tool10","arguments":{}}')
