"""Tests of the demo model that the repository carries: that it runs, and that its page says of it what is so."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.llama_cpp.gguf import read_gguf
from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineSupervisor
from support.local_engine import config, whole

pytestmark = pytest.mark.anyio
MODEL = Path(__file__).resolve().parents[3] / "models" / "demo-helpdesk.gguf"
PAGE = MODEL.parents[1] / "docs" / "demo-model.md"
QUESTION = {"messages": [{"role": "user", "content": "My printer does not turn on."}]}


@pytest.fixture(scope="module")
async def demo() -> AsyncIterator[LlamaCppProvider]:
    """The demo model, running."""
    if not MODEL.is_file():
        pytest.fail(f"{MODEL} is missing: it is part of the repository")
    provider = LlamaCppProvider(EngineSupervisor(config(MODEL)))
    await provider._engine.start()
    yield provider
    await provider.aclose()


def test_it_is_a_chat_model() -> None:
    """It brings its own chat format."""
    info = read_gguf(MODEL)
    assert info.has_chat_template
    assert info.context_tokens >= 512


async def test_it_answers_and_ends_by_itself(demo: LlamaCppProvider) -> None:
    """The first run shows a sentence, and the model knows when it has finished."""
    choice = (await whole(demo, {**QUESTION, "max_tokens": 200}))["choices"][0]
    assert len(choice["message"]["content"]) > 10
    assert choice["finish_reason"] == "stop"


async def test_it_keeps_a_schema(demo: LlamaCppProvider) -> None:
    """Grammars work with its vocabulary, whose tokens are longer than a byte."""
    schema = {
        "type": "object",
        "properties": {"urgent": {"type": "boolean"}, "topic": {"enum": ["printer", "invoice"]}},
    }
    schema |= {"required": ["urgent", "topic"]}
    form = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": schema}}
    answer = (await whole(demo, {**QUESTION, "response_format": form, "max_tokens": 100}))["choices"][0]
    value = json.loads(answer["message"]["content"])
    assert isinstance(value["urgent"], bool)
    assert value["topic"] in ("printer", "invoice")


def shown() -> list[tuple[str, str]]:
    """The sample answers of docs/demo-model.md: what was asked, and what was answered."""
    _, _, rest = PAGE.read_text().partition("<!-- answers: begin -->")
    rows = re.findall(r"^\| (.+?) (?<!\\)\| (.+) \|$", rest.partition("<!-- answers: end -->")[0], re.MULTILINE)
    return [(asked.replace("\\|", "|"), answered.replace("\\|", "|")) for asked, answered in rows[1:]]


async def test_it_answers_what_the_page_shows(demo: LlamaCppProvider) -> None:
    """Word for word, though here all are asked at once: no token of these answers was a close call."""
    assert len(shown()) >= 12

    async def ask(prompt: str) -> str:
        body = {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "seed": 1, "max_tokens": 96}
        choice = (await whole(demo, body))["choices"][0]
        assert choice["finish_reason"] == "stop"
        return str(choice["message"]["content"])

    answers = await asyncio.gather(*(ask(prompt) for prompt, _ in shown()))
    assert list(zip((prompt for prompt, _ in shown()), answers, strict=True)) == shown()


def test_the_page_describes_the_file() -> None:
    """Size, context and layers are those of the file that the repository carries."""
    info, text = read_gguf(MODEL), PAGE.read_text()
    assert f"| file | {info.file_bytes / 1e6:.1f} MB, weights in {info.quantisation};" in text
    assert f"| context | {info.context_tokens:,} tokens;" in text
    assert f"| architecture | {info.architecture}, " in text
