"""`client.chat.completions`: OpenAI's, with `bailiwick=Hints(…)` on each call and `.decision` on each answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import TracebackType
from typing import Any, Generic, Literal, Required, TypeAlias, TypeVar, Unpack, cast, overload

from openai import AsyncOpenAI, OpenAI, Timeout
from openai.lib.streaming.chat import AsyncChatCompletionStreamManager as OpenAIAsyncStreamManager
from openai.lib.streaming.chat import ChatCompletionStreamManager as OpenAIStreamManager
from openai.resources.chat.chat import AsyncChat as OpenAIAsyncChat
from openai.resources.chat.chat import Chat as OpenAIChat
from openai.resources.chat.completions import AsyncCompletions as OpenAIAsyncCompletions
from openai.resources.chat.completions import Completions as OpenAICompletions
from openai.types.chat import ChatCompletionMessageParam
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsBase,
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from typing_extensions import TypedDict  # as OpenAI's own types: the two kinds do not mix; OpenAI depends on it

from bailiwick.hints import Hints
from bailiwick.types import (
    AsyncChatCompletionStream,
    AsyncStream,
    ChatCompletion,
    ChatCompletionStream,
    ParsedChatCompletion,
    Stream,
    attach,
)

T = TypeVar("T")
Headers: TypeAlias = Mapping[str, Any]


class RequestOptions(TypedDict, total=False):
    """OpenAI's arguments that are about the request and not in its body."""

    extra_query: Mapping[str, object] | None
    extra_body: object | None
    timeout: float | Timeout | None


class _Whole(CompletionCreateParamsNonStreaming, RequestOptions):
    pass


class _Streamed(CompletionCreateParamsStreaming, RequestOptions):
    pass


class _Either(CompletionCreateParamsBase, RequestOptions):
    stream: Required[bool]


class ExplainParams(CompletionCreateParamsBase, RequestOptions, total=False):
    """The fields of a chat completion, streamed or not."""

    stream: bool | Literal[False] | None


class Completions(OpenAICompletions):
    def __init__(self, client: OpenAI) -> None:
        super().__init__(client)
        self._post = deciding(self._post, Stream)

    @overload  # type: ignore[override]  # the fields follow OpenAI's published types, not its signature
    def create(
        self, *, bailiwick: Hints | None = None, extra_headers: Headers | None = None, **fields: Unpack[_Whole]
    ) -> ChatCompletion: ...
    @overload
    def create(
        self, *, bailiwick: Hints | None = None, extra_headers: Headers | None = None, **fields: Unpack[_Streamed]
    ) -> Stream: ...
    @overload
    def create(
        self, *, bailiwick: Hints | None = None, extra_headers: Headers | None = None, **fields: Unpack[_Either]
    ) -> ChatCompletion | Stream: ...
    def create(self, *, bailiwick: Hints | None = None, extra_headers: Headers | None = None, **fields: Any) -> Any:
        """OpenAI's `create`; `bailiwick` tightens what the gateway may do with this one call."""
        return super().create(extra_headers=hinted(bailiwick, extra_headers), **fields)

    def parse(  # type: ignore[override]
        self,
        *,
        messages: Iterable[ChatCompletionMessageParam],
        model: str,
        response_format: type[T] | None = None,
        bailiwick: Hints | None = None,
        extra_headers: Headers | None = None,
        **fields: Any,
    ) -> ParsedChatCompletion[T]:
        """OpenAI's `parse`; `bailiwick` tightens what the gateway may do with this one call."""
        if response_format is not None:
            fields["response_format"] = response_format
        headers = hinted(bailiwick, extra_headers)
        completion: Any = super().parse(messages=messages, model=model, extra_headers=headers, **fields)
        return cast("ParsedChatCompletion[T]", completion)

    def stream(  # type: ignore[override]
        self,
        *,
        messages: Iterable[ChatCompletionMessageParam],
        model: str,
        response_format: type[T] | Mapping[str, Any] | None = None,
        bailiwick: Hints | None = None,
        extra_headers: Headers | None = None,
        **fields: Any,
    ) -> ChatCompletionStreamManager[T]:
        """OpenAI's `stream`; `bailiwick` tightens what the gateway may do with this one call."""
        if response_format is not None:
            fields["response_format"] = response_format
        headers = hinted(bailiwick, extra_headers)
        manager: Any = super().stream(messages=messages, model=model, extra_headers=headers, **fields)
        return ChatCompletionStreamManager(manager)


class AsyncCompletions(OpenAIAsyncCompletions):
    def __init__(self, client: AsyncOpenAI) -> None:
        super().__init__(client)
        self._post = deciding(self._post, AsyncStream)

    @overload  # type: ignore[override]  # the fields follow OpenAI's published types, not its signature
    async def create(
        self, *, bailiwick: Hints | None = None, extra_headers: Headers | None = None, **fields: Unpack[_Whole]
    ) -> ChatCompletion: ...
    @overload
    async def create(
        self, *, bailiwick: Hints | None = None, extra_headers: Headers | None = None, **fields: Unpack[_Streamed]
    ) -> AsyncStream: ...
    @overload
    async def create(
        self, *, bailiwick: Hints | None = None, extra_headers: Headers | None = None, **fields: Unpack[_Either]
    ) -> ChatCompletion | AsyncStream: ...
    async def create(
        self, *, bailiwick: Hints | None = None, extra_headers: Headers | None = None, **fields: Any
    ) -> Any:
        """OpenAI's `create`; `bailiwick` tightens what the gateway may do with this one call."""
        return await super().create(extra_headers=hinted(bailiwick, extra_headers), **fields)

    async def parse(  # type: ignore[override]
        self,
        *,
        messages: Iterable[ChatCompletionMessageParam],
        model: str,
        response_format: type[T] | None = None,
        bailiwick: Hints | None = None,
        extra_headers: Headers | None = None,
        **fields: Any,
    ) -> ParsedChatCompletion[T]:
        """OpenAI's `parse`; `bailiwick` tightens what the gateway may do with this one call."""
        if response_format is not None:
            fields["response_format"] = response_format
        headers = hinted(bailiwick, extra_headers)
        completion: Any = await super().parse(messages=messages, model=model, extra_headers=headers, **fields)
        return cast("ParsedChatCompletion[T]", completion)

    def stream(  # type: ignore[override]
        self,
        *,
        messages: Iterable[ChatCompletionMessageParam],
        model: str,
        response_format: type[T] | Mapping[str, Any] | None = None,
        bailiwick: Hints | None = None,
        extra_headers: Headers | None = None,
        **fields: Any,
    ) -> AsyncChatCompletionStreamManager[T]:
        """OpenAI's `stream`; `bailiwick` tightens what the gateway may do with this one call."""
        if response_format is not None:
            fields["response_format"] = response_format
        headers = hinted(bailiwick, extra_headers)
        manager: Any = super().stream(messages=messages, model=model, extra_headers=headers, **fields)
        return AsyncChatCompletionStreamManager(manager)


class Chat(OpenAIChat):
    @cached_property
    def completions(self) -> Completions:
        return Completions(self._client)


class AsyncChat(OpenAIAsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        return AsyncCompletions(self._client)


class ChatCompletionStreamManager(Generic[T]):
    """What `stream` returns: a context manager, as OpenAI's."""

    def __init__(self, manager: OpenAIStreamManager[T]) -> None:
        self._manager = manager

    def __enter__(self) -> ChatCompletionStream[T]:
        stream = self._manager.__enter__()
        # OpenAI's manager names its own class, and there is no way to tell it another; ours adds no state.
        stream.__class__ = ChatCompletionStream
        assert isinstance(stream, ChatCompletionStream)
        return stream

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manager.__exit__(kind, error, trace)


class AsyncChatCompletionStreamManager(Generic[T]):
    """What `stream` returns: a context manager, as OpenAI's."""

    def __init__(self, manager: OpenAIAsyncStreamManager[T]) -> None:
        self._manager = manager

    async def __aenter__(self) -> AsyncChatCompletionStream[T]:
        stream = await self._manager.__aenter__()
        stream.__class__ = AsyncChatCompletionStream
        assert isinstance(stream, AsyncChatCompletionStream)
        return stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._manager.__aexit__(kind, error, trace)


def hinted(hints: Hints | None, headers: Headers | None) -> Headers | None:
    """The headers of a call with its hints; what the caller wrote as a header stays as written."""
    return headers if hints is None else {**hints.headers(), **(headers or {})}


def deciding(post: Any, stream_class: type) -> Any:
    """`post` with streams of our class, and with the decision kept where a completion is parsed into another object."""

    def call(path: str, **arguments: Any) -> Any:
        if "stream_cls" in arguments:
            arguments["stream_cls"] = stream_class
        options = arguments.get("options")
        if options and callable(options.get("post_parser")):
            arguments["options"] = {**options, "post_parser": _keeping(options["post_parser"])}
        return post(path, **arguments)

    return call


def _keeping(parser: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def parse(completion: Any) -> Any:
        return attach(parser(completion), getattr(completion, "decision", None))

    return parse
