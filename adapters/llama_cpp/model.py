"""The loaded model: everything that touches llama.cpp. The only module that imports it.

One object has one context, which one thread may use at a time; `interrupt` alone may be called from any thread. The C
interface is used rather than the `Llama` class: that class cannot be interrupted in a long prompt, hides a failed
grammar (a null pointer, and the process dies), and scans its whole output again for each token.
"""

from __future__ import annotations

import ctypes
import random
import time
from collections import deque
from pathlib import Path
from typing import Any

import llama_cpp as native
import numpy as np
from jinja2 import TemplateError
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from adapters.llama_cpp.chat import ChatRequest, Sampling
from adapters.llama_cpp.failures import BadRequest, Cancelled, EngineFault, LoadFailed

_ABORTED = 2  # llama_decode
_LOG_LEVEL_ERROR = 4  # ggml.h
_FALLBACK_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_complaints: deque[str] = deque(maxlen=3)


@native.llama_log_callback  # type: ignore[untyped-decorator]
def _listen(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    """llama.cpp's log goes nowhere, except that its last errors explain a failed load."""
    if level == _LOG_LEVEL_ERROR:
        _complaints.append(text.decode("utf-8", "replace").strip())


class Sampler:
    """A chain of samplers for one answer. Must be closed; closing twice is fine."""

    def __init__(self, chain: Any) -> None:
        self._chain = chain

    def sample(self, context: Any) -> int:
        return int(native.llama_sampler_sample(self._chain, context, -1))

    def close(self) -> None:
        if self._chain is not None:
            native.llama_sampler_free(self._chain)
            self._chain = None


class LoadedModel:
    """A model with its context. `context_tokens` 0 takes what the model was trained with. Raises `LoadFailed`."""

    def __init__(self, path: Path, context_tokens: int, threads: int, batch_tokens: int, gpu_layers: int) -> None:
        native.llama_log_set(_listen, ctypes.c_void_p(0))
        native.llama_backend_init()
        _complaints.clear()
        model_params = native.llama_model_default_params()
        model_params.n_gpu_layers = gpu_layers if gpu_layers >= 0 else 2**31 - 1
        self._model = native.llama_model_load_from_file(str(path).encode(), model_params)
        if not self._model:
            raise LoadFailed("; ".join(_complaints) or "llama.cpp gave no reason")
        params = native.llama_context_default_params()
        params.n_ctx = context_tokens or native.llama_model_n_ctx_train(self._model)
        params.n_batch = params.n_ubatch = min(batch_tokens, params.n_ctx)
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        self._context = native.llama_init_from_model(self._model, params)
        if not self._context:
            raise LoadFailed("; ".join(_complaints) or "no memory for the context")
        self._install_interrupt()
        self._memory = native.llama_get_memory(self._context)
        self._vocab = native.llama_model_get_vocab(self._model)
        self._batch_tokens = int(params.n_batch)
        self._resident: list[int] = []
        self._one = (native.llama_token * 1)()
        self._random = random.Random()
        self.context_tokens = int(native.llama_n_ctx(self._context))
        self.vocabulary = int(native.llama_vocab_n_tokens(self._vocab))
        self.progress_at = time.monotonic()
        self._formatter, self.has_template = self._load_formatter()

    def _install_interrupt(self) -> None:
        """llama.cpp asks a callback, for each node of the graph, whether to stop. A Python callback would take the GIL
        each time, a thousand times per token. `strlen` of a buffer that starts with NUL says "no" without it, and
        "yes" once another byte is written there."""
        self._stop_flag = ctypes.create_string_buffer(2)
        self._stop_callback = ctypes.cast(ctypes.CDLL(None).strlen, native.ggml_abort_callback)
        flag = ctypes.cast(self._stop_flag, ctypes.c_void_p)
        native.llama_set_abort_callback(self._context, self._stop_callback, flag)

    def _load_formatter(self) -> tuple[Jinja2ChatFormatter, bool]:
        template = native.llama_model_chat_template(self._model, None)
        text = template.decode("utf-8", "replace") if template else _FALLBACK_TEMPLATE
        self._bos = int(native.llama_vocab_bos(self._vocab))
        eos = int(native.llama_vocab_eos(self._vocab))
        return Jinja2ChatFormatter(text, eos_token=self._text(eos), bos_token=self._text(self._bos)), bool(template)

    def _text(self, token: int) -> str:
        return native.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace") if token >= 0 else ""

    def close(self) -> None:
        native.llama_free(self._context)
        native.llama_model_free(self._model)

    # ---- prompt

    def prompt(self, request: ChatRequest) -> list[int]:
        """The tokens of the conversation in the model's own chat format. Raises `BadRequest`."""
        tools = list(request.raw_tools) or None
        try:
            messages: list[Any] = list(request.messages)
            rendered = self._formatter(messages=messages, tools=tools, **request.template_options).prompt
        except (TemplateError, ValueError, TypeError, KeyError) as error:
            reason = str(error)[:200]
            raise BadRequest(f"The model's chat template refuses these messages: {reason}", "messages") from None
        tokens = self._tokenize(rendered.encode("utf-8", "replace"))
        if self._bos >= 0 and native.llama_vocab_get_add_bos(self._vocab) and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        if not tokens:
            raise BadRequest("The messages are empty.", "messages")
        if len(tokens) >= self.context_tokens:
            raise BadRequest(
                f"This model's maximum context length is {self.context_tokens} tokens. However, your messages "
                f"resulted in {len(tokens)} tokens. Please reduce the length of the messages.",
                "messages",
                "context_length_exceeded",
            )
        return tokens

    def _tokenize(self, text: bytes) -> list[int]:
        size = len(text) + 8  # a token is at least one byte
        buffer = (native.llama_token * size)()
        count = native.llama_tokenize(self._vocab, text, len(text), buffer, size, False, True)
        if count < 0:
            raise EngineFault("tokenizer failed")
        return list(buffer[:count])

    # ---- sampling

    def sampler(self, sampling: Sampling, grammar: str | None, choice: int) -> Sampler:
        """A sampler for the `choice`-th answer to one request. Raises `BadRequest`."""
        parts = [self._bias(sampling)] if sampling.logit_bias else []
        penalties = (sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty)
        if penalties != (1.0, 0.0, 0.0):
            parts.append(native.llama_sampler_init_penalties(self.vocabulary, self.context_tokens, *penalties))
        if grammar is not None:
            parts.append(native.llama_sampler_init_grammar(self._vocab, grammar.encode(), b"root"))
        if sampling.temperature == 0:
            parts.append(native.llama_sampler_init_greedy())
        else:
            seed = self._random.getrandbits(32) if sampling.seed is None else sampling.seed + choice
            parts += [
                native.llama_sampler_init_top_k(sampling.top_k),
                native.llama_sampler_init_top_p(sampling.top_p, 1),
                native.llama_sampler_init_min_p(sampling.min_p, 1),
                native.llama_sampler_init_temp(sampling.temperature),
                native.llama_sampler_init_dist(seed % native.LLAMA_DEFAULT_SEED),  # that value itself means "any"
            ]
        chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())
        sampler = Sampler(chain)
        for part in filter(None, parts):  # a null pointer in the chain would end the process
            native.llama_sampler_chain_add(chain, part)
        if not all(parts):
            sampler.close()
            raise BadRequest("The schema gives a grammar that llama.cpp refuses.", "response_format", "invalid_schema")
        return sampler

    def _bias(self, sampling: Sampling) -> Any:
        entries = (native.llama_logit_bias * len(sampling.logit_bias))()
        for entry, (token, bias) in zip(entries, sampling.logit_bias, strict=True):
            if token >= self.vocabulary:
                raise BadRequest(f"Token {token} in 'logit_bias' is not in the vocabulary.", "logit_bias")
            entry.token, entry.bias = token, bias
        return native.llama_sampler_init_logit_bias(self.vocabulary, len(entries), entries)

    # ---- decoding

    def prefill(self, tokens: list[int]) -> int:
        """Read the prompt; the model is then ready to sample. Returns how many of its tokens it still knew from the
        request before. Raises `Cancelled` after `interrupt`."""
        known = 0
        for a, b in zip(self._resident, tokens[:-1], strict=False):  # the last one is read again: it gives the logits
            if a != b:
                break
            known += 1
        if not native.llama_memory_seq_rm(self._memory, 0, known, -1):
            known = 0  # recurrent models cannot go back a part of the way
            native.llama_memory_clear(self._memory, True)
        self._resident = tokens[:known]
        for start in range(known, len(tokens), self._batch_tokens):
            part = tokens[start : start + self._batch_tokens]
            self._decode((native.llama_token * len(part))(*part), part)
        return known

    def step(self, token: int) -> None:
        """Read one sampled token. Raises `Cancelled` after `interrupt`."""
        self._one[0] = token
        self._decode(self._one, [token])

    def sample(self, sampler: Sampler) -> int:
        return sampler.sample(self._context)

    def _decode(self, buffer: Any, tokens: list[int]) -> None:
        result = native.llama_decode(self._context, native.llama_batch_get_one(buffer, len(tokens)))
        self.progress_at = time.monotonic()
        if result == 0:
            self._resident += tokens
            return
        native.llama_memory_clear(self._memory, True)
        self._resident = []
        if result == _ABORTED:
            raise Cancelled
        raise EngineFault(f"llama_decode returned {result}")

    def interrupt(self) -> None:
        """Make the running `prefill` or `step` raise `Cancelled` within milliseconds. From any thread."""
        self._stop_flag[0] = b"\x01"

    def resume(self) -> None:
        """Undo `interrupt`, before the next request."""
        self._stop_flag[0] = b"\x00"

    # ---- tokens

    def ends(self, token: int) -> bool:
        """Does the model end its turn with this token?"""
        return bool(native.llama_vocab_is_eog(self._vocab, token))

    def piece(self, token: int) -> bytes:
        """The bytes of a token; a control token has none."""
        buffer = ctypes.create_string_buffer(128)
        size = native.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = native.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(size, 0)]

    def log_probabilities(self, token: int, top: int) -> dict[str, Any]:
        """The entry of `token`, which was sampled last, in the ``logprobs`` of an answer: from the model's own
        distribution, before temperature, penalties and grammar."""
        pointer = native.llama_get_logits_ith(self._context, -1)
        logits = np.ctypeslib.as_array(pointer, (self.vocabulary,)).astype(np.float64)
        logits -= logits.max()
        logits -= np.log(np.exp(logits).sum())
        best = np.argpartition(-logits, min(top, self.vocabulary - 1))[:top]
        ranked = sorted((int(one) for one in best), key=lambda one: -float(logits[one]))
        entry = self._probability(token, float(logits[token]))
        entry["top_logprobs"] = [self._probability(one, float(logits[one])) for one in ranked]
        return entry

    def _probability(self, token: int, value: float) -> dict[str, Any]:
        piece = self.piece(token)
        return {"token": piece.decode("utf-8", "replace"), "logprob": max(value, -9999.0), "bytes": list(piece)}
