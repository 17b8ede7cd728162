"""JSON schemas drawn at random: over everything that the local engine promises to keep, nested and combined.

Seeded: the same number gives the same schema. What they describe is finite where a schema can see to it (lengths are
bounded, a recursion may end at each step), so that a small model comes to an end.
"""

from __future__ import annotations

import random
from typing import Any

Schema = dict[str, Any]

NAMES = (
    *"abcde",
    "name",
    "naming",
    "na",
    "a b",
    'say "hi"',
    "back\\slash",
    "größe",
    "日本",
    "x-y]",
    "^",
    "",
    "line\nend",
)
"""Members, among them beginnings of one another and what has to be escaped in JSON or in a grammar."""

_TEXTS = (
    "",
    "a",
    "red",
    'a "quoted" word',
    "back\\slash",
    "tab\there",
    "line\nend",
    "Straße",
    "日本",
    "☃",
    "</tool_call>",
)
_FORMATS = ("date", "time", "date-time", "uuid")
_DEPTH = 3


def random_schema(number: int) -> Schema:
    """The schema of this number."""
    return _Drawing(random.Random(number)).whole()


class _Drawing:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._defined: dict[str, Any] = {}

    def whole(self) -> Schema:
        rng = self._rng
        for name in rng.sample(("leaf", "string", "a/b", "til~de", "per%cent"), rng.randint(0, 2)):
            self._defined[name] = self._scalar()
        if rng.random() < 0.35:
            self._defined["list"] = self._recursive("list")
        if rng.random() < 0.2:
            self._defined["tree"] = self._tree()
        schema: Schema = self._object(_DEPTH) if rng.random() < 0.6 else self._any(_DEPTH)
        return {**schema, "$defs": self._defined} if self._defined else schema

    def _any(self, depth: int) -> Schema:
        """Any schema, with at most `depth` levels below it."""
        rng = self._rng
        if depth <= 0:
            return self._noted(self._reference() if self._defined and rng.random() < 0.3 else self._scalar())
        made = rng.choices(
            (
                self._object,
                self._array,
                self._alternatives,
                self._tagged,
                self._all_of,
                self._conditional_members,
                lambda _: self._scalar(),
                lambda _: self._reference() if self._defined else self._scalar(),
                lambda _: self._narrowed_reference() if self._defined else self._scalar(),
            ),
            weights=(5, 4, 3, 2, 2, 1, 6, 3, 1),
        )[0](depth)
        return self._noted(made)

    def _noted(self, schema: Schema) -> Schema:
        """With what says nothing about validity."""
        notes: Schema = {"title": "T", "description": "Some words.", "default": None, "examples": [1], "$comment": "c"}
        if self._rng.random() < 0.2:
            name = self._rng.choice(list(notes))
            return {name: notes[name], **schema}
        return schema

    # ---- values

    def _scalar(self) -> Schema:
        rng = self._rng
        return rng.choices(
            (
                self._string,
                lambda: {"type": "integer"},
                lambda: {"type": "number"},
                lambda: {"type": "boolean"},
                lambda: {"type": "null"},
                lambda: {"type": "string", "format": rng.choice(_FORMATS)},
                self._enumeration,
                lambda: {"const": self._value(2)},
                self._several_types,
            ),
            weights=(6, 3, 2, 3, 1, 2, 4, 2, 2),
        )[0]()

    def _string(self) -> Schema:
        least = self._rng.choice((0, 0, 1, 3))
        schema: Schema = {"type": "string", "maxLength": least + self._rng.randint(0, 9)}
        return {**schema, "minLength": least} if least or self._rng.random() < 0.2 else schema

    def _enumeration(self) -> Schema:
        """Of values of all kinds; with a type beside them only some of them fit."""
        rng = self._rng
        values = [self._value(1) for _ in range(rng.randint(1, 5))]
        if rng.random() < 0.3:
            texts = [text for text in rng.sample(_TEXTS, 4) if len(text) < 9]
            return {"type": "string", "enum": [*values, *texts, "short"], "maxLength": 9}
        if rng.random() < 0.3:
            return {"type": ["integer", "null"], "enum": [*values, 7, None]}
        return {"enum": values}

    def _several_types(self) -> Schema:
        kinds = self._rng.sample(("string", "integer", "boolean", "null", "array"), self._rng.randint(2, 3))
        return {"type": kinds, "maxLength": 6, "items": {"type": "boolean"}, "maxItems": 2}

    def _value(self, depth: int) -> Any:
        rng = self._rng
        kind = rng.randrange(8 if depth else 6)
        if kind == 6:
            return [self._value(depth - 1) for _ in range(rng.randint(0, 2))]
        if kind == 7:
            return {rng.choice(NAMES): self._value(depth - 1) for _ in range(rng.randint(0, 2))}
        return (rng.choice(_TEXTS), rng.randint(-99, 10**12), rng.choice((0.5, -2.25, 1e20)), True, False, None)[kind]

    # ---- objects and arrays

    def _object(self, depth: int) -> Schema:
        rng = self._rng
        names = rng.sample(NAMES, rng.randint(0, 4))
        schema: Schema = {"type": "object", "properties": {name: self._any(depth - 1) for name in names}}
        required = [name for name in names if rng.random() < 0.6]
        extra = rng.random()
        if extra < 0.4:
            schema["additionalProperties"] = False
        elif extra < 0.6:
            schema["additionalProperties"] = rng.choice(({"type": "boolean"}, {"const": 7}, {"enum": ["x", None]}))
            if rng.random() < 0.3:
                required.append("undeclared")
        elif not names:
            schema["additionalProperties"] = {"type": "integer"}
        if schema.get("additionalProperties"):
            schema["maxProperties"] = len({*names, *required}) + rng.randint(0, 2)
        if required or rng.random() < 0.3:
            schema["required"] = required
        if rng.random() < 0.1:
            del schema["type"]
        return schema

    def _array(self, depth: int) -> Schema:
        rng = self._rng
        if rng.random() < 0.3:
            first = [self._any(depth - 1) for _ in range(rng.randint(1, 3))]
            schema: Schema = {"type": "array", "prefixItems": first}
            shape = rng.randrange(4)
            if shape == 0:
                schema["items"] = False
            elif shape == 1:
                schema |= {"items": self._scalar(), "minItems": len(first) + 1, "maxItems": len(first) + 2}
            elif shape == 2:
                schema["maxItems"] = len(first) - rng.randint(0, 1)
            return schema
        least = rng.choice((0, 0, 1, 2))
        schema = {"type": "array", "items": self._any(depth - 1), "maxItems": least + rng.randint(0, 2)}
        return {**schema, "minItems": least} if least else schema

    # ---- combinations

    def _alternatives(self, depth: int) -> Schema:
        """With what may stand beside them, and sometimes one that is impossible there."""
        rng = self._rng
        parts = [self._any(depth - 1) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.4:
            parts.append({"type": "null"})
        if rng.random() < 0.2:
            return {"type": "integer", "anyOf": [{"enum": [1, "two", 3]}, {"type": "string"}, {"const": 4}]}
        return {"anyOf": parts}

    def _tagged(self, depth: int) -> Schema:
        """Alternatives of which only one can fit."""
        parts = []
        for tag in self._rng.sample(("cat", "dog", "bird"), self._rng.randint(1, 3)):
            part = self._object(depth - 1)
            part.pop("maxProperties", None)
            part["properties"] = {"kind": {"const": tag}, **part["properties"]}
            part["required"] = ["kind", *part.get("required", [])]
            parts.append({**part, "type": "object"})
        return {"oneOf": parts, "discriminator": {"propertyName": "kind"}}

    def _all_of(self, depth: int) -> Schema:
        """Objects whose members are told in parts, one of them in both."""
        left, right = self._object(depth - 1), self._object(depth - 1)
        for part in (left, right):
            part.pop("additionalProperties", None)
            part.pop("maxProperties", None)
            part["required"] = [name for name in part.get("required", []) if name in part["properties"]]
        for name in left["properties"].keys() & right["properties"].keys():
            del right["properties"][name]
        left["properties"]["both"] = {"type": "string", "minLength": 2}
        right["properties"]["both"] = {"type": ["string", "null"], "maxLength": 5}
        left["required"] = [*left.get("required", []), "both"]
        schema: Schema = {"allOf": [left, right]}
        if self._rng.random() < 0.3:
            names = [*left["properties"], *right["properties"]]
            schema |= {"type": "object", "properties": dict.fromkeys(names, True), "additionalProperties": False}
        return schema

    def _conditional_members(self, depth: int) -> Schema:
        """Members beside alternatives of which of them are required."""
        schema = self._object(depth)
        schema |= {"additionalProperties": False, "maxProperties": len(NAMES)}
        schema["required"] = [name for name in schema.get("required", []) if name in schema["properties"]]
        schema["properties"] |= {"left": self._scalar(), "right": self._scalar()}
        return {**schema, "type": "object", "anyOf": [{"required": ["left"]}, {"required": ["right", "left"]}]}

    def _reference(self) -> Schema:
        name = self._rng.choice(list(self._defined))
        return {"$ref": _pointer(name)}

    def _narrowed_reference(self) -> Schema:
        """A reference with something beside it."""
        self._defined["text"] = {"type": "string", "minLength": 1, "maxLength": 12}
        if self._rng.random() < 0.5:
            return {"allOf": [{"$ref": _pointer("text")}], "description": "A text."}
        return {"$ref": _pointer("text"), "maxLength": 4}

    def _recursive(self, name: str) -> Schema:
        following: Schema = {"anyOf": [{"type": "null"}, {"type": "null"}, {"$ref": _pointer(name)}]}
        properties = {"value": self._scalar(), "next": following}
        required = ["value", "next"] if self._rng.random() < 0.5 else []
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def _tree(self) -> Schema:
        branches: Schema = {"type": "array", "items": {"$ref": _pointer("tree")}, "maxItems": 1}
        return {"type": "object", "properties": {"of": branches, "leaf": {"type": "boolean"}}, "required": ["leaf"]}


def _pointer(name: str) -> str:
    return "#/$defs/" + name.replace("~", "~0").replace("/", "~1").replace("%", "%25")
