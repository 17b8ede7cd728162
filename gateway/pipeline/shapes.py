"""The shapes of the parts that the pipeline works with: wire formats, and what hides and restores values.

Modules of `gateway.dialects` and classes of `gateway.inspection` have these shapes; neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.dialects.openai_chat import LimitField
from gateway.domain.errors import GatewayError
from gateway.domain.finding import Finding, Found, Inspection
from gateway.domain.grammar import Grammar
from gateway.domain.money import Usage
from gateway.domain.request import InferenceRequest
from gateway.domain.tree import JsonObject, Path


class Inspector(Protocol):
    async def inspect(self, tree: JsonObject, grammar: Grammar) -> Inspection: ...


class TextRestorer(Protocol):
    """Restores one text that arrives in pieces."""

    def feed(self, text: str) -> str: ...

    def flush(self) -> str: ...


class Restoring(Protocol):
    """The restore map of one request; its texts are content."""

    def values(self) -> tuple[str, ...]: ...

    def restore_tree(self, tree: JsonObject, is_json_text: Callable[[Path], bool]) -> tuple[JsonObject, int]: ...

    def stream_restorer(self, json_text: bool) -> TextRestorer: ...

    def restore_text(self, text: str) -> str: ...


class Redacted(Protocol):
    @property
    def tree(self) -> JsonObject: ...

    @property
    def mapping(self) -> Restoring: ...

    @property
    def hidden(self) -> tuple[Found, ...]: ...


class Masking(Protocol):
    """Hides in one answer what the policy wants in none."""

    @property
    def count(self) -> int:
        """Values hidden so far."""
        ...

    async def mask_tree(self, answer: JsonObject, is_prose: Callable[[Path], bool]) -> JsonObject: ...

    def for_stream(self, json_text: bool, restorer: TextRestorer | None) -> TextRestorer: ...


class Masker(Protocol):
    def masking(self, hides: Callable[[str, int], bool], sent: bytes) -> Masking: ...


class Redactor(Protocol):
    def redact(self, tree: JsonObject, findings: Sequence[Finding], tenant: str, grammar: Grammar) -> Redacted: ...


class ChunkTransform(Protocol):
    """Turns one stream chunk into those to send instead."""

    def feed(self, data: bytes) -> list[bytes]: ...

    def finish(self) -> list[bytes]: ...


class ChunkUsage(Protocol):
    @property
    def usage(self) -> Usage: ...

    @property
    def alone(self) -> bool:
        """Does the chunk hold nothing but the usage?"""
        ...


class Dialect(Protocol):
    """What the pipeline needs of a wire format; modules of `gateway.dialects` have this shape."""

    @property
    def DIALECT(self) -> str: ...

    @property
    def PATH(self) -> str:
        """Where it is asked, under a server's base URL."""
        ...

    @property
    def OPERATION(self) -> str:
        """The value of ``gen_ai.operation.name``."""
        ...

    @property
    def GRAMMAR(self) -> Grammar: ...

    @property
    def ANSWERS_IN_WORDS(self) -> bool:
        """Do its answers hold words, in which values may be hidden or put back? Then it is a `WordedDialect`."""
        ...

    def parse(self, body: bytes) -> InferenceRequest: ...

    def probe(self, model: str, said: str) -> JsonObject:
        """The smallest request for this model with this text in it."""
        ...

    def with_changes(
        self,
        body: JsonObject,
        *,
        model: str,
        include_usage: bool,
        max_output_tokens: int | None,
        output_limit_field: LimitField | None,
    ) -> JsonObject: ...

    def usage_of(self, answer: JsonObject) -> Usage | None: ...


class WordedDialect(Dialect, Protocol):
    """A wire format whose answers hold words, and may be streamed."""

    def usage_in_chunk(self, data: bytes) -> ChunkUsage | None: ...

    def is_json_text(self, path: Path) -> bool:
        """Is the string at this place of an answer JSON text (tool-call arguments)?"""
        ...

    def is_prose(self, path: Path) -> bool:
        """Is what stands at this place of an answer the model's own words?"""
        ...

    def chunk_restorer(self, make: Callable[[bool], TextRestorer], logprobs: bool = True) -> ChunkTransform: ...

    def without_logprobs(self, answer: JsonObject) -> JsonObject: ...

    def stream_error(self, error: GatewayError, decision: str) -> bytes:
        """The frame that ends a stream which broke after it began."""
        ...
