"""A model of 238 million random weights. It says nothing of sense, at the speed of a real one of its size."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from pathlib import Path

import llama_cpp as native
import numpy as np

_VOCABULARY, _WIDTH, _FORWARD, _LAYERS, _HEADS, _CONTEXT = 32_000, 1024, 2816, 16, 16, 16_384
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_U32, _I32, _F32, _STRING, _ARRAY = 4, 5, 6, 8, 9
_FLOAT32, _FLOAT16 = 0, 1
_ALIGNMENT = 32
_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"  # one token for each character


@native.llama_log_callback
def _say_nothing(_level: int, _text: bytes, _user_data: ctypes.c_void_p) -> None:
    """llama.cpp would print a line per tensor."""


def weights(folder: Path) -> dict[str, Path]:
    """The files by name of their weights' type, written when they are not there yet (0.8 GB, a minute)."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"F16": folder / "f16.gguf", "Q8_0": folder / "q8_0.gguf"}
    if not files["F16"].exists():
        part = folder / "part"
        _write(part)
        part.rename(files["F16"])
    if not files["Q8_0"].exists():
        native.llama_log_set(_say_nothing, ctypes.c_void_p(0))
        params = native.llama_model_quantize_default_params()
        params.ftype = native.LLAMA_FTYPE_MOSTLY_Q8_0
        part = folder / "part"
        if native.llama_model_quantize(str(files["F16"]).encode(), str(part).encode(), params):
            raise RuntimeError("llama.cpp cannot quantise the model")
        part.rename(files["Q8_0"])
    return files


def _tokens() -> list[str]:
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    single = [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]
    return [*_SPECIAL, *single, *(f"<unused{number}>" for number in range(_VOCABULARY - 256 - len(_SPECIAL)))]


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "token_embd.weight", (_VOCABULARY, _WIDTH)
    yield "output_norm.weight", (_WIDTH,)
    for layer in range(_LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{name}.weight", (_WIDTH,)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{layer}.{name}.weight", (_WIDTH, _WIDTH)
        yield f"blk.{layer}.ffn_gate.weight", (_FORWARD, _WIDTH)
        yield f"blk.{layer}.ffn_up.weight", (_FORWARD, _WIDTH)
        yield f"blk.{layer}.ffn_down.weight", (_WIDTH, _FORWARD)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _settings() -> list[tuple[str, int, bytes]]:
    tokens = _tokens()
    kinds = [3] * len(_SPECIAL) + [1] * 256 + [5] * (len(tokens) - 256 - len(_SPECIAL))
    numbers = {
        "llama.context_length": _CONTEXT, "llama.embedding_length": _WIDTH, "llama.block_count": _LAYERS,
        "llama.feed_forward_length": _FORWARD, "llama.attention.head_count": _HEADS,
        "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 2,
    }  # fmt: skip
    return [
        ("general.architecture", _STRING, _string("llama")),
        *((key, _U32, struct.pack("<I", value)) for key, value in numbers.items()),
        ("llama.attention.layer_norm_rms_epsilon", _F32, struct.pack("<f", 1e-5)),
        ("tokenizer.ggml.model", _STRING, _string("gpt2")),
        ("tokenizer.ggml.pre", _STRING, _string("gpt-2")),
        ("tokenizer.ggml.tokens", _ARRAY, struct.pack("<IQ", _STRING, len(tokens)) + b"".join(map(_string, tokens))),
        ("tokenizer.ggml.token_type", _ARRAY, struct.pack(f"<IQ{len(kinds)}i", _I32, len(kinds), *kinds)),
        ("tokenizer.chat_template", _STRING, _string(_TEMPLATE)),
        ("tokenizer.ggml.merges", _ARRAY, struct.pack("<IQ", _STRING, 1) + _string("Ā ā")),
    ]


def _write(path: Path) -> None:
    random = np.random.default_rng(7)
    settings, shapes, offset = _settings(), list(_shapes()), 0
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(shapes), len(settings))
    head += b"".join(_string(key) + struct.pack("<I", kind) + value for key, kind, value in settings)
    for name, shape in shapes:
        kind = _FLOAT16 if len(shape) == 2 else _FLOAT32
        head += _string(name)
        head += struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, offset)
        size = int(np.prod(shape)) * (2 if kind == _FLOAT16 else 4)
        offset += size + -size % _ALIGNMENT
    with path.open("wb") as file:
        file.write(head + b"\0" * (-len(head) % _ALIGNMENT))
        for _, shape in shapes:
            matrix = len(shape) == 2
            data = random.standard_normal(shape, np.float32) * 0.03 if matrix else np.ones(shape, np.float32)
            raw = data.astype(np.float16 if matrix else np.float32).tobytes()
            file.write(raw + b"\0" * (-len(raw) % _ALIGNMENT))
