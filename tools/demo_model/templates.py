"""How a question and its answer are made from a template."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping
from dataclasses import dataclass

_FORMATTER = string.Formatter()

# Never in an answer, whatever was asked: the model must not learn to say a number back.
PRIVATE_SLOTS = frozenset({"card", "ssn", "iban", "phone", "email", "address", "secret"})


def slots(text: str) -> frozenset[str]:
    """The slot names that a template uses."""
    return frozenset(name for _, name, _, _ in _FORMATTER.parse(text) if name)


@dataclass(frozen=True)
class Exchange:
    """One question with its answer, and what a ticket about it would say."""

    question: str
    answer: str
    label: str
    urgent: bool = False


@dataclass(frozen=True)
class Topic:
    """Ways to ask for one thing, and the answer sentence by sentence, each with its alternatives.

    An alternative may only use slots that the chosen question used, so an answer never invents an order
    number, a name or a date. An empty alternative leaves the sentence out.
    """

    label: str
    asks: tuple[str, ...]
    answer: tuple[tuple[str, ...], ...]
    urgent: bool = False

    def draw(self, rng: random.Random, values: Mapping[str, str]) -> Exchange:
        """An exchange with the slots filled from `values`."""
        ask = rng.choice(self.asks)
        known = slots(ask)
        if "name" in known:
            known |= {"first"}
        if "hour" in known:
            known |= {"next_hour"}
        answer = compose(rng, self.answer, known - PRIVATE_SLOTS)
        return Exchange(ask.format_map(values), answer.format_map(values), self.label, self.urgent)


def compose(rng: random.Random, sentences: tuple[tuple[str, ...], ...], known: frozenset[str]) -> str:
    """One alternative for each sentence, out of those that need nothing but `known` slots."""
    chosen = []
    for alternatives in sentences:
        usable = [text for text in alternatives if slots(text) <= known]
        if not usable:
            raise ValueError(f"no alternative fits the slots {sorted(known)}: {alternatives}")
        # A sentence that picks up something from the question is the better answer, so it is preferred.
        specific = [text for text in usable if slots(text)]
        chosen.append(rng.choice(specific if specific and rng.random() < 0.8 else usable))
    return " ".join(text for text in chosen if text)
