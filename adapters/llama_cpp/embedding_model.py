"""The loaded model that makes embeddings: what they need of llama.cpp.

`embed` belongs to one thread; `tokens` may run in another beside it, `interrupt` in any. A text is read in one go:
llama.cpp pools the tokens of a single micro-batch, so no text may be longer than one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llama_cpp as native
import numpy as np

from adapters.llama_cpp.batch import Batch
from adapters.llama_cpp.decoding import Part
from adapters.llama_cpp.failures import BadRequest, EngineFault, LoadFailed
from adapters.llama_cpp.loading import FLASH_ATTENTION, Interrupt, LoadConfig, load_weights, new_context
from adapters.llama_cpp.vectors import Vectors, normalised

_ABORTED = 2  # llama_decode
_MOST_SEQUENCES = 256  # llama.cpp's LLAMA_MAX_SEQ
_POOLINGS = {
    "model": native.LLAMA_POOLING_TYPE_UNSPECIFIED,
    "mean": native.LLAMA_POOLING_TYPE_MEAN,
    "cls": native.LLAMA_POOLING_TYPE_CLS,
    "last": native.LLAMA_POOLING_TYPE_LAST,
}


@dataclass(frozen=True, slots=True)
class EmbeddingConfig(LoadConfig):
    """How to load a model for embeddings. `context_tokens` bounds one text, and is at most what the model was trained
    with; a text longer than `batch_tokens` is read alone. `pooling` is ``model`` (as the file says), ``mean``, ``cls``
    or ``last``."""

    pooling: str = "model"


class EmbeddingModel:
    """A model with a context for embeddings. Raises `LoadFailed`."""

    def __init__(self, config: EmbeddingConfig) -> None:
        self._model = load_weights(config.path, config.gpu_layers)
        if native.llama_model_has_encoder(self._model) and native.llama_model_has_decoder(self._model):
            raise LoadFailed("a model with an encoder and a decoder makes no embeddings")
        trained = int(native.llama_model_n_ctx_train(self._model))
        self.context_tokens = min(config.context_tokens or trained, trained)
        self.parallel = min(config.parallel, _MOST_SEQUENCES)
        self.batch_tokens = min(config.batch_tokens, self.context_tokens)
        self._context = new_context(self._model, self._context_params(config))
        pooling = native.llama_pooling_type(self._context)
        if pooling == native.LLAMA_POOLING_TYPE_NONE:
            raise LoadFailed("its file does not say how one embedding comes of all tokens: set 'pooling'")
        if pooling == native.LLAMA_POOLING_TYPE_RANK:
            raise LoadFailed("it ranks texts, and makes no embeddings of them")
        self._interrupt = Interrupt(self._context)
        self._memory = native.llama_get_memory(self._context)
        self._vocab = native.llama_model_get_vocab(self._model)
        self._batch = Batch(self.context_tokens)
        self.dimensions = int(native.llama_model_n_embd_out(self._model))
        self.progress_at = time.monotonic()

    def _context_params(self, config: EmbeddingConfig) -> Any:
        params = native.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self.context_tokens
        params.n_seq_max = self.parallel
        params.kv_unified = True  # the texts of a step may have all lengths
        params.embeddings = True
        params.pooling_type = _POOLINGS[config.pooling]
        params.flash_attn_type = FLASH_ATTENTION[config.flash_attention]
        params.n_threads = params.n_threads_batch = config.threads
        params.no_perf = True
        return params

    def close(self) -> None:
        native.llama_free(self._context)
        native.llama_model_free(self._model)

    def tokens(self, text: str, where: str) -> list[int]:
        """The tokens of a text, with those around it that the model expects. Control tokens that the text spells out
        stay text. Raises `BadRequest`, which says `where` the text is, when it is too long."""
        data = text.encode("utf-8", "replace")
        size = len(data) + 8  # a token is at least one byte
        buffer = (native.llama_token * size)()
        count = native.llama_tokenize(self._vocab, data, len(data), buffer, size, True, False)
        if count < 0:
            raise EngineFault("tokenizer failed")
        if count > self.context_tokens:
            raise BadRequest(
                f"This model's maximum context length is {self.context_tokens} tokens, and each text has to fit into "
                f"it. However, '{where}' has {count} tokens. Please make it shorter or split it.",
                where,
                "context_length_exceeded",
            )
        if count == 0:
            raise BadRequest(f"'{where}' holds nothing that the model could read.", where)
        return list(buffer[:count])

    def embed(self, texts: Sequence[list[int]]) -> Vectors | None:
        """A vector of length 1 for each of the texts, which have at most `batch_tokens` tokens together unless there is
        one only; None after an interrupt. Raises `EngineFault`."""
        if self._memory:
            native.llama_memory_clear(self._memory, False)
        # Which tokens give something is of no account here: a context for embeddings takes all of them.
        batch, _ = self._batch.fill([Part(place, 0, text, True) for place, text in enumerate(texts)])
        result = native.llama_decode(self._context, batch)
        self.progress_at = time.monotonic()
        if result == _ABORTED:
            return None
        if result != 0:
            raise EngineFault(f"llama_decode returned {result}")
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for place in range(len(texts)):
            pointer = native.llama_get_embeddings_seq(self._context, place)
            if not pointer:
                raise EngineFault("llama.cpp gave no embedding")
            vectors[place] = np.ctypeslib.as_array(pointer, (self.dimensions,))
        if not np.isfinite(vectors).all():
            raise EngineFault("an embedding is not a number")
        return normalised(vectors)

    def interrupt(self) -> None:
        """Make the running `embed` end within milliseconds. From any thread."""
        self._interrupt.set()

    def resume(self) -> None:
        """Undo `interrupt`, before the next step."""
        self._interrupt.clear()
