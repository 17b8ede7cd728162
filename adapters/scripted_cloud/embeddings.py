"""What the scripted cloud makes of texts to embed: pure functions from a request to an answer in OpenAI's shape.

A vector is the sum of one for each word, drawn by the word's hash: the same text has the same vector for ever, and
texts that share words have similar ones.
"""

from __future__ import annotations

import base64
import math
import random
import re
import struct
from typing import Any

from adapters.scripted_cloud.answers import BadRequest, Object

DIMENSIONS = 256
"""Numbers of a vector where the request does not say; at most as many can be had."""

_MOST_TEXTS = 2048
_WORD = re.compile(r"\w+")


def embeddings_of(request: Object) -> Object:
    """The answer to a request for embeddings. Raises `BadRequest`."""
    model, given = request.get("model"), request.get("input")
    if not isinstance(model, str):
        raise BadRequest("you must provide a model parameter", "model")
    texts: list[Any] = given if isinstance(given, list) else [given]
    if not 0 < len(texts) <= _MOST_TEXTS or not all(isinstance(text, str) and text for text in texts):
        raise BadRequest("'$.input' is invalid. Please check the API reference.")
    dimensions = request.get("dimensions") or DIMENSIONS
    if not isinstance(dimensions, int) or not 1 <= dimensions <= DIMENSIONS:
        raise BadRequest(f"Invalid value for 'dimensions' = {dimensions}. Must be at most {DIMENSIONS}.", "dimensions")
    encoding = request.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise BadRequest("'encoding_format' must be float or base64", "encoding_format")
    tokens = sum(tokens_of(text) for text in texts)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(_vector(text, dimensions), encoding)}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def tokens_of(text: str) -> int:
    """The token count of a text: four bytes each, about what real ones need."""
    return max(1, len(text.encode()) // 4)


def _vector(text: str, dimensions: int) -> list[float]:
    total = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        draw = random.Random(word)  # by the text itself: the same in every process
        total = [number + draw.gauss(0, 1) for number in total]
    length = math.sqrt(sum(number * number for number in total)) or 1.0
    return [number / length for number in total]


def _encoded(vector: list[float], encoding: str) -> Any:
    if encoding == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
