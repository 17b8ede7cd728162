"""A conversation with personal data in each turn, all different and all invented."""

from __future__ import annotations

import random
import re

from gateway.domain.tree import Json, JsonObject

_WORDS = re.findall(
    r"\w+",
    """the invoice we sent to your office last week has not been paid yet and our team would like to know whether you
    need another copy of it please tell us when payment can be expected so that shipping may continue as planned""",
)


def conversation(turns: int, seed: int = 1) -> list[Json]:
    """The messages up to and with the last question: about 350 characters a question and 1,500 an answer."""
    rng = random.Random(seed)
    messages: list[Json] = []
    for turn in range(turns):
        messages.append({"role": "user", "content": _text(rng, turn, 4)})
        messages.append({"role": "assistant", "content": _text(rng, turn, 20)})
    return messages[:-1]


def request(messages: list[Json]) -> JsonObject:
    """As a client sends it to an OpenAI-compatible API."""
    return {"model": "auto", "messages": messages}


def _text(rng: random.Random, turn: int, sentences: int) -> str:
    said = [" ".join(rng.choices(_WORDS, k=14)).capitalize() + "." for _ in range(sentences)]
    said.insert(1, f"Please write to customer{turn}@example.com or call +1 212-555-{1000 + turn}.")
    return " ".join(said)
