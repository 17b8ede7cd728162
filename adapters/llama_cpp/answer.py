"""OpenAI's answer shapes: ``chat.completion`` and ``chat.completion.chunk``. No I/O.

A `Choice` takes tokens and gives deltas; it knows stop strings, tool calls and the token limit, but nothing of
llama.cpp, threads or other choices. One scheduler may drive one of them at a time, another a dozen.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import orjson

from adapters.llama_cpp.chat import ChatRequest, ToolMode
from adapters.llama_cpp.text import TextAssembler
from adapters.llama_cpp.toolcalls import Call, CallScanner, read_call

Json = dict[str, Any]


@dataclass(slots=True)
class Usage:
    """Token counts of one request. The prompt counts once, however many choices there are."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def body(self) -> Json:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


class Choice:
    """One answer while it is being made. `finish_reason` is None until it is complete."""

    def __init__(self, request: ChatRequest, index: int, limit: int) -> None:
        self.index = index
        self.finish_reason: str | None = None
        self._limit = limit
        self._mode = request.tool_mode
        self._names = frozenset(tool.name for tool in request.tools)
        self._forced = request.forced
        # A stop string inside JSON that a grammar shapes would cut it, so stops apply to free text only.
        free = self._mode in (ToolMode.OFF, ToolMode.AUTO)
        self._text = TextAssembler(request.stop if free else ())
        self._scanner = CallScanner(self._names) if self._mode is ToolMode.AUTO else None
        self._count = 0
        self._held = ""
        self._content: list[str] = []
        self._calls: list[Json] = []
        self._pending_logprobs: list[Json] = []
        self._logprobs: list[Json] = []

    def push(self, piece: bytes, logprob: Json | None) -> list[Json]:
        """One more token of the model, not the one that ends its turn. Gives the deltas to send."""
        self._count += 1
        if logprob is not None:
            self._pending_logprobs.append(logprob)
        deltas = self._deltas(self._text.feed(piece))
        if self._text.stopped:
            deltas += self._finish("stop")
        elif self._count >= self._limit:
            deltas += self._finish("length")
        return deltas

    def end(self) -> list[Json]:
        """The model ended its turn."""
        return self._finish("stop")

    def take_logprobs(self) -> Json | None:
        """What belongs to the deltas since the last time."""
        if not self._pending_logprobs:
            return None
        entries, self._pending_logprobs = self._pending_logprobs, []
        self._logprobs += entries
        return {"content": entries, "refusal": None}

    def body(self) -> Json:
        """The complete choice, for an answer that is not streamed."""
        self.take_logprobs()
        message: Json = {"role": "assistant", "content": "".join(self._content), "refusal": None}
        if self._calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = [{key: call[key] for key in ("id", "type", "function")} for call in self._calls]
        logprobs = {"content": self._logprobs, "refusal": None} if self._logprobs else None
        return {"index": self.index, "message": message, "logprobs": logprobs, "finish_reason": self.finish_reason}

    def _finish(self, reason: str) -> list[Json]:
        deltas = self._deltas(self._text.finish())
        if self._scanner is not None:
            deltas += self._scanned(self._scanner.finish())
        if self._mode is ToolMode.SOME:
            call = read_call(self._held, self._names)
            deltas += self._call(call) if call else self._plain(self._held)
        self.finish_reason = "tool_calls" if self._calls and reason == "stop" else reason
        return deltas

    def _deltas(self, text: str) -> list[Json]:
        if not text:
            return []
        if self._mode is ToolMode.ONE:
            return self._argument_text(text)
        if self._mode is ToolMode.SOME:
            self._held += text  # which function it is can be told only at the end
            return []
        return self._scanned(self._scanner.feed(text)) if self._scanner is not None else self._plain(text)

    def _plain(self, text: str) -> list[Json]:
        if not text:
            return []
        self._content.append(text)
        return [{"content": text}]

    def _scanned(self, parts: list[str | Call]) -> list[Json]:
        return [delta for part in parts for delta in (self._plain(part) if isinstance(part, str) else self._call(part))]

    def _call(self, call: Call) -> list[Json]:
        entry = self._new_call(call.name, call.arguments)
        return [{"tool_calls": [dict(entry, function=dict(entry["function"]))]}]

    def _argument_text(self, text: str) -> list[Json]:
        if self._calls:
            self._calls[0]["function"]["arguments"] += text
            return [{"tool_calls": [{"index": 0, "function": {"arguments": text}}]}]
        assert self._forced is not None
        entry = self._new_call(self._forced.name, text)
        return [{"tool_calls": [dict(entry, function=dict(entry["function"]))]}]

    def _new_call(self, name: str, arguments: str) -> Json:
        entry: Json = {
            "index": len(self._calls),
            "id": f"call_{secrets.token_hex(12)}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        self._calls.append(entry)
        return entry


class Writer:
    """Writes the JSON of one answer. `model` is the name that the answer carries."""

    def __init__(self, request: ChatRequest, model: str) -> None:
        self._head = {"id": f"chatcmpl-{secrets.token_hex(14)}", "created": int(time.time()), "model": model}
        self._usage = request.include_usage

    def chunk(self, choice: Choice, delta: Json, *, last: bool = False) -> bytes:
        reason = choice.finish_reason if last else None
        entry = {"index": choice.index, "delta": delta, "logprobs": choice.take_logprobs(), "finish_reason": reason}
        return self._chunk([entry], None)

    def usage_chunk(self, usage: Usage) -> bytes | None:
        """The chunk that ``stream_options.include_usage`` asks for."""
        return self._chunk([], usage.body()) if self._usage else None

    def whole(self, choices: list[Choice], usage: Usage) -> bytes:
        bodies = [choice.body() for choice in choices]
        return orjson.dumps({**self._head, "object": "chat.completion", "choices": bodies, "usage": usage.body()})

    def _chunk(self, choices: list[Json], usage: Json | None) -> bytes:
        body: Json = {**self._head, "object": "chat.completion.chunk", "choices": choices}
        if self._usage:
            body["usage"] = usage
        return orjson.dumps(body)
