"""Restoring streamed answers: each text in its own channel, whatever the cuts."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from gateway.dialects.openai_chat import ChunkRestorer
from gateway.domain.errors import Code, ProviderError

TOKEN = "PERSON_7f3a"
NAME = 'Ann "Nan" Lee'


class HoldingRestorer:
    """Holds back any end of the text that may begin the token: a restorer with a vocabulary of one."""

    def __init__(self, json_text: bool) -> None:
        self._name = json.dumps(NAME)[1:-1] if json_text else NAME
        self._held = ""

    def feed(self, text: str) -> str:
        text = (self._held + text).replace(TOKEN, self._name)
        keep = next((size for size in range(len(TOKEN) - 1, 0, -1) if text.endswith(TOKEN[:size])), 0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        held, self._held = self._held, ""
        return held


FRAME = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(delta: Any, finish: str | None = None, index: int = 0) -> bytes:
    """One chunk with one choice."""
    return orjson.dumps({**FRAME, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})


def restore(*chunks: bytes) -> list[dict[str, Any]]:
    """Feed the chunks and finish; all that comes out."""
    restorer = ChunkRestorer(HoldingRestorer)
    out = [data for piece in chunks for data in restorer.feed(piece)]
    return [orjson.loads(data) for data in [*out, *restorer.finish()]]


def content(chunks: list[dict[str, Any]], index: int = 0) -> str:
    """What a client puts together as the text of a choice."""
    choices = [choice for tree in chunks for choice in tree["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_chunks_without_tokens_pass_byte_by_byte() -> None:
    """A chunk in which nothing changes is the same bytes, spaces and unknown members included."""
    restorer = ChunkRestorer(HoldingRestorer)
    for data in (
        b'{ "id":"c", "choices":[ {"index":0,"delta":{"role":"assistant","content":""}} ] , "x": 1.0e3}',
        b'{"choices":[{"index":0, "delta":{"content":"hello"}, "logprobs":{"content":[]}}]}',
        b'{"choices": [], "usage": {"prompt_tokens": 1}}',
        b'{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}',
        b'{"choices": null}',
        b'{"choices": [7, {"index": null, "delta": null}]}',
    ):
        assert restorer.feed(data) == [data]
    assert restorer.finish() == []


@pytest.mark.parametrize("size", range(1, 13))
def test_a_token_comes_back_however_it_is_cut(size: int) -> None:
    """Text that arrives in pieces of any size is restored, and in front of the finish reason."""
    text = f"Dear {TOKEN}, yours PERSON_{TOKEN}"
    pieces = [chunk({"content": text[start : start + size]}) for start in range(0, len(text), size)]
    out = restore(*pieces, chunk({}, "stop"))
    assert content(out) == text.replace(TOKEN, NAME)
    assert out[-1]["choices"][0]["finish_reason"] == "stop"
    assert all(tree["choices"][0]["finish_reason"] is None for tree in out[:-1])


def test_held_text_goes_out_before_the_finish_reason() -> None:
    """What turns out to be no token is sent in a chunk of its own before the last one."""
    out = restore(chunk({"content": "a PERSON"}), chunk({}, "stop"))
    assert [tree["choices"][0]["delta"] for tree in out] == [{"content": "a "}, {"content": "PERSON"}, {}]
    assert {**out[1], "choices": None} == {**FRAME, "choices": None}
    assert out[1]["choices"][0]["finish_reason"] is None


def test_held_text_goes_out_at_the_end_of_a_stream_without_finish_reason() -> None:
    """A stream that ends without a finish reason loses nothing."""
    assert content(restore(chunk({"content": "a PERSON"}))) == "a PERSON"


def test_text_in_the_last_chunk_stays_in_it() -> None:
    """A chunk with text and finish reason is restored in place."""
    out = restore(chunk({"content": "to PERSON_"}), chunk({"content": "7f3a"}, "stop"))
    assert content(out) == f"to {NAME}"
    assert len(out) == 2


def test_choices_do_not_mix() -> None:
    """Two choices whose chunks alternate are restored each for itself."""
    out = restore(
        chunk({"content": "x PERSON_"}, index=0),
        chunk({"content": "y PERSON_"}, index=1),
        chunk({"content": "7f3a!"}, index=0),
        chunk({"content": "none"}, index=1),
        chunk({}, "stop", index=0),
        chunk({}, "stop", index=1),
    )
    assert content(out, 0) == f"x {NAME}!"
    assert content(out, 1) == "y PERSON_none"


def test_two_choices_in_one_chunk() -> None:
    """A chunk may carry several choices, of which one ends."""
    first = {"index": 0, "delta": {"content": "PERSON_"}, "finish_reason": None}
    second = {"index": 1, "delta": {"content": "PERS"}, "finish_reason": None}
    ends = [{**first, "delta": {"content": "7f3a"}}, {**second, "delta": {}, "finish_reason": "stop"}]
    out = restore(orjson.dumps({"choices": [first, second]}), orjson.dumps({"choices": ends}))
    assert (content(out, 0), content(out, 1)) == (NAME, "PERS")


def test_channels_do_not_mix() -> None:
    """Content, refusal and reasoning of one choice are restored each for itself."""
    names = ("content", "refusal", "reasoning_content", "of_tomorrow")
    out = restore(
        *(chunk({name: "PERSON_"}) for name in names),
        chunk(dict.fromkeys(names, "7f3a")),
    )
    for name in names:
        assert "".join(tree["choices"][0]["delta"].get(name, "") for tree in out) == NAME


def tool(place: int, arguments: str, **more: Any) -> dict[str, Any]:
    """A delta that adds to the arguments of one tool call."""
    return {"tool_calls": [{"index": place, **more, "function": {"arguments": arguments}}]}


@pytest.mark.parametrize("size", range(1, 13))
def test_tool_arguments_come_back_escaped(size: int) -> None:
    """Two tool calls whose pieces alternate stay valid JSON with the values in them."""
    texts = [json.dumps({"to": TOKEN, "n": place}) for place in range(2)]
    pieces = []
    for start in range(0, max(map(len, texts)), size):
        pieces += [chunk(tool(place, texts[place][start : start + size])) for place in range(2)]
    out = restore(*pieces, chunk({}, "tool_calls"))
    for place in range(2):
        calls = [call for tree in out for call in tree["choices"][0]["delta"].get("tool_calls", [])]
        arguments = "".join(call["function"]["arguments"] for call in calls if call["index"] == place)
        assert json.loads(arguments) == {"to": NAME, "n": place}


def test_held_arguments_are_flushed_into_their_call() -> None:
    """Arguments that end in what could be a token come out in a chunk for the same tool call."""
    out = restore(chunk(tool(1, '{"a": "PERS', id="call_1", type="function")), chunk({}, "length"))
    assert out[1]["choices"][0]["delta"] == {"tool_calls": [{"index": 1, "function": {"arguments": "PERS"}}]}


def test_a_tool_name_is_whole_and_ids_are_left_alone() -> None:
    """A token in a function's name is restored in its chunk without holding anything back; ids and roles are kept."""
    call = {"index": 0, "id": TOKEN, "type": TOKEN, "function": {"name": f"mail_{TOKEN}", "arguments": ""}}
    other = {"index": 1, "id": "x", "type": "function", "function": {"name": "look_up_PERSON_", "arguments": ""}}
    out = restore(chunk({"role": TOKEN, "tool_calls": [call, other]}))
    assert len(out) == 1
    delta = out[0]["choices"][0]["delta"]
    assert delta["role"] == TOKEN
    assert delta["tool_calls"][0]["id"] == TOKEN
    assert delta["tool_calls"][0]["function"]["name"] == f"mail_{NAME}"
    assert delta["tool_calls"][1]["function"]["name"] == "look_up_PERSON_"


def test_audio_transcripts_are_text_and_audio_is_not() -> None:
    """The transcript of spoken words is restored, the sound is left alone."""
    out = restore(
        chunk({"audio": {"id": "a", "data": TOKEN, "transcript": "for PERSON_"}}),
        chunk({"audio": {"transcript": "7f3a"}}),
    )
    assert "".join(tree["choices"][0]["delta"]["audio"]["transcript"] for tree in out) == f"for {NAME}"
    assert out[0]["choices"][0]["delta"]["audio"]["data"] == TOKEN


def test_a_list_of_texts_is_flushed_in_its_place() -> None:
    """Texts that stand in a list are channels too."""
    out = restore(chunk({"notes": ["PERS"]}), chunk({}, "stop"))
    assert [tree["choices"][0]["delta"] for tree in out] == [{"notes": [""]}, {"notes": ["PERS"]}, {}]


@pytest.mark.parametrize("data", [b"{", b"[]", b"7", b'{"choices": ['])
def test_what_is_no_object_is_an_error(data: bytes) -> None:
    """A chunk that is not a JSON object is the provider's fault, and is not quoted."""
    with pytest.raises(ProviderError) as caught:
        ChunkRestorer(HoldingRestorer).feed(data)
    assert caught.value.code is Code.TARGET_BAD_ANSWER


def test_a_very_deep_chunk_is_passed_on() -> None:
    """A chunk nested deeper than any real one neither fails nor changes."""
    deep: Any = TOKEN
    for _ in range(200):
        deep = {"x": deep}
    data = chunk(deep)
    assert ChunkRestorer(HoldingRestorer).feed(data) == [data]
