"""How the next token of one answer is chosen, under a grammar too. Only the process that loads a model imports it.

A grammar costs time for each candidate, and a vocabulary has a hundred thousand. So the token is first chosen as if
there were no grammar, and the grammar is asked about that one token. Only when it refuses are all candidates judged,
and one of those that are left is chosen. Where nothing is truncated (top_k, top_p, min_p) the probabilities are the
same as if the grammar came first: an allowed token has its own probability, and its share of what was refused.
Source: llama.cpp common/sampling.cpp. A grammar apart, a shortlist may do for the samplers (see `shortlist`).
"""

from __future__ import annotations

import ctypes
import time
from typing import Any

import llama_cpp as native

from adapters.llama_cpp import cheap
from adapters.llama_cpp.shortlist import Shortlist

_ACCEPTABLE = 0.0  # any logit that is not the minus infinity by which a grammar refuses
_LONG = 0.0002  # seconds: a grammar that takes longer than that for a token does not keep the GIL
# A sampler's table of functions begins: name, accept, apply. The length has room for all that llama.h declares.
_APPLY, _TABLE = 2, ctypes.c_void_p * 16


class Sampler:
    """The samplers of one answer, which it owns. Must be closed; closing twice is fine. `seconds` is the time that the
    grammar took for the last token, 0 without a grammar."""

    def __init__(
        self, bias: list[Any], parts: list[Any], grammar: Any = None, shortlist: Shortlist | None = None
    ) -> None:
        """`parts` in the order in which they work; `bias` comes before them, and `grammar` before that. `shortlist`
        does what `bias` does."""
        self._all = _chain([*([] if grammar is None else [grammar]), *bias, *parts])
        self._grammar, self._shortlist = grammar, shortlist
        self._tables: list[Any] = []
        self._free = None if grammar is None else _chain([self._borrowed(part) for part in (*bias, *parts)])
        self._few = None if shortlist is None else _chain([self._borrowed(part) for part in parts])
        self._one = native.llama_token_data()
        self._candidates = native.llama_token_data_array(ctypes.pointer(self._one), 1, -1, False)
        self.seconds = 0.0

    def _borrowed(self, part: Any) -> Any:
        """A sampler that works like `part`, and with its state (random numbers, counted tokens), but to which nothing
        is said about the token that was chosen: it may be refused. Lives no longer than `part`."""
        table = _TABLE()
        table[_APPLY] = ctypes.cast(part.contents.iface, ctypes.POINTER(ctypes.c_void_p))[_APPLY]
        self._tables.append(table)
        return cheap.new_sampler(table, part.contents.ctx)

    def sample(self, context: Any, row: int) -> int:
        """Choose the next token from the logits in a row."""
        token = None if self._shortlist is None else self._shortlist.choose(self._few, context, row)
        if self._free is None:
            if token is None:
                return int(cheap.sample(self._all, context, row))
            cheap.llama_sampler_accept(self._all, token)
            return token
        if token is None:
            token = int(cheap.sample(self._free, context, row))
        began = time.monotonic()
        calls = native if self.seconds > _LONG else cheap
        self._one.id, self._one.logit = ctypes.c_int32(token), _ACCEPTABLE
        calls.llama_sampler_apply(self._grammar, ctypes.byref(self._candidates))
        if self._one.logit == _ACCEPTABLE:
            calls.llama_sampler_accept(self._all, token)
        else:
            token = int(native.llama_sampler_sample(self._all, context, row))
        self.seconds = time.monotonic() - began
        return token

    def close(self) -> None:
        if self._all is not None:
            for borrower in filter(None, (self._free, self._few)):
                native.llama_sampler_free(borrower)  # first: they borrow from the other
            native.llama_sampler_free(self._all)
            self._all = self._free = self._few = self._grammar = None


def _chain(parts: list[Any]) -> Any:
    chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())
    for part in parts:
        native.llama_sampler_chain_add(chain, part)
    return chain
