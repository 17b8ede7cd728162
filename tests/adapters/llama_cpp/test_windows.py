"""Models of which some layers look back on a window: what they have lost is read again, never gone without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.llama_cpp.frames import Kind
from support.scheduling import Bench, Client, bench
from support.tiny_gguf import SPECIAL, write_tiny_gguf

USAGE = {"stream_options": {"include_usage": True}}
STORY = "The printer in the hall does not turn on, and nobody knows why. " * 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("models") / "window.gguf", context_tokens=4096, window=48)


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 24, **USAGE, **more}


def gaps(engine: Bench) -> list[str]:
    """The texts of idle conversations that have lost what lies before their window."""
    lost = [place for place in engine.scheduler._places._idle() if engine.model.first(place.number)]
    return [bytes(token - len(SPECIAL) for token in place.tokens[20:40]).decode() for place in lost]


def likelihoods(client: Client) -> list[float]:
    """How likely the tokens of an answer were, which depends on all that was read."""
    client.text()
    choices = [one for kind, chunk in client.frames if kind is Kind.CHUNK for one in chunk["choices"]]
    return [entry["logprob"] for one in choices if one.get("logprobs") for entry in one["logprobs"]["content"]]


def test_a_window_with_gaps_is_never_gone_on_from(model: Path) -> None:
    """While others are served, llama.cpp gives them cells that lie before a conversation's window. A request that
    begins like it, but goes on earlier, gets the answer that it would get alone."""
    options: dict[str, Any] = {"parallel": 4, "context_tokens": 4096, "flash_attention": "off"}
    seen = 0
    with bench(model, **options) as engine, bench(model, **options) as fresh:
        for number in range(6):
            engine.ask(said(STORY)).text()
            texts = {f"{number} {other} ": f"{number} {other} " * 60 for other in range(4)}
            for text in texts.values():
                engine.ask(said(text)).text()
            lost = [text for begin, text in texts.items() if any(begin in gap for gap in gaps(engine))]
            for text in lost:
                seen += 1
                other = said(text[:120] + "Something else.", logprobs=True, top_logprobs=1)
                alone = likelihoods(fresh.ask(other))
                fresh.scheduler._places.clear()
                assert likelihoods(engine.ask(other)) == pytest.approx(alone, abs=1e-3)
    assert seen, "nothing was lost, so this shows nothing"


def test_a_conversation_goes_on_from_its_end(model: Path) -> None:
    """There the window is whole: nothing is read again."""
    with bench(model, parallel=2, context_tokens=4096, flash_attention="off") as engine:
        turns = [{"role": "user", "content": STORY}]
        answer = engine.ask({**said(""), "messages": turns}).text()
        turns += [{"role": "assistant", "content": answer}, {"role": "user", "content": "And now?"}]
        assert engine.ask({**said(""), "messages": turns}).cached > len(STORY)
