"""The loaded model that answers: what a chat needs of llama.cpp.

One object has one context. `decode`, `take`, `ends`, `piece`, `log_probabilities` and the memory belong to one thread;
`prompt` and `sampler` may run in another beside it, `interrupt` in any. The C interface is used rather than the `Llama`
class: that class makes one answer at a time, cannot be interrupted in a long prompt, hides a failed grammar (a null
pointer, and the process dies), and scans its whole output again for each token.
"""

from __future__ import annotations

import ctypes
import mmap
import random
import time
from collections.abc import Sized
from dataclasses import dataclass
from typing import Any

import llama_cpp as native
import numpy as np
from jinja2 import TemplateError
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from adapters.llama_cpp import cheap
from adapters.llama_cpp.batch import Batch
from adapters.llama_cpp.chat import ChatRequest, Sampling
from adapters.llama_cpp.controls import Controls
from adapters.llama_cpp.decoding import Outcome, Part
from adapters.llama_cpp.failures import BadRequest, EngineFault, LoadFailed
from adapters.llama_cpp.loading import FLASH_ATTENTION, Interrupt, LoadConfig, complaints, load_weights, new_context
from adapters.llama_cpp.lora import Lora
from adapters.llama_cpp.sampler import Sampler
from adapters.llama_cpp.shortlist import MOST, WORTH, Shortlist

_NO_ROOM, _ABORTED = 1, 2  # llama_decode
_MOST_PLACES = 256  # llama.cpp's LLAMA_MAX_SEQ
_UNNAMED_TYPES = {"bf16": 30}  # ggml.h; the binding has no names for them
_FALLBACK_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class ModelConfig(LoadConfig):
    """How to load a model that answers. All answers share a cache of `context_tokens`. `kv_type` is the form of keys
    and values, as ggml names it in small letters; `loras` are used by all answers."""

    kv_type: str = "f16"
    loras: tuple[Lora, ...] = ()


def _ggml_type(name: str) -> int:
    known = _UNNAMED_TYPES.get(name)
    return int(getattr(native, f"GGML_TYPE_{name.upper()}")) if known is None else known


def _bytes_of(state: mmap.mmap) -> Any:
    """What a C function takes for the address of `state`."""
    return np.frombuffer(state, np.uint8).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


class LoadedModel:
    """A model with its context. Raises `LoadFailed`."""

    def __init__(self, config: ModelConfig) -> None:
        self._model = load_weights(config.path, config.gpu_layers)
        self.rewinds = not (native.llama_model_is_recurrent(self._model) or native.llama_model_is_hybrid(self._model))
        self.window = int(native.llama_model_n_swa(self._model))  # tokens that some layers look back on; 0: all
        # Of a model that looks back on a window, llama.cpp saves only what the last token looks back on: cut to fewer
        # tokens, it would go on with gaps, and nothing would tell.
        self.parks = self.rewinds and not self.window
        self.parallel = config.parallel
        # As many places again for prefixes that wait for their next turn; a recurrent model pays memory for each.
        self.places = min(config.parallel * (2 if self.rewinds else 1), _MOST_PLACES)
        params = self._context_params(config)
        self._context = new_context(self._model, params)
        self._use(config.loras)
        self._interrupt = Interrupt(self._context)
        self._memory = native.llama_get_memory(self._context)
        self._vocab = native.llama_model_get_vocab(self._model)
        self._batch = Batch(int(params.n_batch))
        self.batch_tokens = min(config.batch_tokens, self._batch.size)
        self.batch_size = self._batch.size
        self._pieces: dict[int, bytes] = {}
        self._random = random.Random()
        self.context_tokens = int(native.llama_n_ctx(self._context))
        self.vocabulary = int(native.llama_vocab_n_tokens(self._vocab))
        self.progress_at = time.monotonic()
        self._formatter, self.has_template = self._load_formatter()
        no_text = native.LLAMA_TOKEN_ATTR_CONTROL | native.LLAMA_TOKEN_ATTR_UNKNOWN
        tokens = range(self.vocabulary)
        self._controls = Controls(
            self._text(token) for token in tokens if native.llama_vocab_get_attr(self._vocab, token) & no_text
        )

    def _context_params(self, config: ModelConfig) -> Any:
        params = native.llama_context_default_params()
        params.n_ctx = config.context_tokens or native.llama_model_n_ctx_train(self._model)
        # A step has room for a token of each answer beside its part of the prompts.
        params.n_batch = params.n_ubatch = min(config.batch_tokens + config.parallel, params.n_ctx)
        params.n_seq_max = self.places
        params.kv_unified = True  # places share cells, so that a prefix costs nothing to share; a split cache cannot
        params.flash_attn_type = FLASH_ATTENTION[config.flash_attention]
        params.type_k = params.type_v = _ggml_type(config.kv_type)
        params.n_threads = params.n_threads_batch = config.threads
        params.no_perf = True
        return params

    def _use(self, loras: tuple[Lora, ...]) -> None:
        """Load the adapters, which then belong to the model, and switch them on for every answer."""
        handles = (native.llama_adapter_lora_p_ctypes * len(loras))()
        for place, lora in enumerate(loras):
            handle = native.llama_adapter_lora_init(self._model, str(lora.path).encode())
            if not handle:
                raise LoadFailed(f"the LoRA adapter {lora.path}: {complaints() or 'no reason given'}")
            handles[place] = handle
        scales = (ctypes.c_float * len(loras))(*(lora.scale for lora in loras))
        if loras and native.llama_set_adapters_lora(self._context, handles, len(loras), scales):
            raise LoadFailed("the LoRA adapters cannot be used")

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
        tools, messages, options = map(
            self._controls.mark, (request.raw_tools, request.messages, request.template_options)
        )
        try:
            rendered = self._formatter(messages=messages, tools=tools or None, **options).prompt
        except (TemplateError, ValueError, TypeError, KeyError) as error:
            reason = str(error)[:200]
            raise BadRequest(f"The model's chat template refuses these messages: {reason}", "messages") from None
        tokens = []
        for text, controls in self._controls.parts(rendered):
            tokens += self._tokenize(text.encode("utf-8", "replace"), controls=controls)
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

    def _tokenize(self, text: bytes, *, controls: bool) -> list[int]:
        size = len(text) + 8  # a token is at least one byte
        buffer = (native.llama_token * size)()
        count = native.llama_tokenize(self._vocab, text, len(text), buffer, size, False, controls)
        if count < 0:
            raise EngineFault("tokenizer failed")
        return list(buffer[:count])

    # ---- sampling

    def sampler(self, sampling: Sampling, grammar: str | None, choice: int) -> Sampler:
        """A sampler for the `choice`-th answer to one request. Raises `BadRequest`."""
        rules = None
        if grammar is not None:
            rules = native.llama_sampler_init_grammar(self._vocab, grammar.encode(), b"root")
            if not rules:
                reason = "The schema gives a grammar that llama.cpp refuses."
                raise BadRequest(reason, "response_format", "invalid_schema")
        try:
            bias = [self._bias(sampling)] if sampling.logit_bias else []
        except BadRequest:
            if rules is not None:
                native.llama_sampler_free(rules)
            raise
        parts = []
        penalties = (sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty)
        if penalties != (1.0, 0.0, 0.0):
            parts.append(native.llama_sampler_init_penalties(self.vocabulary, self.context_tokens, *penalties))
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
        count = 1 if sampling.temperature == 0 else sampling.top_k
        few = self.vocabulary >= WORTH and 0 < count <= MOST and penalties == (1.0, 0.0, 0.0)
        shortlist = Shortlist(self.vocabulary, count, sampling.logit_bias) if few else None
        return Sampler(bias, parts, rules, shortlist)

    def _bias(self, sampling: Sampling) -> Any:
        entries = (native.llama_logit_bias * len(sampling.logit_bias))()
        for entry, (token, bias) in zip(entries, sampling.logit_bias, strict=True):
            if token >= self.vocabulary:
                raise BadRequest(f"Token {token} in 'logit_bias' is not in the vocabulary.", "logit_bias")
            entry.token, entry.bias = token, bias
        return native.llama_sampler_init_logit_bias(self.vocabulary, len(entries), entries)

    # ---- decoding

    def decode(self, parts: list[Part]) -> tuple[Outcome, list[int]]:
        """Read the parts, at most `batch_size` tokens together. Gives the row of each part's last token, for `take`
        and `log_probabilities`. Raises `EngineFault`, after which the memory holds nothing certain."""
        batch, rows = self._batch.fill(parts)
        result = native.llama_decode(self._context, batch)
        self.progress_at = time.monotonic()
        if result == 0:
            return Outcome.DONE, rows
        if result == _NO_ROOM:
            return Outcome.NO_ROOM, rows
        if result == _ABORTED:
            return Outcome.ABORTED, rows
        raise EngineFault(f"llama_decode returned {result}")

    def take(self, sampler: Sampler, row: int) -> int:
        """The next token of the answer whose last token is in this row."""
        return sampler.sample(self._context, row)

    def cut(self, place: int, start: int) -> bool:
        """See `places.Memory`."""
        return bool(native.llama_memory_seq_rm(self._memory, place, start, -1))

    def copy(self, source: int, place: int, count: int) -> None:
        """See `places.Memory`."""
        native.llama_memory_seq_cp(self._memory, source, place, 0, count)

    def first(self, place: int) -> int:
        """See `places.Memory`."""
        return int(native.llama_memory_seq_pos_min(self._memory, place))

    def size(self, place: int) -> int:
        """See `places.Memory`."""
        return int(native.llama_state_seq_get_size(self._context, place))

    def save(self, place: int) -> Sized | None:
        """See `places.Memory`. Takes about 15 µs for each token of a small model."""
        size = self.size(place)
        # Pages of its own rather than the heap's: they go back to the system at once, whatever lies beside them.
        try:
            state = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:  # the host has no memory for it
            return None
        written = native.llama_state_seq_get_data(self._context, _bytes_of(state), size, place)
        return state if written == size else None

    def restore(self, place: int, state: Sized) -> bool:
        """See `places.Memory`; takes as long as `save`. `state` is what that gave, in the same process."""
        assert isinstance(state, mmap.mmap)
        return bool(native.llama_state_seq_set_data(self._context, _bytes_of(state), len(state), place))

    def resident(self, place: int) -> int:
        """How many tokens llama.cpp holds in a place."""
        return int(native.llama_memory_seq_pos_max(self._memory, place)) + 1

    def interrupt(self) -> None:
        """Make the running `decode` end with ABORTED within milliseconds. From any thread."""
        self._interrupt.set()

    def resume(self) -> None:
        """Undo `interrupt`, before the next step."""
        self._interrupt.clear()

    # ---- tokens

    def ends(self, token: int) -> bool:
        """Does the model end its turn with this token?"""
        return bool(cheap.is_end(self._vocab, token))

    def piece(self, token: int) -> bytes:
        """The bytes of a token; a control token has none."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._spell(token)
        return known

    def _spell(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(128)
        size = native.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = native.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(size, 0)]

    def log_probabilities(self, row: int, token: int, top: int) -> dict[str, Any]:
        """The entry of `token`, which was sampled from this row, in the ``logprobs`` of an answer: from the model's own
        distribution, before temperature, penalties and grammar."""
        pointer = cheap.logits(self._context, row)
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
