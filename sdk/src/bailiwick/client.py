"""The clients: OpenAI's, pointed at a Bailiwick gateway."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, Final, Self, TypedDict, Unpack
from urllib.parse import quote

from openai import AsyncOpenAI, OpenAI, OpenAIError, Timeout
from openai.resources.chat.completions import AsyncCompletions as OpenAIAsyncCompletions
from openai.resources.chat.completions import Completions as OpenAICompletions
from openai.types import CreateEmbeddingResponse as OpenAICreateEmbeddingResponse
from openai.types.chat import ChatCompletion as OpenAIChatCompletion

from bailiwick.completions import AsyncChat, Chat, ExplainParams, Headers, hinted
from bailiwick.decision import Decision, decision_of
from bailiwick.embeddings import AsyncEmbeddings, Embeddings
from bailiwick.explanation import Explanation
from bailiwick.hints import Hints
from bailiwick.types import attach

BASE_URL_VARIABLE: Final = "BAILIWICK_BASE_URL"
API_KEY_VARIABLE: Final = "BAILIWICK_API_KEY"
DEFAULT_BASE_URL: Final = "http://127.0.0.1:8484/v1"

_DECIDED: Final = (OpenAIChatCompletion, OpenAICreateEmbeddingResponse)


class ClientOptions(TypedDict, total=False):
    """Arguments of OpenAI's client, with its defaults; `http_client` is a client of the HTTP library that it uses."""

    organization: str | None
    project: str | None
    timeout: float | Timeout | None
    max_retries: int
    default_headers: Mapping[str, str] | None
    default_query: Mapping[str, object] | None
    http_client: Any


class Bailiwick(OpenAI):
    """OpenAI's client, unchanged but for what is listed here.

    `base_url` is the gateway's, ending in ``/v1``; else the environment variable BAILIWICK_BASE_URL, else
    ``http://127.0.0.1:8484/v1``. `api_key` is a gateway's key; else BAILIWICK_API_KEY. OpenAI's own variables
    OPENAI_API_KEY and OPENAI_BASE_URL are not looked at, so that no provider's key is sent to a gateway by accident.
    `hints` go with every call; a hint of a call replaces the client's of the same name.

    Raises `openai.OpenAIError` when there is no API key.
    """

    def __init__(
        self,
        *,
        api_key: str | Callable[[], str] | None = None,
        base_url: Any = None,
        hints: Hints | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(api_key=_key(api_key), base_url=_url(base_url), **_with_hints(options, hints))

    @cached_property
    def chat(self) -> Chat:
        return Chat(self)

    @cached_property
    def embeddings(self) -> Embeddings:
        return Embeddings(self)

    def with_hints(self, hints: Hints) -> Self:
        """The same client, on the same connections, with these hints on every call beside those it has."""
        return self.with_options(default_headers=hints.headers())

    def explain(
        self,
        *,
        bailiwick: Hints | None = None,
        extra_headers: Headers | None = None,
        **fields: Unpack[ExplainParams],
    ) -> Explanation:
        """What the gateway would decide about this chat completion now, and why. No model sees it.

        Raises `openai.APIStatusError` as a call would, and `ValueError` when the server is no Bailiwick gateway.
        """
        completions = OpenAICompletions(self)
        completions._post = _explaining(self.post, self.base_url)
        create: Any = completions.create
        return Explanation.of(create(extra_headers=hinted(bailiwick, extra_headers), **fields))

    def decision(self, decision: str | Decision) -> list[dict[str, Any]]:
        """Everything that the audit log holds on a decision of one's own app: its records, oldest first.

        Raises `openai.NotFoundError` when there is none that this API key may see.
        """
        answer: Any = self.get(_decision_url(self.base_url, decision), cast_to=object)
        return list(answer["records"])

    def _process_response_data(self, *, data: object, cast_to: type[Any], response: Any) -> Any:
        parsed: Any = super()._process_response_data(data=data, cast_to=cast_to, response=response)
        return _decided(parsed, response)


class AsyncBailiwick(AsyncOpenAI):
    """OpenAI's asynchronous client; see `Bailiwick` for what it adds."""

    def __init__(
        self,
        *,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        base_url: Any = None,
        hints: Hints | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(api_key=_key(api_key), base_url=_url(base_url), **_with_hints(options, hints))

    @cached_property
    def chat(self) -> AsyncChat:
        return AsyncChat(self)

    @cached_property
    def embeddings(self) -> AsyncEmbeddings:
        return AsyncEmbeddings(self)

    def with_hints(self, hints: Hints) -> Self:
        """The same client, on the same connections, with these hints on every call beside those it has."""
        return self.with_options(default_headers=hints.headers())

    async def explain(
        self,
        *,
        bailiwick: Hints | None = None,
        extra_headers: Headers | None = None,
        **fields: Unpack[ExplainParams],
    ) -> Explanation:
        """What the gateway would decide about this chat completion now, and why. No model sees it.

        Raises `openai.APIStatusError` as a call would, and `ValueError` when the server is no Bailiwick gateway.
        """
        completions = OpenAIAsyncCompletions(self)
        completions._post = _explaining(self.post, self.base_url)
        create: Any = completions.create
        return Explanation.of(await create(extra_headers=hinted(bailiwick, extra_headers), **fields))

    async def decision(self, decision: str | Decision) -> list[dict[str, Any]]:
        """Everything that the audit log holds on a decision of one's own app: its records, oldest first.

        Raises `openai.NotFoundError` when there is none that this API key may see.
        """
        answer: Any = await self.get(_decision_url(self.base_url, decision), cast_to=object)
        return list(answer["records"])

    def _process_response_data(self, *, data: object, cast_to: type[Any], response: Any) -> Any:
        parsed: Any = super()._process_response_data(data=data, cast_to=cast_to, response=response)
        return _decided(parsed, response)


def _key(given: Any) -> Any:
    key = given if given is not None else os.environ.get(API_KEY_VARIABLE)
    if key is None:
        raise OpenAIError(
            f"There is no API key: pass api_key, or set the environment variable {API_KEY_VARIABLE}. "
            "'bailiwick keys create' makes one."
        )
    return key


def _url(given: Any) -> Any:
    return given or os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL


def _with_hints(options: ClientOptions, hints: Hints | None) -> ClientOptions:
    if hints is None:
        return options
    return {**options, "default_headers": {**hints.headers(), **(options.get("default_headers") or {})}}


def _decided(parsed: Any, response: Any) -> Any:
    """Every answer passes here, however it was asked for, and here alone its response's headers are at hand."""
    return attach(parsed, decision_of(response)) if isinstance(parsed, _DECIDED) else parsed


def _explaining(post: Any, base_url: object) -> Any:
    """`post` that asks for the explanation of what would have been sent."""

    def call(_: str, *, body: object, options: Any, **__: Any) -> Any:
        return post(f"{_root(base_url)}/explain", body=body, options=options, cast_to=object)

    return call


def _decision_url(base_url: object, decision: str | Decision) -> str:
    identifier = decision.id if isinstance(decision, Decision) else decision
    return f"{_root(base_url)}/decisions/{quote(identifier, safe='')}"


def _root(base_url: object) -> str:
    """The gateway's own API, beside the one that OpenAI's client speaks."""
    return str(base_url).rstrip("/").removesuffix("/v1") + "/bailiwick/v1"
