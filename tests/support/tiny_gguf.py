"""A real llama model of 0.4 MB with random weights, written as GGUF in a few milliseconds.

It talks nonsense, but deterministic nonsense through the whole of llama.cpp: tokenizer, chat template, KV cache,
samplers, grammars. Each byte is a token, so a token of output is one byte. Token 2 ends a turn.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

END_OF_TURN = 2
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' and message['content'] == 'refuse' %}"
    "{{ raise_exception('the roles are wrong') }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz.,?"
_STRING, _ARRAY, _U32, _I32, _F32, _BOOL = 8, 9, 4, 5, 6, 7
_ALIGNMENT = 32


def write_tiny_gguf(path: Path, *, context_tokens: int = 512, template: str | None = TEMPLATE, window: int = 0) -> Path:
    """Write the model to `path`. With a `window`, every other of its layers looks back on so many tokens only, as those
    of Gemma 2 do."""
    width, heads, feed_forward, layers = 64, 4, 128, 2
    kind = "gemma2" if window else "llama"
    vocabulary = [*SPECIAL, *_byte_characters()]
    entries: list[tuple[str, int, object]] = [
        ("general.architecture", _STRING, kind),
        ("general.name", _STRING, "tiny"),
        (f"{kind}.context_length", _U32, context_tokens),
        (f"{kind}.embedding_length", _U32, width),
        (f"{kind}.block_count", _U32, layers),
        (f"{kind}.feed_forward_length", _U32, feed_forward),
        (f"{kind}.attention.head_count", _U32, heads),
        (f"{kind}.attention.layer_norm_rms_epsilon", _F32, 1e-5),
        ("tokenizer.ggml.model", _STRING, "gpt2"),
        ("tokenizer.ggml.pre", _STRING, "gpt-2"),
        ("tokenizer.ggml.tokens", _ARRAY, (_STRING, vocabulary)),
        ("tokenizer.ggml.token_type", _ARRAY, (_I32, [3] * len(SPECIAL) + [1] * 256)),
        ("tokenizer.ggml.merges", _ARRAY, (_STRING, ["Ā ā"])),
        ("tokenizer.ggml.bos_token_id", _U32, 0),
        ("tokenizer.ggml.eos_token_id", _U32, END_OF_TURN),
        ("tokenizer.ggml.add_bos_token", _BOOL, False),
    ]
    if template is not None:
        entries.append(("tokenizer.chat_template", _STRING, template))
    tensors = _tensors(len(vocabulary), width, feed_forward, layers)
    if window:
        entries += [
            ("gemma2.attention.sliding_window", _U32, window),
            ("gemma2.attention.head_count_kv", _U32, heads),
            ("gemma2.attention.key_length", _U32, width // heads),
            ("gemma2.attention.value_length", _U32, width // heads),
        ]
        del tensors["output.weight"]  # the words' own vectors are used, and would make it sure of everything
        tensors["token_embd.weight"] *= 0.2
        for layer in range(layers):
            for norm in ("post_attention_norm", "post_ffw_norm"):
                tensors[f"blk.{layer}.{norm}.weight"] = np.ones(width, np.float32)
    path.write_bytes(_file(entries, tensors))
    return path


def write_tiny_lora(path: Path, *, width: int = 64, layers: int = 2, seed: int = 11, **changes: str) -> Path:
    """Write a LoRA adapter for the tiny model, or another of that width, to `path`: random matrices of rank 4 beside
    the queries of each layer. `changes` replaces metadata (`architecture`, `kind`, `adapter`)."""
    random, rank = np.random.default_rng(seed), 4
    said = {"architecture": "llama", "kind": "adapter", "adapter": "lora", **changes}
    entries: list[tuple[str, int, object]] = [
        ("general.type", _STRING, said["kind"]),
        ("general.architecture", _STRING, said["architecture"]),
        ("adapter.type", _STRING, said["adapter"]),
        ("adapter.lora.alpha", _F32, float(rank)),
    ]
    tensors = {}
    for layer in range(layers):
        for name, shape in (("a", (rank, width)), ("b", (width, rank))):
            matrix = random.standard_normal(shape).astype(np.float32)
            tensors[f"blk.{layer}.attn_q.weight.lora_{name}"] = matrix
    path.write_bytes(_file(entries, tensors))
    return path


def write_tiny_bert(path: Path, *, context_tokens: int = 32) -> Path:
    """Write an encoder as embedding models are: its file says how it pools (the first token), it reads a text in both
    directions, keeps nothing in a cache, and wants a token before and after each text. A letter is a token."""
    width, feed_forward, layers = 32, 64, 2
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"\u2581{c}" for c in _LETTERS), *_LETTERS]
    entries: list[tuple[str, int, object]] = [
        ("general.architecture", _STRING, "bert"),
        ("general.name", _STRING, "tiny-bert"),
        ("bert.context_length", _U32, context_tokens),
        ("bert.embedding_length", _U32, width),
        ("bert.block_count", _U32, layers),
        ("bert.feed_forward_length", _U32, feed_forward),
        ("bert.attention.head_count", _U32, 4),
        ("bert.attention.layer_norm_epsilon", _F32, 1e-5),
        ("bert.attention.causal", _BOOL, False),
        ("bert.pooling_type", _U32, 2),
        ("tokenizer.ggml.model", _STRING, "bert"),
        ("tokenizer.ggml.tokens", _ARRAY, (_STRING, vocabulary)),
        ("tokenizer.ggml.token_type", _ARRAY, (_I32, [3] * 4 + [1] * (len(vocabulary) - 4))),
        ("tokenizer.ggml.token_type_count", _U32, 2),
        ("tokenizer.ggml.padding_token_id", _U32, 0),
        ("tokenizer.ggml.unknown_token_id", _U32, 1),
        ("tokenizer.ggml.cls_token_id", _U32, 2),
        ("tokenizer.ggml.bos_token_id", _U32, 2),
        ("tokenizer.ggml.seperator_token_id", _U32, 3),
        ("tokenizer.ggml.eos_token_id", _U32, 3),
    ]
    random = np.random.default_rng(8)
    ones, nothing = np.ones(width, np.float32), np.zeros(width, np.float32)
    shapes = {
        "token_embd": (len(vocabulary), width),
        "position_embd": (context_tokens, width),
        "token_types": (2, width),
    }
    norms = ["token_embd_norm"]
    for layer in range(layers):
        shapes |= {f"blk.{layer}.{name}": (width, width) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
        shapes |= {f"blk.{layer}.ffn_up": (feed_forward, width), f"blk.{layer}.ffn_down": (width, feed_forward)}
        norms += [f"blk.{layer}.attn_output_norm", f"blk.{layer}.layer_output_norm"]
    tensors = {f"{name}.weight": random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    for name in norms:
        tensors |= {f"{name}.weight": ones, f"{name}.bias": nothing}
    path.write_bytes(_file(entries, tensors))
    return path


def _byte_characters() -> list[str]:
    """GPT-2's printable stand-in for each byte."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def _tensors(vocabulary: int, width: int, feed_forward: int, layers: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)

    def weights(*shape: int, scale: float = 0.3) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    output = weights(vocabulary, width)
    for token in range(vocabulary):
        if not 32 <= token - len(SPECIAL) < 127:
            output[token] = 0  # so that greedy output is printable and does not end by itself
    tensors = {"token_embd.weight": weights(vocabulary, width, scale=1.0), "output.weight": output}
    tensors["output_norm.weight"] = np.ones(width, np.float32)
    for layer in range(layers):
        for norm in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{norm}.weight"] = np.ones(width, np.float32)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"blk.{layer}.{name}.weight"] = weights(width, width)
        tensors[f"blk.{layer}.ffn_gate.weight"] = weights(feed_forward, width)
        tensors[f"blk.{layer}.ffn_up.weight"] = weights(feed_forward, width)
        tensors[f"blk.{layer}.ffn_down.weight"] = weights(width, feed_forward)
    return tensors


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: int, value: object) -> bytes:
    if kind == _STRING:
        return _string(str(value))
    if kind == _ARRAY:
        assert isinstance(value, tuple)
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(_value(inner, item) for item in items)
    return struct.pack({_U32: "<I", _I32: "<i", _F32: "<f", _BOOL: "<?"}[kind], value)


def _file(entries: Sequence[tuple[str, int, object]], tensors: dict[str, np.ndarray]) -> bytes:
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries))
    head += b"".join(_string(key) + struct.pack("<I", kind) + _value(kind, value) for key, kind, value in entries)
    data = b""
    for name, array in tensors.items():
        dimensions = array.shape[::-1]
        head += _string(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, 0, len(data))
        data += array.tobytes() + b"\0" * (-array.nbytes % _ALIGNMENT)
    return head + b"\0" * (-len(head) % _ALIGNMENT) + data
