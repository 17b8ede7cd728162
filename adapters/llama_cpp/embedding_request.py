"""The body of an embeddings request: checked once, then frozen. No I/O.

Source: the Embeddings reference of the OpenAI API. A field that is not known is ignored, as llama.cpp's server does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from adapters.llama_cpp.failures import BadRequest

MAX_INPUTS = 2048
_FORMATS = ("float", "base64")


@dataclass(frozen=True, slots=True, repr=False)
class EmbeddingRequest:
    """A checked request. The repr is the class name only: it holds content. `where` names the place of each text;
    `dimensions` None takes all that the model gives."""

    texts: tuple[str, ...]
    where: tuple[str, ...]
    base64: bool
    dimensions: int | None


def parse(raw: bytes) -> EmbeddingRequest:
    """The request in `raw`. Raises `BadRequest`, which names the field at fault."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    given = body.get("input")
    texts: list[Any] = given if isinstance(given, list) else [given]
    where = [f"input[{at}]" for at in range(len(texts))] if isinstance(given, list) else ["input"]
    if not 0 < len(texts) <= MAX_INPUTS:
        raise BadRequest(f"'input' must hold from 1 to {MAX_INPUTS} texts.", "input")
    for at, text in zip(where, texts, strict=True):
        if not isinstance(text, str) or not text:
            raise BadRequest(f"'{at}' must be a text that is not empty.", at, "invalid_type")
    encoding = body.get("encoding_format")
    if encoding is not None and encoding not in _FORMATS:
        raise BadRequest(f"'encoding_format' must be {' or '.join(_FORMATS)}.", "encoding_format")
    return EmbeddingRequest(tuple(texts), tuple(where), encoding == "base64", _dimensions(body.get("dimensions")))


def _dimensions(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise BadRequest("'dimensions' must be a whole number of at least 1.", "dimensions", "invalid_type")
