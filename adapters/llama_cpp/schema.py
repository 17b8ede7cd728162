"""JSON schema to a llama.cpp grammar (GBNF). Pure.

The grammar guarantees the shape: types, members in the order in which they are declared, required ones, enumerations,
lengths, references. Ranges of numbers, `pattern` and `uniqueItems` cannot be put in such a grammar at a bearable size
and are left to the model. What would change the shape and is not supported (`not`, `if`, ...) is an error, never
ignored. llama-cpp-python's own converter is not used: it does not escape backslashes in names and constants, mixes up
definitions and members of the same name, and says not where it fails.
Sources: JSON Schema 2020-12; llama.cpp grammars/README.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from adapters.llama_cpp.failures import BadRequest

MAX_RULES = 4000
MAX_DEPTH = 48
MAX_REPEAT = 2000  # llama.cpp's own limit
MAX_GRAMMAR_BYTES = 256 * 1024

_DIGITS15 = "[0-9]{0,15}"
_PRIMITIVES = {
    "ws": '" "?',  # one blank at most: a model that likes white space would spend the whole answer on it
    "char": r'[^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})',
    "string": r'"\"" char* "\""',
    "integer": f'"-"? ("0" | [1-9] {_DIGITS15})',
    "number": f'"-"? ("0" | [1-9] {_DIGITS15}) ("." [0-9] {_DIGITS15})? ([eE] [-+]? [0-9] [0-9]?)?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "value": "object | array | string | number | boolean | null",
    "object": '"{" ws ( string ws ":" ws value ws ("," ws string ws ":" ws value ws)* )? "}"',
    "array": '"[" ws ( value ws ("," ws value ws)* )? "]"',
}
_DATE = r'[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [1-2] [0-9] | "3" [0-1])'
_TIME = r'([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? "Z"'
_HEX = "[0-9a-f]"
_QUOTE = r'"\""'
_FORMATS = {
    "date": f"{_QUOTE} {_DATE} {_QUOTE}",
    "time": f"{_QUOTE} {_TIME} {_QUOTE}",
    "date-time": f'{_QUOTE} {_DATE} "T" {_TIME} {_QUOTE}',
    "uuid": f'{_QUOTE} {_HEX}{{8}} ("-" {_HEX}{{4}}){{3}} "-" {_HEX}{{12}} {_QUOTE}',
}
_UNSUPPORTED = ("not", "if", "then", "else", "patternProperties", "dependentSchemas", "dependentRequired",
                "propertyNames", "contains", "unevaluatedItems", "$dynamicRef", "$recursiveRef")  # fmt: skip
_TYPES = frozenset(("object", "array", "string", "integer", "number", "boolean", "null"))


def any_object_grammar() -> str:
    """The grammar of ``response_format: json_object``."""
    return to_grammar({"type": "object"}, "response_format")


def calls_grammar(tools: list[tuple[str, Any, str]]) -> str:
    """The grammar of one call of any of `tools` (name, schema, where): ``{"name": ..., "arguments": {...}}``."""
    compiler = _Compiler({})
    alternatives = []
    for name, schema, where in tools:
        compiler.root = schema
        arguments = compiler.arguments(schema, where)
        pair = f'{_literal("name")} ws ":" ws {_literal(name)} ws "," ws {_literal("arguments")} ws ":" ws {arguments}'
        alternatives.append(f'"{{" ws {pair} ws "}}"')
    return compiler.text(" | ".join(alternatives), "tools")


def arguments_grammar(schema: Any, where: str) -> str:
    """The grammar of the arguments of one function: always an object."""
    compiler = _Compiler(schema)
    return compiler.text(compiler.arguments(schema, where), where)


def to_grammar(schema: Any, where: str) -> str:
    """The grammar of `schema`. Raises `BadRequest` naming the place, which begins with `where`."""
    compiler = _Compiler(schema)
    return compiler.text(compiler.visit(schema, where, 0), where)


def _literal(value: object) -> str:
    """A GBNF literal that matches the JSON text of `value`."""
    text = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


class _Compiler:
    def __init__(self, root: Any) -> None:
        self.root = root
        self._rules: dict[str, str] = {}
        self._refs: dict[tuple[int, str], str] = {}

    def text(self, root_rule: str, where: str) -> str:
        grammar = "\n".join(
            [f"root ::= {root_rule}"]
            + [f"{name} ::= {rule}" for name, rule in self._rules.items()]
            + [f"{name} ::= {rule}" for name, rule in _PRIMITIVES.items()]
        )
        if len(grammar) > MAX_GRAMMAR_BYTES:
            raise self._error(where, "is too large")
        return grammar

    def arguments(self, schema: Any, where: str) -> str:
        if schema is True or schema == {}:
            return '"{" ws "}"'  # a function without parameters
        if not isinstance(schema, dict) or schema.get("type", "object") != "object":
            raise self._error(where, "must be the schema of an object")
        return self.visit({"type": "object", **schema}, where, 0)

    def visit(self, schema: Any, where: str, depth: int) -> str:
        """A GBNF expression, safe to stand in a sequence."""
        if depth > MAX_DEPTH:
            raise self._error(where, f"is nested more than {MAX_DEPTH} deep")
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, dict):
            raise self._error(where, "must be an object")
        for keyword in _UNSUPPORTED:
            if keyword in schema:
                raise self._error(f"{where}.{keyword}", "is not supported")
        if "$ref" in schema:
            return self._reference(schema["$ref"], where, depth)
        if "const" in schema:
            return _literal(schema["const"])
        if "enum" in schema:
            return self._enumeration(schema["enum"], where)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._union(schema, keyword, where, depth)
        if "allOf" in schema:
            return self.visit(self._merged(schema, where, depth), where, depth + 1)
        return self._by_type(schema, where, depth)

    def _by_type(self, schema: dict[str, Any], where: str, depth: int) -> str:
        kind = schema.get("type")
        if kind is None:
            if "properties" in schema:
                kind = "object"
            elif "items" in schema or "prefixItems" in schema:
                kind = "array"
            else:
                return "value"
        if isinstance(kind, list):
            if not kind:
                raise self._error(f"{where}.type", "must not be empty")
            return self._rule(" | ".join(self.visit({**schema, "type": one}, where, depth + 1) for one in kind), where)
        if kind not in _TYPES:
            raise self._error(f"{where}.type", "is not a type of JSON")
        visitors: dict[str, Callable[[dict[str, Any], str, int], str]] = {
            "object": self._object, "array": self._array, "string": self._string,
        }  # fmt: skip
        visitor = visitors.get(kind)
        return visitor(schema, where, depth) if visitor else str(kind)

    def _object(self, schema: dict[str, Any], where: str, depth: int) -> str:
        members, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(members, dict):
            raise self._error(f"{where}.properties", "must be an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise self._error(f"{where}.required", "must be a list of names")
        missing = [name for name in required if name not in members]
        members = {**members, **dict.fromkeys(missing, True)}
        # As with OpenAI's strict mode, members that are not declared are not made up, unless the schema is open-ended.
        extra = schema.get("additionalProperties", not members)
        more = ""
        if extra is not False:
            value = self.visit(extra, f"{where}.additionalProperties", depth + 1)
            more = self._rule(f'string ws ":" ws {value} ws', where)
        # Two chains over the members in their order: `rest` when one has been written (so a comma is due), `first` when
        # none has. Their rules are shared, so the grammar grows with the number of members, not with its square.
        rest = self._rule(f'("," ws {more})*', where) if more else '""'
        first = self._rule(f'({more} ("," ws {more})*)?', where) if more else '""'
        for name, member in reversed(members.items()):
            value = self.visit(member, f"{where}.properties.{name}", depth + 1)
            pair = self._rule(f'{_literal(name)} ws ":" ws {value} ws', where)
            if name in required:
                first, rest = f"{pair} {rest}", self._rule(f'"," ws {pair} {rest}', where)
            else:
                first = self._rule(f"{pair} {rest} | {first}", where)
                rest = self._rule(f'("," ws {pair})? {rest}', where)
        return self._rule(f'"{{" ws {first} "}}"', where)

    def _array(self, schema: dict[str, Any], where: str, depth: int) -> str:
        fixed = schema.get("prefixItems")
        if fixed is not None:
            if not isinstance(fixed, list) or not fixed:
                raise self._error(f"{where}.prefixItems", "must be a list")
            items = [self.visit(item, f"{where}.prefixItems[{at}]", depth + 1) for at, item in enumerate(fixed)]
            return self._rule('"[" ws ' + ' ws "," ws '.join(items) + ' ws "]"', where)
        least, most = self._bounds(schema, "minItems", "maxItems", where)
        item = self.visit(schema.get("items", True), f"{where}.items", depth + 1)
        if most == 0:
            return '"[" ws "]"'
        end = "" if most is None else str(most - 1)
        some = f'{item} ws ("," ws {item} ws){{{max(least - 1, 0)},{end}}}'
        return self._rule(f'"[" ws {some if least else f"({some})?"} "]"', where)

    def _string(self, schema: dict[str, Any], where: str, _depth: int) -> str:
        form = _FORMATS.get(str(schema.get("format")))
        if form is not None:
            return self._rule(form, where)
        if "minLength" not in schema and "maxLength" not in schema:
            return "string"
        least, most = self._bounds(schema, "minLength", "maxLength", where)
        return self._rule(f'"\\"" char{{{least},{"" if most is None else most}}} "\\""', where)

    def _bounds(self, schema: dict[str, Any], low: str, high: str, where: str) -> tuple[int, int | None]:
        least, most = schema.get(low, 0), schema.get(high)
        for name, value in ((low, least), (high, most)):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_REPEAT:
                raise self._error(f"{where}.{name}", f"must be a whole number from 0 to {MAX_REPEAT}")
        if most is not None and most < least:
            raise self._error(f"{where}.{high}", f"is less than {low}")
        return least, most

    def _enumeration(self, values: Any, where: str) -> str:
        if not isinstance(values, list) or not values:
            raise self._error(f"{where}.enum", "must be a list with at least one value")
        return self._rule(" | ".join(_literal(value) for value in values), where)

    def _union(self, schema: dict[str, Any], keyword: str, where: str, depth: int) -> str:
        parts = schema[keyword]
        if not isinstance(parts, list) or not parts:
            raise self._error(f"{where}.{keyword}", "must be a list with at least one schema")
        shapes = [self.visit(part, f"{where}.{keyword}[{at}]", depth + 1) for at, part in enumerate(parts)]
        return self._rule(" | ".join(shapes), where)

    def _merged(self, schema: dict[str, Any], where: str, depth: int) -> dict[str, Any]:
        """The schemas of `allOf` as one, which is possible for what is used in practice: objects, and one reference."""
        parts = schema["allOf"]
        if not isinstance(parts, list) or not parts:
            raise self._error(f"{where}.allOf", "must be a list with at least one schema")
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for at, part in enumerate(parts):
            here = f"{where}.allOf[{at}]"
            for _ in range(MAX_DEPTH):
                if not (isinstance(part, dict) and "$ref" in part):
                    break
                part = self._find(part["$ref"], here)
            if not isinstance(part, dict):
                raise self._error(here, "must be an object")
            if "allOf" in part and depth < MAX_DEPTH:
                part = self._merged(part, here, depth + 1)
            for key, value in part.items():
                if key == "properties" and isinstance(value, dict):
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required" and isinstance(value, list):
                    merged[key] = [*merged.get(key, []), *value]
                elif key in merged and merged[key] != value and key not in ("title", "description", "$defs"):
                    raise self._error(f"{here}.{key}", "contradicts another part of allOf")
                else:
                    merged[key] = value
        return merged

    def _reference(self, ref: Any, where: str, depth: int) -> str:
        key = (id(self.root), str(ref))
        if key not in self._refs:
            # The name is known before the rule is made, so a schema may refer to itself.
            name = self._refs[key] = self._name(where)
            self._rules[name] = ""
            shape = self.visit(self._find(ref, where), f"{where}.{ref}", depth + 1)
            if shape == name:
                raise self._error(where, "refers only to itself")
            self._rules[name] = shape
        return self._refs[key]

    def _find(self, ref: Any, where: str) -> Any:
        if not isinstance(ref, str) or not ref.startswith("#"):
            raise self._error(f"{where}.$ref", "must point into this schema (#/...)")
        found = self.root
        for step in ref[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and re.fullmatch(r"\d{1,4}", name) and int(name) < len(found):
                found = found[int(name)]
            else:
                raise self._error(f"{where}.$ref", "points to nothing")
        return found

    def _name(self, where: str) -> str:
        if len(self._rules) >= MAX_RULES:
            raise self._error(where, f"needs more than {MAX_RULES} grammar rules")
        return f"r{len(self._rules)}"

    def _rule(self, text: str, where: str) -> str:
        name = self._name(where)
        self._rules[name] = text
        return name

    @staticmethod
    def _error(where: str, what: str) -> BadRequest:
        return BadRequest(f"'{where}' {what}.", where[:200], "invalid_schema")
