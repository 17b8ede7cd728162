"""Calls into llama.cpp that keep the GIL.

ctypes gives the GIL up around each call. For calls that take a microsecond, dozens of times per step, that means
waiting for it again behind the socket's thread each time: with a small model, several times slower. Only
`llama_decode`, tokenising, and grammars that take long give it up.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp as native

_keeping = ctypes.PyDLL(native.llama_cpp._lib._name)


def _bind(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_keeping, name)
    function.argtypes, function.restype = arguments, result
    return function


sample = _bind("llama_sampler_sample", ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)
is_end = _bind("llama_vocab_is_eog", ctypes.c_bool, ctypes.c_void_p, ctypes.c_int32)
logits = _bind("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), ctypes.c_void_p, ctypes.c_int32)
new_sampler = _bind("llama_sampler_init", native.llama_sampler_p_ctypes, ctypes.c_void_p, ctypes.c_void_p)
llama_sampler_apply = _bind("llama_sampler_apply", None, ctypes.c_void_p, ctypes.c_void_p)
llama_sampler_accept = _bind("llama_sampler_accept", None, ctypes.c_void_p, ctypes.c_int32)
