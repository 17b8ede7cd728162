"""Members of a request's body, checked. What is wrong is told by the member's name, and never by its value."""

from __future__ import annotations

import re
from typing import Final

import orjson

from gateway.domain.errors import Code, GatewayError
from gateway.domain.tree import Json, JsonObject

MODEL_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._:/-]{0,95}", re.ASCII)
"""A name of a model, which is no text to inspect."""


def tree_of(body: bytes) -> JsonObject:
    """The JSON object in a body. Raises `GatewayError`."""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
    else:
        if isinstance(tree, dict):
            return tree
        raise GatewayError(Code.INVALID_REQUEST, "The request body must be a JSON object.")
    # Raised out here, so that the library's exception, which holds the body, is not attached to it.
    raise GatewayError(Code.INVALID_JSON, f"The request body is not valid JSON ({where}).")


def flag(tree: JsonObject, name: str, param: str) -> bool:
    """True or false; false where the member is absent or null."""
    value = tree.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise wrong(param, "must be true or false")


def integer(tree: JsonObject, name: str, most: int | None = None) -> int | None:
    """A count of at least one, or None where the member is absent or null."""
    value = tree.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise wrong(name, "must be a whole number of at least 1")
    if most is not None and value > most:
        raise wrong(name, f"must not be more than {most}")
    return value


def string(tree: JsonObject, name: str) -> str:
    """A string; empty where the member is absent or null."""
    value = tree.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise wrong(name, "must be a string")


def model_of(tree: JsonObject) -> str:
    """The name of the model, which has to be there."""
    model = tree.get("model")
    if isinstance(model, str) and model:
        return model
    raise wrong("model", "must be a string that names a model" if "model" in tree else "is missing")


def count(value: Json) -> int | None:
    """A count in an answer; None where it is no sound one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def wrong(param: str, what: str) -> GatewayError:
    """The member `param` is at fault."""
    return GatewayError(Code.INVALID_REQUEST, f"'{param}' {what}.", param=param)
