"""Choosing among the few best tokens gives what choosing among all does."""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp as native
import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.llama_cpp import cheap
from adapters.llama_cpp.shortlist import MOST, WORTH, Shortlist, best

Floats = NDArray[np.float32]
SIZES = (WORTH, 32_000, 151_936)


def rows(size: int, seed: int = 1) -> dict[str, Floats]:
    """Logits of every kind: flat, of a sure model, with the best close together, and with many that are equal."""
    chance = np.random.default_rng(seed)
    flat = chance.normal(size=size).astype(np.float32)
    sure = flat.copy()
    sure[chance.integers(size)] = 30
    spaced = flat.copy()
    spaced[7 : 512 * 60 : 512][:60] += 10  # all in one column
    together = flat.copy()
    together[-50:] += 10
    equal = np.round(flat, 1)
    ruled_out = np.where(chance.random(size) < 0.9, -np.inf, flat).astype(np.float32)
    return {
        "flat": flat, "sure": sure, "spaced": spaced, "together": together, "equal": equal, "ruled out": ruled_out,
    }  # fmt: skip


def chain_of(*parts: Any) -> Any:
    chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())
    for part in parts:
        native.llama_sampler_chain_add(chain, part)
    return chain


def usual(top_k: int, seed: int) -> Any:
    return chain_of(
        native.llama_sampler_init_top_k(top_k),
        native.llama_sampler_init_top_p(0.95, 1),
        native.llama_sampler_init_min_p(0.05, 1),
        native.llama_sampler_init_temp(0.8),
        native.llama_sampler_init_dist(seed),
    )


def among_all(chain: Any, logits: Floats) -> int:
    """What llama.cpp itself does: a record for each token."""
    data = (native.llama_token_data * len(logits))()
    for token, value in enumerate(logits.tolist()):
        data[token].id, data[token].logit = token, value
    candidates = native.llama_token_data_array(data, len(logits), -1, False)
    native.llama_sampler_apply(chain, ctypes.byref(candidates))
    return int(candidates.data[candidates.selected].id)


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes these logits those of the model."""

    def shown(logits: Floats) -> None:
        pointer = logits.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        monkeypatch.setattr(cheap, "logits", lambda _context, _row: pointer)

    return shown


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 40, MOST])
def test_the_best_are_on_the_list(size: int, count: int) -> None:
    """Wherever they stand, and also where several are equal to the last of them."""
    for name, logits in rows(size).items():
        found = best(logits, count)
        least = np.sort(logits)[-count]
        assert np.isin(np.flatnonzero(logits >= least), found).all(), name
        assert len(found) >= count


@pytest.mark.parametrize("name", ["flat", "sure", "spaced", "together", "ruled out"])
def test_the_same_token_as_among_all(name: str, show: Any) -> None:
    """With the same seed, and with biases, for a hundred draws in a row from the same random numbers."""
    few, all_of_them = usual(40, 11), usual(40, 11)
    bias = ((5, 100.0), (9, -100.0), (100, 2.5), (100, 0.25))
    seen = set()
    for draw in range(100):
        logits = rows(WORTH, seed=draw)[name]
        shortlist = Shortlist(WORTH, 40, bias if draw % 2 else ())
        show(logits)
        biased = logits.copy()
        for token, value in bias if draw % 2 else ():
            biased[token] += value
        token = shortlist.choose(few, None, 0)
        assert token == among_all(all_of_them, biased)
        seen.add(token)
    assert len(seen) > 5
    native.llama_sampler_free(few)
    native.llama_sampler_free(all_of_them)


@pytest.mark.parametrize("name", list(rows(WORTH)))
def test_the_likeliest_without_chance(name: str, show: Any) -> None:
    """With temperature 0 it is the first of the best, as llama.cpp chooses."""
    chain = chain_of(native.llama_sampler_init_greedy())
    logits = rows(32_000)[name]
    show(logits)
    assert Shortlist(len(logits), 1, ()).choose(chain, None, 0) == int(logits.argmax())
    native.llama_sampler_free(chain)


def test_no_list_where_it_would_be_long(show: Any) -> None:
    """Where all tokens are equally likely, or a logit is not a number, llama.cpp judges all of them."""
    chain = usual(40, 1)
    for logits in (np.zeros(WORTH, np.float32), np.full(WORTH, np.nan, np.float32)):
        show(logits)
        assert Shortlist(WORTH, 40, ()).choose(chain, None, 0) is None
    native.llama_sampler_free(chain)
