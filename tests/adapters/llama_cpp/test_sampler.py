"""Tests of `adapters.llama_cpp.sampler`, with real logits and llama.cpp's real samplers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.llama_cpp import cheap
from adapters.llama_cpp import sampler as module
from adapters.llama_cpp.chat import Sampling
from adapters.llama_cpp.decoding import Part
from adapters.llama_cpp.failures import BadRequest
from adapters.llama_cpp.model import LoadedModel, ModelConfig
from adapters.llama_cpp.schema import to_grammar
from adapters.llama_cpp.shortlist import Shortlist

DEMO = Path(__file__).parents[3] / "models" / "demo-helpdesk.gguf"
UNTRUNCATED = {"top_p": 1.0, "top_k": 0, "min_p": 0.0}
LETTERS = "root ::= [a-z]{60}"


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Iterator[LoadedModel]:
    """Each of its tokens is a byte."""
    model = LoadedModel(ModelConfig(tiny_model, context_tokens=2048, parallel=1, flash_attention="off"))
    yield model
    model.close()


def read(model: LoadedModel, tokens: list[int], start: int = 0) -> int:
    """Read tokens; gives the row of the last."""
    model.cut(0, start)
    _, (row,) = model.decode([Part(0, start, tokens, sampled=True)])
    return row


def logits(model: LoadedModel, row: int) -> np.ndarray:
    """What the model says, untouched by samplers."""
    return np.ctypeslib.as_array(cheap.logits(model._context, row), (model.vocabulary,)).astype(np.float64)


def letters(model: LoadedModel) -> np.ndarray:
    """Which tokens are small letters."""
    return np.array([model.piece(token).isalpha() and model.piece(token).islower() for token in range(260)])


def write(model: LoadedModel, sampling: Sampling, grammar: str | None, count: int) -> list[int]:
    """The tokens that are sampled, each read before the next."""
    sampler = model.sampler(sampling, grammar, 0)
    try:
        row, made = read(model, [10, 20, 30]), []
        for at in range(count):
            made.append(model.take(sampler, row))
            if model.ends(made[-1]):
                break
            row = read(model, made[-1:], 3 + at)
        return made
    finally:
        sampler.close()


def test_allowed_tokens_keep_their_probabilities(model: LoadedModel) -> None:
    """To choose first and ask the grammar then gives the distribution of the allowed tokens among themselves."""
    row = read(model, [10, 20, 30])
    before = logits(model, row)
    draws = 4000
    drawn: Counter[int] = Counter()
    for seed in range(draws):
        sampler = model.sampler(Sampling(temperature=1.0, seed=seed, **UNTRUNCATED), LETTERS, 0)
        drawn[model.take(sampler, row)] += 1
        sampler.close()
    expected = np.where(letters(model), np.exp(before - before.max()), 0.0)
    refused = 1 - expected.sum() / np.exp(before - before.max()).sum()
    assert refused > 0.2, "both ways are taken"
    expected *= draws / expected.sum()
    counts = np.array([drawn[token] for token in range(model.vocabulary)])
    likely = expected > 5
    assert counts[expected == 0].sum() == 0
    chi_square = ((counts - expected)[likely] ** 2 / expected[likely]).sum()
    assert chi_square < 3 * likely.sum(), "far beyond what chance gives"
    assert np.array_equal(before, logits(model, row)), "log-probabilities are of the model, not of the samplers"


def test_a_token_counts_once_and_a_refused_one_does_not(model: LoadedModel) -> None:
    """Penalties and biases work under a grammar as without: what is penalised is what the answer holds."""
    allowed = letters(model)
    favourite = int(np.flatnonzero(allowed)[3])
    bias = ((favourite, 2.0), (int(np.flatnonzero(~allowed)[40]), 8.0))
    sampling = Sampling(temperature=0, frequency_penalty=1.5, presence_penalty=0.5, logit_bias=bias)
    written = write(model, sampling, LETTERS, 40)
    counts = np.zeros(model.vocabulary)
    row = read(model, [10, 20, 30])
    for at, token in enumerate(written):
        scores = logits(model, row) - 1.5 * counts - 0.5 * (counts > 0)
        for biased, value in bias:
            scores[biased] += value
        assert token == int(np.where(allowed, scores, -np.inf).argmax())
        counts[token] += 1
        row = read(model, [token], 3 + at)
    assert len(set(written)) > 10


@pytest.mark.parametrize("more", [{}, UNTRUNCATED, {"presence_penalty": 1.0, "logit_bias": ((40, 5.0),)}])
def test_a_seed_gives_the_same_answer(model: LoadedModel, more: dict[str, Any]) -> None:
    """Also where the grammar refuses tokens on the way; another seed gives another answer."""
    grammar = to_grammar({"type": "array", "items": {"type": "integer"}, "minItems": 8}, "s")
    first, again, other = (
        write(model, Sampling(temperature=1.0, seed=seed, **more), grammar, 40) for seed in (7, 7, 8)
    )
    assert first == again != other


def test_a_model_that_keeps_to_the_schema_does_not_pay_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a text, where most tokens are allowed, all candidates are judged for a few tokens only."""
    model = LoadedModel(ModelConfig(DEMO, context_tokens=512, parallel=1))
    judged = 0
    real = module.native.llama_sampler_sample

    def counting(*arguments: Any) -> int:
        nonlocal judged
        judged += 1
        return int(real(*arguments))

    monkeypatch.setattr(module.native, "llama_sampler_sample", counting)
    sampler = model.sampler(Sampling(temperature=0), to_grammar({"type": "string", "minLength": 40}, "s"), 0)
    try:
        text, start = b"", 0
        tokens = model._tokenize(b"My printer does not turn on.", controls=False)
        for _ in range(24):
            row = read(model, tokens, start)
            start += len(tokens)
            tokens = [model.take(sampler, row)]
            text += model.piece(tokens[0])
    finally:
        sampler.close()
        model.close()
    assert text.startswith(b'"')
    assert len(text) > 30
    assert 1 <= judged <= 8


def test_samplers_that_cannot_be_made_leave_nothing(model: LoadedModel) -> None:
    """A bad grammar and a bad bias are errors of the request; closing twice is fine."""
    for grammar, bias in (("root ::= (", ()), (LETTERS, ((10**6, 1.0),))):
        with pytest.raises(BadRequest):
            model.sampler(Sampling(logit_bias=bias), grammar, 0)
    sampler = model.sampler(Sampling(), LETTERS, 0)
    sampler.close()
    sampler.close()


@pytest.mark.parametrize("grammar", [None, LETTERS])
@pytest.mark.parametrize("more", [{}, {"temperature": 0}, {"logit_bias": ((40, 5.0), (41, -100.0))}])
def test_a_shortlist_changes_no_answer(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], grammar: str | None
) -> None:
    """What a model with a large vocabulary says is what it would say if all its tokens were judged."""
    model = LoadedModel(ModelConfig(DEMO, context_tokens=512, parallel=1))
    sampling = Sampling(**{"temperature": 1.0, "seed": 5, **more})
    expected = write(model, sampling, grammar, 30)
    monkeypatch.setattr("adapters.llama_cpp.model.WORTH", 1)
    chosen = []
    choose = Shortlist.choose
    monkeypatch.setattr(Shortlist, "choose", lambda *given: chosen.append(choose(*given)) or chosen[-1])
    assert write(model, sampling, grammar, 30) == expected
    assert len(chosen) == len(expected)
    assert None not in chosen
    model.close()


@pytest.mark.parametrize("more", [UNTRUNCATED, {"top_k": 500}, {"presence_penalty": 0.1}])
def test_no_shortlist_where_others_could_be_chosen(
    monkeypatch: pytest.MonkeyPatch, model: LoadedModel, more: dict[str, Any]
) -> None:
    """Without a small top_k, or with penalties, which can bring any token to the front, all are judged."""
    monkeypatch.setattr("adapters.llama_cpp.model.WORTH", 1)
    sampler = model.sampler(Sampling(temperature=1.0, **more), None, 0)
    assert sampler._shortlist is None
    sampler.close()
