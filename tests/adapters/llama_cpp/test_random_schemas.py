"""Schemas drawn at random, answered by the real engine with the demo model, and checked by `jsonschema`.

A small number in every run; ``BAILIWICK_RANDOM_SCHEMAS=1000`` takes as many. A failure names the schema's number:
``support.random_schemas.random_schema(NUMBER)`` is the schema.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from jsonschema import Draft202012Validator

from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.schema import to_grammar
from adapters.llama_cpp.supervisor import EngineSupervisor
from gateway.domain.call import Timeouts
from support.live import DEMO_MODEL
from support.local_engine import config, whole
from support.random_schemas import random_schema

pytestmark = pytest.mark.anyio

COUNT = int(os.environ.get("BAILIWICK_RANDOM_SCHEMAS", "40"))
MOST_TOKENS = 600
TOGETHER = 8


@pytest.fixture(scope="module")
async def demo() -> AsyncIterator[LlamaCppProvider]:
    """The demo model: trained, so that it writes words, but not JSON."""
    supervisor = EngineSupervisor(config(DEMO_MODEL, context_tokens=8192, parallel=TOGETHER))
    await supervisor.start()
    provider = LlamaCppProvider(supervisor)
    yield provider
    await provider.aclose()


async def problem_with(provider: LlamaCppProvider, number: int) -> str:
    """What is wrong with the answer; empty where it is valid. One that is cut is asked for again, with another seed and
    more room: a small model goes round in circles now and then, which a schema may allow."""
    for again in range(5):
        found = await answered(provider, number, again)
        if found is not None:
            return found
    return f"schema {number}: it did not come to an end"


async def answered(provider: LlamaCppProvider, number: int, again: int) -> str | None:
    """What is wrong with the answer; None where it was cut."""
    schema = random_schema(number)
    wanted = {"type": "json_schema", "json_schema": {"name": "random", "strict": True, "schema": schema}}
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": f"Order {number}, please."}],
        "response_format": wanted,
        "max_tokens": MOST_TOKENS * (again + 1),
        "temperature": 1.0,
        "seed": number + 10_000 * again,
    }
    choice = (await whole(provider, body, timeouts=Timeouts(5, 300, 300)))["choices"][0]
    text = choice["message"]["content"]
    if choice["finish_reason"] == "length":
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"schema {number}: {text!r} is no JSON ({error})"
    checker = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    problems = [problem.message for problem in checker.iter_errors(value)]
    return f"schema {number}: {text} does not fit: {problems[0]}" if problems else ""


async def test_every_answer_fits_its_schema(demo: LlamaCppProvider) -> None:
    """Whatever the schema, the answer is JSON that `jsonschema` calls valid."""
    found: list[str] = []
    limiter = anyio.CapacityLimiter(TOGETHER)

    async def ask(number: int) -> None:
        async with limiter:
            found.append(await problem_with(demo, number))

    async with anyio.create_task_group() as group:
        for number in range(COUNT):
            group.start_soon(ask, number)
    assert [problem for problem in found if problem] == []
    assert len(found) == COUNT


@pytest.mark.parametrize("number", range(5))
def test_the_schemas_are_schemas(number: int) -> None:
    """They are valid themselves, repeatable, and every one of them has a grammar."""
    for at in range(number * 40, number * 40 + 40):
        schema = random_schema(at)
        assert schema == random_schema(at)
        Draft202012Validator.check_schema(schema)
        assert to_grammar(schema, "schema")
