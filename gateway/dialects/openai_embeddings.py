"""OpenAI's embeddings: what to read in a request, what to change in it, what to take from an answer.

Pure translation, in the same shape as `openai_chat`. An answer is numbers: it is never streamed, and there is nothing
in it to hide or to put back. Source: the Embeddings reference of the OpenAI API.
"""

from __future__ import annotations

from typing import Final

from gateway.dialects.fields import MODEL_NAME, count, integer, model_of, string, tree_of, wrong
from gateway.domain.grammar import Grammar
from gateway.domain.money import Usage
from gateway.domain.request import InferenceRequest
from gateway.domain.tree import Json, JsonObject

DIALECT: Final = "openai_embeddings"
PATH: Final = "/embeddings"
OPERATION: Final = "embeddings"
ANSWERS_IN_WORDS: Final = False

MAX_INPUTS: Final = 2048
"""The most texts that OpenAI takes in one request."""

FORMATS: Final = ("float", "base64")
"""The values of ``encoding_format``: a list of numbers, or base64 of 32-bit floats, the lowest byte first."""

GRAMMAR: Final = Grammar(
    controls={("model",): MODEL_NAME, ("encoding_format",): frozenset(FORMATS)},
    names=frozenset(("model", "input", "encoding_format", "dimensions", "user", "safety_identifier")),
    readable_parts=frozenset(),
)


def parse(body: bytes) -> InferenceRequest:
    """Read a request. Raises `GatewayError` with the field at fault in `param`, and never with its value."""
    tree = tree_of(body)
    model = model_of(tree)
    if "input" not in tree:
        raise wrong("input", "is missing")
    _check_input(tree["input"])
    encoding = tree.get("encoding_format")
    if encoding is not None and encoding not in FORMATS:
        raise wrong("encoding_format", f"must be {' or '.join(FORMATS)}")
    integer(tree, "dimensions")
    return InferenceRequest(
        dialect=DIALECT,
        body=tree,
        size=len(body),
        model=model,
        stream=False,
        choices=1,
        max_output_tokens=None,
        user=string(tree, "user") or string(tree, "safety_identifier"),
        wants_usage=False,
        together=False,
    )


def probe(model: str, said: str) -> JsonObject:
    """The smallest request for this model with this text in it."""
    return {"model": model, "input": said}


def _check_input(given: Json) -> None:
    """Only text can be inspected. Numbers of tokens are text too, but of a tokenizer that nobody here has."""
    texts = given if isinstance(given, list) else [given]
    if not texts or len(texts) > MAX_INPUTS:
        raise wrong("input", f"must hold from 1 to {MAX_INPUTS} texts")
    for place, text in enumerate(texts):
        param = f"input[{place}]" if isinstance(given, list) else "input"
        if isinstance(text, int | list) and not isinstance(text, bool):
            raise wrong(param, "holds numbers of tokens, which cannot be inspected: send the text itself")
        if not isinstance(text, str):
            raise wrong(param, "must be a string" if isinstance(given, list) else "must be a string or a list of them")
        if not text:
            raise wrong(param, "must not be empty")


def with_changes(
    body: JsonObject,
    *,
    model: str,
    include_usage: bool,
    max_output_tokens: int | None,
    output_limit_field: str | None = None,
) -> JsonObject:
    """A shallow copy of a request for one target, with the provider's name of the model. An embedding has neither a
    stream nor an output that could be bounded, so the other arguments change nothing."""
    return {**body, "model": model}


def usage_of(answer: JsonObject) -> Usage | None:
    """The tokens of an answer as the provider counted them; None where it gives no sound count."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt = count(usage.get("prompt_tokens"))
    return None if prompt is None else Usage(prompt, 0)
