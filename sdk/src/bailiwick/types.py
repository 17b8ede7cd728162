"""OpenAI's types with the attribute `decision`.

At runtime the models are OpenAI's own classes, so `isinstance` and everything else goes on working; type checkers see
the attribute that the client adds to them. It is no field: it is in no dump and takes no part in comparisons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from openai import AsyncStream as OpenAIAsyncStream
from openai import Stream as OpenAIStream
from openai.lib.streaming.chat import AsyncChatCompletionStream as OpenAIAsyncChatStream
from openai.lib.streaming.chat import ChatCompletionStream as OpenAIChatStream
from openai.types.chat import ChatCompletionChunk

from bailiwick.decision import Decision, decision_of

T = TypeVar("T")

if TYPE_CHECKING:
    from openai.types import CreateEmbeddingResponse as _CreateEmbeddingResponse
    from openai.types.chat import ChatCompletion as _ChatCompletion
    from openai.types.chat import ParsedChatCompletion as _ParsedChatCompletion

    class ChatCompletion(_ChatCompletion):
        @property
        def decision(self) -> Decision | None:
            """What the gateway decided; None when the server is not Bailiwick."""
            ...

    class CreateEmbeddingResponse(_CreateEmbeddingResponse):
        @property
        def decision(self) -> Decision | None:
            """What the gateway decided; None when the server is not Bailiwick."""
            ...

    class ParsedChatCompletion(_ParsedChatCompletion[T], Generic[T]):
        @property
        def decision(self) -> Decision | None:
            """What the gateway decided; None when the server is not Bailiwick."""
            ...

else:
    from openai.types import CreateEmbeddingResponse as CreateEmbeddingResponse
    from openai.types.chat import ChatCompletion as ChatCompletion
    from openai.types.chat import ParsedChatCompletion


class Stream(OpenAIStream[ChatCompletionChunk]):
    """The chunks of a streamed completion."""

    @property
    def decision(self) -> Decision | None:
        """What the gateway decided, known before the first chunk; None when the server is not Bailiwick."""
        return decision_of(self.response)


class AsyncStream(OpenAIAsyncStream[ChatCompletionChunk]):
    """The chunks of a streamed completion."""

    @property
    def decision(self) -> Decision | None:
        """What the gateway decided, known before the first chunk; None when the server is not Bailiwick."""
        return decision_of(self.response)


class ChatCompletionStream(OpenAIChatStream[T]):
    """The events of `client.chat.completions.stream(...)`."""

    @property
    def decision(self) -> Decision | None:
        """What the gateway decided, known before the first event; None when the server is not Bailiwick."""
        return decision_of(self._response)

    def get_final_completion(self) -> ParsedChatCompletion[T]:
        completion: ParsedChatCompletion[T] = attach(super().get_final_completion(), self.decision)
        return completion


class AsyncChatCompletionStream(OpenAIAsyncChatStream[T]):
    """The events of `client.chat.completions.stream(...)`."""

    @property
    def decision(self) -> Decision | None:
        """What the gateway decided, known before the first event; None when the server is not Bailiwick."""
        return decision_of(self._response)

    async def get_final_completion(self) -> ParsedChatCompletion[T]:
        completion: ParsedChatCompletion[T] = attach(await super().get_final_completion(), self.decision)
        return completion


def attach(completion: Any, decision: Decision | None) -> Any:
    """Give an answer its decision. Past the model's own `__setattr__`, which would take it for a field."""
    object.__setattr__(completion, "decision", decision)
    return completion
