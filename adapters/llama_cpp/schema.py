"""JSON schema to a llama.cpp grammar (GBNF). Pure.

The grammar guarantees the shape: types, members in the order in which they are declared, required ones, enumerations,
lengths, references, and what holds at the same time. Left to the model, because such a grammar could not say it at a
bearable size, are ranges of numbers, `pattern`, `uniqueItems`, how many of the declared members an object has, formats
that `gbnf` does not have, and that only one alternative of `oneOf` fits. What would change the shape and is not
supported (`not`, `if`, ...) is an error, never ignored. llama-cpp-python's own converter is not used: it does not
escape backslashes in names and constants, mixes up definitions and members of the same name, and says not where it
fails. Sources: JSON Schema 2020-12; llama.cpp grammars/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from adapters.llama_cpp.gbnf import FORMATS, json_text, literal, other_names
from adapters.llama_cpp.rules import Rules
from adapters.llama_cpp.schema_join import MAX_DEPTH, Impossible, both, constraints, error, flat, impossible
from adapters.llama_cpp.schema_values import admits

MAX_REPEAT = 2000  # llama.cpp's own limit

_UNSUPPORTED = ("not", "if", "then", "else", "patternProperties", "dependentSchemas", "dependentRequired",
                "propertyNames", "contains", "unevaluatedItems", "$dynamicRef", "$recursiveRef")  # fmt: skip
_TOLD_BY = {
    "object": {"properties", "required", "additionalProperties", "unevaluatedProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "format"},
}
"""The type of a schema that names none, by its keywords."""

_ALTERNATIVES = ("anyOf", "oneOf")
_TYPES = frozenset(("object", "array", "string", "integer", "number", "boolean", "null"))


def any_object_grammar() -> str:
    """The grammar of ``response_format: json_object``."""
    return to_grammar({"type": "object"}, "response_format")


def calls_grammar(tools: list[tuple[str, Any, str]]) -> str:
    """The grammar of one call of any of `tools` (name, schema, where): ``{"name": ..., "arguments": {...}}``."""
    compiler = _Compiler({})
    calls: dict[str, str] = {}
    for name, schema, where in tools:
        compiler.root = schema
        arguments = compiler.arguments(schema, where)
        text = json_text(name)
        calls[text] = f"{calls[text]} | {arguments}" if text in calls else arguments
    rest = {text: f'ws "," ws {literal("arguments")} ws ":" ws ({shapes}) ws "}}"' for text, shapes in calls.items()}
    return compiler.text(f'"{{" ws {literal("name")} ws ":" ws {compiler.one_of(rest, "tools")}', "tools")


def arguments_grammar(schema: Any, where: str) -> str:
    """The grammar of the arguments of one function: always an object."""
    compiler = _Compiler(schema)
    return compiler.text(compiler.arguments(schema, where), where)


def to_grammar(schema: Any, where: str) -> str:
    """The grammar of `schema`. Raises `BadRequest` naming the place, which begins with `where`."""
    compiler = _Compiler(schema)
    return compiler.text(compiler.visit(schema, where, 0), where)


class _Compiler(Rules):
    def __init__(self, root: Any) -> None:
        super().__init__()
        self.root = root
        self._refs: dict[tuple[int, str], str] = {}

    def arguments(self, schema: Any, where: str) -> str:
        if schema is True or schema == {}:
            return '"{" ws "}"'  # a function without parameters
        if not isinstance(schema, dict) or schema.get("type", "object") != "object":
            raise error(where, "must be the schema of an object")
        return self.visit({"type": "object", **schema}, where, 0)

    def visit(self, given: Any, where: str, depth: int) -> str:
        """A GBNF expression, safe to stand in a sequence."""
        if depth > MAX_DEPTH:
            raise error(where, f"is nested more than {MAX_DEPTH} deep")
        schema = self._flat(given, where, depth)
        if schema is True or schema == {}:
            return "value"
        if schema is False:
            raise impossible(where, "allows no value")
        if not isinstance(schema, dict):
            raise error(where, "must be an object")
        for keyword in _UNSUPPORTED:
            if keyword in schema:
                raise error(f"{where}.{keyword}", "is not supported")
        if "$ref" in schema:
            return self._reference(schema["$ref"], where, depth)
        for keyword in _ALTERNATIVES:
            if keyword in schema:
                return self._union(schema, keyword, where, depth)
        if "const" in schema or "enum" in schema:
            return self._enumeration(schema, where)
        return self._by_type(schema, where, depth)

    def _flat(self, schema: Any, where: str, depth: int) -> Any:
        return flat(schema, where, self._find, depth)

    def _by_type(self, schema: dict[str, Any], where: str, depth: int) -> str:
        kind = schema.get("type")
        if kind is None:
            kind = next((one for one, keywords in _TOLD_BY.items() if keywords & schema.keys()), None)
        if kind is None:
            return "value"
        if isinstance(kind, list):
            if not kind:
                raise error(f"{where}.type", "must not be empty")
            return self.either([self.visit({**schema, "type": one}, where, depth + 1) for one in kind], where)
        if not isinstance(kind, str) or kind not in _TYPES:
            raise error(f"{where}.type", "is not a type of JSON")
        visitors: dict[str, Callable[[dict[str, Any], str, int], str]] = {
            "object": self._object, "array": self._array, "string": self._string,
        }  # fmt: skip
        visitor = visitors.get(kind)
        return visitor(schema, where, depth) if visitor else kind

    def _object(self, schema: dict[str, Any], where: str, depth: int) -> str:
        members, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(members, dict):
            raise error(f"{where}.properties", "must be an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise error(f"{where}.required", "must be a list of names")
        extra = schema.get("additionalProperties", schema.get("unevaluatedProperties", True))
        for name in required:
            if members.get(name, extra) is False:
                raise impossible(f"{where}.required", "names a member that cannot be there")
        # As with OpenAI's strict mode, members that are not declared are not made up, unless the schema is open-ended.
        is_open = bool(schema.keys() & {"additionalProperties", "unevaluatedProperties"}) or not {*members, *required}
        members = {**members, **{name: extra for name in required if name not in members}}
        more = ""
        _, most = self._bounds(schema, "minProperties", "maxProperties", where)
        room = "" if most is None else str(max(most - len(members), 0))
        if extra is not False and is_open and room != "0":
            value = self.visit(extra, f"{where}.additionalProperties", depth + 1)
            key = other_names(members) if members else "name"
            more = self.rule(f'{key} ws ":" ws {value} ws', where)
        run, widest = 1, 1  # names that may come next; readings that are open at most
        if more:
            widest = self.readings(value)
        # Two chains over the members in their order: `rest` when one has been written (so a comma is due), `first` when
        # none has. Their rules are shared, so the grammar grows with the number of members, not with its square.
        rest = self.rule(f'("," ws {more}){{0,{room}}}', where) if more else '""'
        begin = ""
        first = self.rule(f'("" | {more} ("," ws {more}){{0,{room and int(room) - 1}}})', where) if more else '""'
        for name, member in reversed(members.items()):
            try:
                value = self.visit(member, f"{where}.properties.{name}", depth + 1)
            except Impossible:
                if name in required:
                    raise
                continue
            pair = self.rule(f'{literal(name)} ws ":" ws {value} ws', where)
            run = 1 if name in required else run + 1
            widest = max(widest, run, self.readings(value))
            begin = ""
            if name in required:  # and what tells this object from others, as a rule: a constant
                begin = json_text(name) + (value if value.startswith('"') else "")
            if name in required:
                first, rest = f"{pair} {rest}", self.rule(f'"," ws {pair} {rest}', where)
            else:
                first = self.rule(f"{pair} {rest} | {first}", where)
                rest = self.rule(f'("," ws {pair})? {rest}', where)
        return self.opening("{" + begin, widest, f'"{{" ws {first} "}}"', where)

    def _array(self, schema: dict[str, Any], where: str, depth: int) -> str:
        least, most = self._bounds(schema, "minItems", "maxItems", where)
        fixed, item = schema.get("prefixItems", []), schema.get("items", True)
        if not isinstance(fixed, list) or ("prefixItems" in schema and not fixed):
            raise error(f"{where}.prefixItems", "must be a list")
        shapes = [self.visit(one, f"{where}.prefixItems[{at}]", depth + 1) for at, one in enumerate(fixed[:most])]
        items = ' ws "," ws '.join(shapes)
        if item is False or (fixed and least <= len(fixed)):
            if least > len(fixed):
                raise impossible(f"{where}.minItems", "is more than there may be")
            return self.opening("[", max(map(self.readings, shapes), default=1), f'"[" ws {items} ws "]"', where)
        following = self.visit(item, f"{where}.items", depth + 1)
        widest = max(map(self.readings, [*shapes, following]))
        # A rule of its own: llama.cpp multiplies the repetitions with the length of what is repeated, up to a limit.
        more = self.rule(f'"," ws {following} ws', where)
        if fixed:
            return self.opening("[", widest, f'"[" ws {items} ws {more}{{{least - len(fixed)}}} "]"', where)
        if most == 0:
            return '"[" ws "]"'
        end = "" if most is None else str(most - 1)
        some = f"{following} ws {more}{{{max(least - 1, 0)},{end}}}"
        return self.opening("[", widest, f'"[" ws {some if least else f"({some})?"} "]"', where)

    def _string(self, schema: dict[str, Any], where: str, _depth: int) -> str:
        least, most = self._bounds(schema, "minLength", "maxLength", where)
        form = FORMATS.get(str(schema.get("format")))
        if form is not None:
            rule, shortest, longest = form
            if least > shortest or (most is not None and most < longest):
                raise error(f"{where}.format", "does not go with these lengths")
            return self.rule(rule, where)
        if "minLength" not in schema and "maxLength" not in schema:
            return "string"
        return self.rule(f'"\\"" char{{{least},{"" if most is None else most}}} "\\""', where)

    def _bounds(self, schema: dict[str, Any], low: str, high: str, where: str) -> tuple[int, int | None]:
        least, most = schema.get(low, 0), schema.get(high)
        for name, value in ((low, least), (high, most)):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_REPEAT:
                raise error(f"{where}.{name}", f"must be a whole number from 0 to {MAX_REPEAT}")
        if most is not None and most < least:
            raise error(f"{where}.{high}", f"is less than {low}")
        return least, most

    def _enumeration(self, schema: dict[str, Any], where: str) -> str:
        values = schema.get("enum", [schema.get("const")])
        if not isinstance(values, list) or not values:
            raise error(f"{where}.enum", "must be a list with at least one value")
        fitting = [value for value in values if admits(schema, value, where)]
        if not fitting:
            raise impossible(f"{where}.{'enum' if 'enum' in schema else 'const'}", "has no value that fits the rest")
        return self.constant(fitting, where)

    def _union(self, schema: dict[str, Any], keyword: str, where: str, depth: int) -> str:
        """The alternatives, each together with what stands beside them. One that is impossible is none."""
        parts, rest = schema[keyword], {key: value for key, value in schema.items() if key != keyword}
        if not isinstance(parts, list) or not parts:
            raise error(f"{where}.{keyword}", "must be a list with at least one schema")
        shapes: list[str] = []
        problem: Impossible | None = None
        for at, part in enumerate(parts):
            here = f"{where}.{keyword}[{at}]"
            try:
                # A reference that stands alone stays one: what it refers to may hold this schema.
                alone = part if not rest else both(rest, self._flat(self._target(part, here), here, depth + 1), here)
                shapes.append(self.visit(alone, here, depth + 1))
            except Impossible as found:
                problem = found
        if not shapes:
            raise problem or impossible(where, "allows no value")
        return self.either(shapes, where)

    def _target(self, part: Any, where: str) -> Any:
        """What a reference leads to; anything else itself."""
        for _ in range(MAX_DEPTH):
            if not (isinstance(part, dict) and constraints(part).keys() == {"$ref"}):
                return part
            part = self._find(part["$ref"], where)
        raise error(where, "refers only to itself")

    def _reference(self, ref: Any, where: str, depth: int) -> str:
        key = (id(self.root), str(ref))
        if key not in self._refs:
            # The name is known before the rule is made, so a schema may refer to itself.
            name = self._refs[key] = self.reserved(where)
            shape = self.visit(self._find(ref, where), f"{where}.{ref}", depth + 1)
            if shape == name:
                raise error(where, "refers only to itself")
            self.write(name, shape)
        return self._refs[key]

    def _find(self, ref: Any, where: str) -> Any:
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise error(f"{where}.$ref", "must point into this schema (#/...)")
        found = self.root
        for step in unquote(ref)[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and re.fullmatch(r"\d{1,4}", name) and int(name) < len(found):
                found = found[int(name)]
            else:
                raise error(f"{where}.$ref", "points to nothing")
        return found
