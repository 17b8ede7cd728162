"""`client.embeddings`: OpenAI's, with `bailiwick=Hints(…)` on each call and `.decision` on each answer."""

from __future__ import annotations

from typing import Any, Unpack

from openai.resources.embeddings import AsyncEmbeddings as OpenAIAsyncEmbeddings
from openai.resources.embeddings import Embeddings as OpenAIEmbeddings
from openai.types.embedding_create_params import EmbeddingCreateParams

from bailiwick.completions import Headers, RequestOptions, hinted
from bailiwick.hints import Hints
from bailiwick.types import CreateEmbeddingResponse


class EmbeddingParams(EmbeddingCreateParams, RequestOptions):
    """The fields of a request for embeddings."""


class Embeddings(OpenAIEmbeddings):
    def create(  # type: ignore[override]  # the fields follow OpenAI's published types, not its signature
        self, *, bailiwick: Hints | None = None, extra_headers: Headers | None = None, **fields: Unpack[EmbeddingParams]
    ) -> CreateEmbeddingResponse:
        """OpenAI's `create`; `bailiwick` tightens what the gateway may do with this one call."""
        given: Any = fields
        answer: Any = super().create(extra_headers=hinted(bailiwick, extra_headers), **given)
        return answer  # type: ignore[no-any-return]


class AsyncEmbeddings(OpenAIAsyncEmbeddings):
    async def create(  # type: ignore[override]  # the fields follow OpenAI's published types, not its signature
        self, *, bailiwick: Hints | None = None, extra_headers: Headers | None = None, **fields: Unpack[EmbeddingParams]
    ) -> CreateEmbeddingResponse:
        """OpenAI's `create`; `bailiwick` tightens what the gateway may do with this one call."""
        given: Any = fields
        answer: Any = await super().create(extra_headers=hinted(bailiwick, extra_headers), **given)
        return answer  # type: ignore[no-any-return]
