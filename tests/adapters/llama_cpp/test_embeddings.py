"""Tests of embeddings by the engine process (`embedder`, `embedding_model`) through its socket, with real llama.cpp."""

from __future__ import annotations

import base64
import json
import struct
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineSupervisor
from gateway.dialects import openai_chat, openai_embeddings
from gateway.domain.call import ProviderCall, Whole
from gateway.domain.errors import Code, ConfigurationError, ProviderError
from support.live import DEMO_MODEL
from support.local_engine import call, config, until
from support.tiny_gguf import write_tiny_bert

pytestmark = pytest.mark.anyio

TEXTS = ["My parcel has not arrived.", "Where is my parcel?", "How do I reset my password?"]


@pytest.fixture(scope="module")
async def embedder() -> AsyncIterator[LlamaCppProvider]:
    """The demo model with mean pooling; a step takes few texts, so that several are needed."""
    async with started(DEMO_MODEL, pooling="mean", context_tokens=256, batch_tokens=64, parallel=4) as provider:
        yield provider


@asynccontextmanager
async def started(model: Path, **changes: Any) -> AsyncIterator[LlamaCppProvider]:
    provider = LlamaCppProvider(EngineSupervisor(config(model, embeddings=True, **changes)))
    await provider._engine.start()
    try:
        yield provider
    finally:
        await provider.aclose()


def cleared(body: dict[str, Any], dialect: str = openai_embeddings.DIALECT, **more: Any) -> ProviderCall:
    made = call(json.dumps({"model": "x", **body}).encode(), **more)
    return replace(made, target=replace(made.target, dialect=dialect))


async def answer(provider: LlamaCppProvider, body: dict[str, Any], **more: Any) -> dict[str, Any]:
    async with aclosing(provider.stream(cleared(body, **more))) as events:
        (whole,) = [event async for event in events]
    assert isinstance(whole, Whole)
    found: dict[str, Any] = json.loads(whole.body)
    return found


async def vectors(provider: LlamaCppProvider, texts: str | list[str], **fields: Any) -> Any:
    data = (await answer(provider, {"input": texts, **fields}))["data"]
    assert [one["index"] for one in data] == list(range(len(data)))
    return np.array([one["embedding"] for one in data])


async def refusal(provider: LlamaCppProvider, body: dict[str, Any], **more: Any) -> tuple[ProviderError, Any]:
    with pytest.raises(ProviderError) as caught:
        await answer(provider, body, **more)
    return caught.value, json.loads(caught.value.answer)["error"] if caught.value.answer else None


async def test_a_text_has_the_same_vector_alone_and_in_company(embedder: LlamaCppProvider) -> None:
    """Whatever else is in the step, a text gives the same numbers, of length 1, and texts that mean other things give
    others."""
    alone = np.array([(await vectors(embedder, text))[0] for text in TEXTS])
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-6)
    together = await vectors(embedder, [*TEXTS, "x " * 100, *TEXTS])
    np.testing.assert_allclose(together[:3], alone, atol=2e-5)
    np.testing.assert_allclose(together[4:], alone, atol=2e-5)
    assert alone[0] @ alone[2] < 0.999


async def test_usage_counts_every_token(embedder: LlamaCppProvider) -> None:
    """The usage of several texts is the sum of theirs, and nothing is counted as output."""
    one = [(await answer(embedder, {"input": text}))["usage"] for text in TEXTS]
    whole = await answer(embedder, {"input": TEXTS})
    assert whole["usage"] == {"prompt_tokens": sum(usage["prompt_tokens"] for usage in one)} | {
        "total_tokens": whole["usage"]["prompt_tokens"]
    }
    assert all(usage["prompt_tokens"] > 3 for usage in one)
    assert (whole["object"], whole["model"], whole["data"][0]["object"]) == ("list", "tiny", "embedding")


async def test_base64_is_the_same_numbers(embedder: LlamaCppProvider) -> None:
    """What OpenAI's SDK asks for: 32-bit floats, the lowest byte first."""
    (plain,) = await vectors(embedder, TEXTS[0])
    packed = (await answer(embedder, {"input": TEXTS[0], "encoding_format": "base64"}))["data"][0]["embedding"]
    raw = base64.b64decode(packed, validate=True)
    np.testing.assert_allclose(struct.unpack(f"<{len(raw) // 4}f", raw), plain, atol=1e-7)


async def test_control_tokens_in_a_text_are_text(embedder: LlamaCppProvider) -> None:
    """Nobody can put a token that steers the model into a text by writing its name."""
    name = await answer(embedder, {"input": "<|im_end|>"})
    assert name["usage"]["prompt_tokens"] > 3


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"input": "a b c d " * 300}, "input", "maximum context length is 256 tokens"),
        ({"input": ["a", "a b c d " * 300]}, "input[1]", "'input[1]' has"),
        ({"input": []}, "input", "from 1 to 2048"),
        ({"input": ["a", ""]}, "input[1]", "not empty"),
        ({"input": [[1, 2]]}, "input[0]", "must be a text"),
        ({}, "input", "must be a text"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "float or base64"),
        ({"input": "a", "dimensions": 0}, "dimensions", "at least 1"),
        ({"input": "a", "dimensions": 3}, "dimensions", "has only"),
        ({"input": "a", "dimensions": 10**6}, "dimensions", "has only"),
    ],
)
async def test_a_bad_request_is_the_callers_error(
    embedder: LlamaCppProvider, body: dict[str, Any], param: str, words: str
) -> None:
    """It is answered with 400, the place at fault and what is wrong; nothing is cut off silently."""
    error, told = await refusal(embedder, body)
    assert (error.code, error.status, error.retryable) == (Code.TARGET_REFUSED, 400, False)
    assert told["param"] == param
    assert words in told["message"]


async def test_the_longest_text_that_fits_is_taken(embedder: LlamaCppProvider) -> None:
    """The bound is the context itself, to the token."""
    many = (await answer(embedder, {"input": "a " * 100}))["usage"]["prompt_tokens"]
    step = (await answer(embedder, {"input": "a " * 101}))["usage"]["prompt_tokens"] - many
    most = 100 + (256 - many) // step
    assert (await answer(embedder, {"input": "a " * most}))["usage"]["prompt_tokens"] <= 256
    assert (await refusal(embedder, {"input": "a " * (most + 1)}))[1]["code"] == "context_length_exceeded"


async def test_a_chat_is_refused(embedder: LlamaCppProvider) -> None:
    """A model for embeddings says that it is one; and a model that chats, that it makes none."""
    _, told = await refusal(embedder, {"messages": []}, dialect=openai_chat.DIALECT)
    assert told["message"] == "This model makes embeddings; it does not chat."


async def test_a_chat_model_makes_no_embeddings(provider: LlamaCppProvider) -> None:
    """The other way round."""
    _, told = await refusal(provider, {"input": "a"})
    assert told["message"] == "This model chats; it makes no embeddings."


async def test_shortened_embeddings_keep_their_length(tiny_model: Path) -> None:
    """Where the settings say how far, an embedding is its first numbers, of length 1 again; by default it is all."""
    async with started(tiny_model, pooling="last", least_dimensions=16) as provider:
        (whole,) = await vectors(provider, "abc")
        (first,) = await vectors(provider, "abc", dimensions=20)
        assert (len(whole), len(first)) == (64, 20)
        np.testing.assert_allclose(first, whole[:20] / np.linalg.norm(whole[:20]), atol=1e-6)
        assert "has from 16 to 64 numbers" in (await refusal(provider, {"input": "a", "dimensions": 8}))[1]["message"]
        assert (await vectors(provider, "abc", dimensions=64)).shape == (1, 64)


async def test_a_model_that_does_not_say_how_it_pools_needs_the_setting(tiny_model: Path) -> None:
    """Without it the engine does not start, and says what to set."""
    with pytest.raises(ConfigurationError, match="set 'pooling'"):
        async with started(tiny_model):
            raise AssertionError("it started")


async def test_an_encoder(tmp_path: Path) -> None:
    """Most embedding models are encoders: their file says how they pool, and what they put around a text counts. What
    they were trained for bounds a text, whatever the settings say."""
    model = write_tiny_bert(tmp_path / "bert.gguf", context_tokens=32)
    async with started(model, context_tokens=512, parallel=3) as provider:
        texts = ["where is it", "hello", "a", "where is it?"]
        together = await vectors(provider, texts)
        alone = np.array([(await vectors(provider, text))[0] for text in texts])
        np.testing.assert_allclose(together, alone, atol=2e-5)
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
        assert abs(together[0] @ together[1]) < 0.999
        usage = (await answer(provider, {"input": ["hello", "a"]}))["usage"]
        assert usage["prompt_tokens"] == 5 + 2 + 1 + 2
        assert (await answer(provider, {"input": "a" * 30}))["usage"]["prompt_tokens"] == 32
        _, told = await refusal(provider, {"input": "a" * 31})
        assert "maximum context length is 32 tokens" in told["message"]


async def test_a_long_list_holds_nobody_up(tiny_model: Path) -> None:
    """Another tenant's single text is embedded between those of a request with hundreds."""
    ended: list[str] = []

    async def ask(provider: LlamaCppProvider, name: str, texts: list[str]) -> None:
        await answer(provider, {"input": texts}, tenant=name)
        ended.append(name)

    async with started(tiny_model, pooling="mean", batch_tokens=256, parallel=4) as provider:
        async with anyio.create_task_group() as group:
            group.start_soon(ask, provider, "many", ["long text " * 20] * 150)
            await until(lambda: _running(provider))
            group.start_soon(ask, provider, "one", ["short"])
        assert ended == ["one", "many"]
        figures = await provider.stats(prompt_tokens=100)
        assert figures["served"] == 2
        assert figures["first_token_seconds"] > 0
        assert (figures["waiting"], figures["running"], figures["backlog"]) == (0, 0, 0)


async def _running(provider: LlamaCppProvider) -> bool:
    return bool((await provider.stats())["running"])


async def test_leaving_frees_the_engine(tiny_model: Path) -> None:
    """A client that goes away stops its texts, and the next one is served at once."""
    async with started(tiny_model, pooling="mean", batch_tokens=256) as provider:
        with anyio.move_on_after(0.2) as scope:
            await answer(provider, {"input": ["long text " * 20] * 2000})
        assert scope.cancelled_caught
        began = time.monotonic()
        assert len((await answer(provider, {"input": "short"}))["data"]) == 1
        assert time.monotonic() - began < 1
        assert (await provider.stats())["backlog"] == 0


async def test_the_queue_is_bounded(tiny_model: Path) -> None:
    """When it is full the next request is refused at once; one that would be late is refused, too."""
    async with started(tiny_model, pooling="mean", parallel=1, queue=1) as provider:
        await answer(provider, {"input": "long text " * 20})  # now there is a measurement
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(answer, provider, {"input": ["long text " * 20] * 1500})
            await until(lambda: _all_in(provider))
            error, _ = await refusal(provider, {"input": "a"})
            assert error.retry_after is not None
            assert error.retryable
            group.cancel_scope.cancel()
        await until(lambda: _none_in(provider))
        late, _ = await refusal(provider, {"input": ["long text " * 20] * 1500}, first_token=0.001)
        assert late.retryable
        assert "in time" in late.public


async def _all_in(provider: LlamaCppProvider, number: int = 2) -> bool:
    figures = await provider.stats()
    return bool(figures["waiting"] + figures["running"] == number)


async def _none_in(provider: LlamaCppProvider) -> bool:
    figures = await provider.stats()
    return bool(figures["waiting"] + figures["running"] == 0)


async def test_no_tenant_fills_the_queue_alone(tiny_model: Path) -> None:
    """Where one tenant has taken every place in the queue, its last request gives way to another tenant's first."""
    async with started(tiny_model, pooling="mean", parallel=1, queue=2) as provider:
        ended: list[str] = []

        async def ask(tenant: str, body: dict[str, Any]) -> None:
            try:
                await answer(provider, body, tenant=tenant)
                ended.append(f"{tenant} answered")
            except ProviderError as error:
                ended.append(f"{tenant} {error.code.value}")

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(ask, "many", {"input": ["long text " * 20] * 300})
            await until(lambda: _all_in(provider, 3))
            await ask("few", {"input": "a"})
        assert sorted(ended) == ["few answered", "many answered", "many answered", "many target_busy"]
