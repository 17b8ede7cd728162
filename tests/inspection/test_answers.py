"""What a model tells of its own is hidden, whole or streamed at any cut; what the caller sent is not touched."""

from __future__ import annotations

import itertools
import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.openai_chat import is_prose
from gateway.domain.errors import Code, GatewayError
from gateway.domain.ports import DetectorFailed
from gateway.inspection import answers
from gateway.inspection.answers import AnswerMasker, Masking
from support.detectors import ListedDetector

pytestmark = pytest.mark.anyio

CARD, KEY, NAME = "4242 4242 4242 4242", "sk-live-51Habcdefghijklmnop", "Anna Kowalski"
VALUES = {"CREDIT_CARD": CARD, "API_KEY": KEY, "PERSON": NAME}


def masking(*, hides: tuple[str, ...] = ("CREDIT_CARD", "API_KEY"), error: Exception | None = None) -> Masking:
    detector = ListedDetector(VALUES)
    detector.error = error
    return AnswerMasker(detector, detector.scan_now, 1.0).masking(lambda entity, percent: entity in hides, b"")


def an_answer(message: dict[str, Any]) -> dict[str, Any]:
    return {"id": CARD, "model": KEY, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


async def test_a_whole_answer_loses_what_is_the_models_own() -> None:
    """In its text, its refusal and the arguments of a tool call; ids and names of the format stay."""
    arguments = orjson.dumps({"number": CARD, "by": NAME, KEY: 1}).decode()
    message = {
        "role": "assistant",
        "content": f"Take {CARD} or {KEY}, {NAME}.",
        "refusal": KEY,
        "tool_calls": [{"id": CARD, "type": "function", "function": {"name": "pay", "arguments": arguments}}],
    }
    mask = masking()
    masked: Any = await mask.mask_tree(an_answer(message), is_prose)
    said = masked["choices"][0]["message"]
    assert said["content"] == f"Take [CREDIT_CARD] or [API_KEY], {NAME}."
    assert said["refusal"] == "[API_KEY]"
    call = said["tool_calls"][0]
    assert orjson.loads(call["function"]["arguments"]) == {"number": "[CREDIT_CARD]", "by": NAME, "[API_KEY]": 1}
    assert (masked["id"], masked["model"], call["id"]) == (CARD, KEY, CARD)
    assert mask.count == 5


async def test_a_number_of_the_models_own_becomes_a_word() -> None:
    """JSON stays JSON: a number that is hidden becomes a string."""
    detector = ListedDetector({"CREDIT_CARD": "4242424242424242"})
    mask = AnswerMasker(detector, detector.scan_now, 1.0).masking(lambda entity, percent: True, b"")
    text = '{"card": 4242424242424242, "year": 2031}'
    masked: Any = await mask.mask_tree(an_answer({"content": text}), is_prose)
    assert orjson.loads(masked["choices"][0]["message"]["content"]) == {"card": "[CREDIT_CARD]", "year": 2031}


async def test_what_the_caller_sent_is_the_callers() -> None:
    """A value of the request may be said back, also one with characters that JSON escapes."""
    detector = ListedDetector({"SECRET": 'say "friend"', "API_KEY": KEY})
    sent = orjson.dumps({"messages": [{"role": "user", "content": 'My word is say "friend"'}]})
    mask = AnswerMasker(detector, detector.scan_now, 1.0).masking(lambda entity, percent: True, sent)
    masked: Any = await mask.mask_tree(an_answer({"content": f'You said say "friend", I say {KEY}.'}), is_prose)
    assert masked["choices"][0]["message"]["content"] == 'You said say "friend", I say [API_KEY].'


async def test_a_short_value_inside_another_word_was_not_sent() -> None:
    """Where the caller wrote "Annual", "Ann" is a name of the model's own; where the caller wrote "Ann", it is not."""
    detector = ListedDetector({"PERSON": "Ann"})
    for sent, said in (("The Annual report", "Ask [PERSON]."), ("Line one\nAnn wrote", "Ask Ann.")):
        body = orjson.dumps({"messages": [{"role": "user", "content": sent}]})
        mask = AnswerMasker(detector, detector.scan_now, 1.0).masking(lambda entity, percent: True, body)
        masked: Any = await mask.mask_tree(an_answer({"content": "Ask Ann."}), is_prose)
        assert masked["choices"][0]["message"]["content"] == said


async def test_an_answer_that_cannot_be_inspected_is_not_given_out() -> None:
    """A detector that fails means an error, whole or streamed; the error holds nothing of the answer."""
    mask = masking(error=DetectorFailed("gone"))
    with pytest.raises(GatewayError) as caught:
        await mask.mask_tree(an_answer({"content": KEY}), is_prose)
    assert caught.value.code is Code.ANSWER_NOT_INSPECTED
    assert KEY not in str(caught.value)
    stream = masking(error=ValueError(KEY)).for_stream(False, None)
    with pytest.raises(GatewayError) as caught:
        stream.feed(KEY * 20)
    assert caught.value.code is Code.ANSWER_NOT_INSPECTED
    assert caught.value.__cause__ is None


def streamed(text: str, cuts: list[int], *, json_text: bool = False, mask: Masking | None = None) -> str:
    stream = (mask or masking()).for_stream(json_text, None)
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return "".join(stream.feed(text[a:b]) for a, b in itertools.pairwise(places)) + stream.flush()


FILLER = st.lists(st.sampled_from(["word", "and", "longer-words", "of", "an", "answer.\n"]), max_size=60).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(FILLER, FILLER, FILLER, st.lists(st.integers(0, 5000), max_size=40))
def test_a_stream_says_what_the_whole_would(first: str, second: str, third: str, cuts: list[int]) -> None:
    """At any cut, wherever a value stands, the pieces joined are the text with its values hidden."""
    text = f"{first} {CARD} {second} {KEY} {third}"
    assert streamed(text, cuts) == text.replace(CARD, "[CREDIT_CARD]").replace(KEY, "[API_KEY]")


def test_a_stream_is_held_back_by_little() -> None:
    """Words go out while the answer is still coming."""
    stream = masking().for_stream(False, None)
    held = most = 0
    for number in range(400):
        piece = f"word{number} "
        held += len(piece) - len(stream.feed(piece))
        most = max(most, held)
    assert most < answers.LOOK_BACK + answers.STEP + 20


def test_a_long_key_is_held_until_it_is_whole() -> None:
    """A word longer than the look-back does not leave in part."""
    long_key = "eyJ" + "".join(random.Random(1).choices("abcdefghijklmnop0123456789", k=1500))
    detector = ListedDetector({"JWT": long_key})
    mask = AnswerMasker(detector, detector.scan_now, 1.0).masking(lambda entity, percent: True, b"")
    text = f"Here it is: {long_key} and that was it."
    assert streamed(text, list(range(0, len(text), 7)), mask=mask) == "Here it is: [JWT] and that was it."


def test_the_arguments_of_a_tool_call_stay_json() -> None:
    """They are held until they are complete; those that were cut short are hidden as text."""
    text = orjson.dumps({"note": f'a "quoted" {KEY}', "card": CARD, "n": [1, 2]}).decode()
    assert orjson.loads(streamed(text, [3, 20, 44], json_text=True)) == {
        "note": 'a "quoted" [API_KEY]',
        "card": "[CREDIT_CARD]",
        "n": [1, 2],
    }
    assert KEY not in streamed(text[:-8], [3, 20, 44], json_text=True)
    untouched = '{"a":  1, "b": "c"}'
    assert streamed(untouched, [4], json_text=True) == untouched


def test_json_text_without_end_is_not_held_for_ever() -> None:
    """Beyond the bound the answer counts as one that cannot be inspected."""
    stream = masking().for_stream(True, None)
    for _ in range(answers.MOST_HELD // 400):
        stream.feed('"x' * 200)
    with pytest.raises(GatewayError):
        stream.feed('"x' * 400)


def test_values_are_put_back_after_the_look() -> None:
    """The stand-in of a caller's value passes the masking and becomes the value."""

    class Restoring:
        def feed(self, text: str) -> str:
            return text.replace("PERSON_3K7QX2MA", NAME)

        def flush(self) -> str:
            return ""

    stream = masking(hides=("PERSON", "API_KEY")).for_stream(False, Restoring())
    said = stream.feed(f"Dear PERSON_3K7QX2MA, the key is {KEY}. Yours, {NAME}") + stream.flush()
    assert said == f"Dear {NAME}, the key is [API_KEY]. Yours, [PERSON]"
