"""What every use of llama.cpp begins with: its log, the weights, and a way to break a decode off."""

from __future__ import annotations

import ctypes
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp as native

from adapters.llama_cpp.failures import LoadFailed

FLASH_ATTENTION = {
    "auto": native.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": native.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": native.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
"""By the word in the settings."""

_LOG_LEVEL_ERROR = 4  # ggml.h
_complaints: deque[str] = deque(maxlen=3)


@native.llama_log_callback  # type: ignore[untyped-decorator]
def _listen(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    """llama.cpp's log goes nowhere, except that its last errors explain a failed load."""
    if level == _LOG_LEVEL_ERROR:
        _complaints.append(text.decode("utf-8", "replace").strip())


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """What every use of a model is told. `context_tokens` 0 takes what the model was trained with. `parallel` texts are
    worked on at a time, and `batch_tokens` read per step at most. `gpu_layers` -1 means all; `flash_attention` is
    ``auto`` (wherever the device can), ``on`` or ``off``."""

    path: Path
    context_tokens: int = 0
    threads: int = 1
    batch_tokens: int = 128
    gpu_layers: int = 0
    parallel: int = 16
    flash_attention: str = "auto"


def complaints() -> str:
    """What llama.cpp said last of an error; empty for nothing."""
    return "; ".join(_complaints)


def load_weights(path: Path, gpu_layers: int) -> Any:
    """The model in a file, with so many layers on the GPU, -1 for all. Raises `LoadFailed`."""
    native.llama_log_set(_listen, ctypes.c_void_p(0))
    native.llama_backend_init()
    _complaints.clear()
    params = native.llama_model_default_params()
    params.n_gpu_layers = gpu_layers if gpu_layers >= 0 else 2**31 - 1
    model = native.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise LoadFailed(complaints() or "llama.cpp gave no reason")
    return model


def new_context(model: Any, params: Any) -> Any:
    """A context for a model. Raises `LoadFailed`."""
    context = native.llama_init_from_model(model, params)
    if not context:
        raise LoadFailed(complaints() or "no memory for the context")
    return context


class Interrupt:
    """Breaks off what a context is decoding, from any thread.

    llama.cpp asks a callback, for each node of the graph, whether to stop. A Python callback would take the GIL each
    time, a thousand times per token. `strlen` of a buffer that starts with NUL says "no" without it, and "yes" once
    another byte is written there.
    """

    def __init__(self, context: Any) -> None:
        self._flag = ctypes.create_string_buffer(2)
        self._callback = ctypes.cast(ctypes.CDLL(None).strlen, native.ggml_abort_callback)
        native.llama_set_abort_callback(context, self._callback, ctypes.cast(self._flag, ctypes.c_void_p))

    def set(self) -> None:
        """Make the running decode end within milliseconds, and every later one at once."""
        self._flag[0] = b"\x01"

    def clear(self) -> None:
        """Undo `set`."""
        self._flag[0] = b"\x00"
