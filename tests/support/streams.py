"""What a client makes of an answer: the messages of its choices, whether they came whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

Message = dict[str, Any]


def messages_in(body: str) -> list[Message]:
    """The messages of an answer, in the order of their choices: of one JSON object, or of a stream that is complete."""
    if not body.startswith("data:"):
        return [choice["message"] for choice in json.loads(body)["choices"]]
    events = [line.removeprefix("data: ") for line in body.split("\n") if line]
    assert events[-1] == "[DONE]", body[-300:]
    return _joined(json.loads(event) for event in events[:-1])


def content_of(body: str) -> str:
    """The text of the first choice."""
    content: str = messages_in(body)[0]["content"]
    return content


def arguments_of(body: str) -> list[str]:
    """What the tools of the first choice are called with."""
    calls = messages_in(body)[0]["tool_calls"]
    return [call["function"]["arguments"] if "function" in call else call["custom"]["input"] for call in calls]


def _joined(chunks: Iterable[Message]) -> list[Message]:
    found: dict[int, Message] = {}
    for chunk in chunks:
        assert "error" not in chunk, chunk
        for choice in chunk["choices"]:
            message = found.setdefault(choice["index"], {"content": "", "tool_calls": []})
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            for piece in delta.get("tool_calls") or []:
                _add_piece(message["tool_calls"], piece)
    return [message for _, message in sorted(found.items())]


def _add_piece(calls: list[Message], piece: Message) -> None:
    kind, text = ("custom", "input") if "custom" in piece else ("function", "arguments")
    while len(calls) <= piece["index"]:
        calls.append({})
    call = calls[piece["index"]].setdefault(kind, {text: ""})
    call[text] += piece[kind].get(text) or ""
    if piece[kind].get("name"):
        call["name"] = piece[kind]["name"]
