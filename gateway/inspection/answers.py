"""Hiding what a model tells of its own: values in an answer that the policy wants in none.

What a value is replaced by says its kind and no more, such as ``[API_KEY]``. A value that the caller sent is the
caller's own and stays; so does the stand-in of one that was hidden, which is put back afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Protocol

import orjson

from gateway.domain.errors import Code, GatewayError
from gateway.domain.finding import Span
from gateway.domain.ports import Detector, DetectorFailed
from gateway.domain.tree import Json, JsonObject, Path
from gateway.inspection import embedded
from gateway.inspection.occurrences import Needle, texts_of
from gateway.inspection.readings import Readings
from gateway.inspection.rewrite import rewrite

LOOK_BACK = 160
"""Characters of a stream that are kept back, and as many that went out and are looked at again with what follows."""

STEP = 96
"""New characters after which a stream is scanned again."""

LONGEST_WORD = 4_096
"""Characters for which a stream is held back within a word, for a key or a token of that length."""

MOST_HELD = 262_144
"""Characters of JSON text that a stream may bring before it is complete."""

_SPACE = re.compile(r"\s")

ScanNow = Callable[[str], list[Span]]
"""The spans of a short text, at once."""


class AnswerMasker:
    """Looks into answers with the detector that looks into requests. `timeout` is seconds for a whole answer.

    `scan_now` is given windows of a stream, of some hundred characters, in the event loop.
    """

    def __init__(self, detector: Detector, scan_now: ScanNow, timeout: float) -> None:
        self._detector = detector
        self._scan_now = scan_now
        self._timeout = timeout

    def masking(self, hides: Callable[[str, int], bool], sent: bytes) -> Masking:
        """For one answer: `hides` tells what to hide by entity and percent, `sent` is what the model was given."""
        return Masking(self._detector, self._scan_now, self._timeout, hides, sent)


class Masking:
    """One answer. `count` is how many values have been hidden so far."""

    def __init__(
        self,
        detector: Detector,
        scan_now: ScanNow,
        timeout: float,
        hides: Callable[[str, int], bool],
        sent: bytes,
    ) -> None:
        self._detector = detector
        self._scan_now = scan_now
        self._timeout = timeout
        self._hides = hides
        self._sent = sent
        self.count = 0

    async def mask_tree(self, answer: JsonObject, is_prose: Callable[[Path], bool]) -> JsonObject:
        """The answer with values hidden where `is_prose`; only changed branches are copied. Raises `GatewayError` where
        it cannot be inspected."""
        collected = _Collecting(is_prose)
        rewrite(answer, collected)
        readings = Readings(collected.texts)
        try:
            scanned = await self._detector.scan(readings.texts, self._timeout)
        except DetectorFailed:
            raise _not_inspected() from None
        if len(scanned) != len(readings.texts):
            raise _not_inspected()
        spans = {text: self.wanted(text, found) for text, found in readings.spans(scanned).items()}
        changed = rewrite(answer, _Hiding(self, spans, is_prose))
        return changed if isinstance(changed, dict) else answer

    def for_stream(self, json_text: bool, restorer: StreamText | None) -> StreamText:
        """For one text of a streamed answer, into which `restorer` puts the caller's own values back afterwards."""
        masker = JsonMasker(self) if json_text else StreamMasker(self)
        return masker if restorer is None else _ThenRestore(masker, restorer)

    def spans(self, text: str) -> list[Span]:
        """What to hide in a short text, at once. Raises `GatewayError` where it cannot be inspected."""
        readings = Readings([text])
        try:
            scanned = [self._scan_now(each) for each in readings.texts]
        except Exception:  # the border to recognisers that may be anybody's: a fault in them makes the answer unsure
            raise _not_inspected() from None
        return self.wanted(text, readings.spans(scanned)[text])

    def wanted(self, text: str, spans: Sequence[Span]) -> list[Span]:
        """Those of the spans that are to be hidden, from left to right, none inside or across another."""
        found: list[Span] = []
        for span in sorted(spans, key=lambda span: (span.start, -span.end)):
            if not self._hides(span.entity, span.percent) or self._is_own(text[span.start : span.end]):
                continue
            if found and span.start < found[-1].end:
                last = found.pop()
                span = Span(last.start, max(last.end, span.end), last.entity, last.percent)
            found.append(span)
        return found

    def masked(self, text: str, spans: Sequence[Span]) -> str:
        """`text` without the spans, which are counted."""
        pieces, last = [], 0
        for span in spans:
            pieces += [text[last : span.start], f"[{span.entity}]"]
            last = span.end
        self.count += len(spans)
        return "".join([*pieces, text[last:]])

    def _is_own(self, value: str) -> bool:
        """Did the model only repeat what it was given? A short name inside another word of it was not given."""
        needle = Needle(value.strip(), as_word=True)
        return any(True for text in self._given for _ in needle.spans(text))

    @cached_property
    def _given(self) -> list[str]:
        """The texts of what was sent; read when something is found."""
        return list(texts_of(orjson.loads(self._sent))) if self._sent else []


class StreamMasker:
    """One text that arrives in pieces. What is passed on has been looked at with at least `LOOK_BACK` characters, and
    the rest of its word, behind it."""

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._context = ""  # passed on, in the words of the model
        self._held = ""
        self._scan_at = LOOK_BACK + STEP

    def feed(self, piece: str) -> str:
        self._held += piece
        if len(self._held) < self._scan_at:
            return ""
        passed = self._pass_on(len(self._held) - LOOK_BACK)
        self._scan_at = len(self._held) + STEP
        return passed

    def flush(self) -> str:
        return self._pass_on(len(self._held)) if self._held else ""

    def _pass_on(self, until: int) -> str:
        context = len(self._context)
        text = self._context + self._held
        spans = [span for span in self._masking.spans(text) if span.end > context]
        if until < len(self._held):
            until = self._word_start(until)
        cut = context + until
        for span in spans:
            if span.start < cut < span.end:
                cut = max(span.start, context)
        passed = [Span(max(s.start, context), s.end, s.entity, s.percent) for s in spans if s.end <= cut]
        shifted = [Span(s.start - context, s.end - context, s.entity, s.percent) for s in passed]
        masked = self._masking.masked(text[context:cut], shifted)
        self._context, self._held = text[max(0, cut - LOOK_BACK) : cut], text[cut:]
        return masked

    def _word_start(self, until: int) -> int:
        """Back to where a word begins, so that none is passed on in part unless it is longer than any key."""
        for place in range(until, max(0, until - LONGEST_WORD), -1):
            if _SPACE.match(self._held, place - 1):
                return place
        return 0 if until < LONGEST_WORD else until


class JsonMasker:
    """JSON text that arrives in pieces (the arguments of a tool call): it is passed on when it is complete."""

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._pieces: list[str] = []
        self._size = 0

    def feed(self, piece: str) -> str:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > MOST_HELD:
            raise _not_inspected()
        return ""

    def flush(self) -> str:
        text, self._pieces = "".join(self._pieces), []
        inner = embedded.parse(text)
        if inner is None:
            return self._masking.masked(text, self._masking.spans(text))
        collected = _Collecting(_everything)
        rewrite(inner, collected)
        spans = {each: self._masking.spans(each) for each in collected.texts}
        changed = rewrite(inner, _Hiding(self._masking, spans, _everything))
        return text if changed is inner else embedded.serialise(changed)


class StreamText(Protocol):
    """Changes one text that arrives in pieces."""

    def feed(self, text: str) -> str: ...

    def flush(self) -> str: ...


class _ThenRestore:
    """Hides in a text first, and puts back the caller's own values then."""

    def __init__(self, masker: StreamText, restorer: StreamText) -> None:
        self._masker = masker
        self._restorer = restorer

    def feed(self, piece: str) -> str:
        return self._restorer.feed(self._masker.feed(piece))

    def flush(self) -> str:
        return self._restorer.feed(self._masker.flush()) + self._restorer.flush()


class _Collecting:
    """Every text, number and member name of the prose in a tree; changes nothing."""

    def __init__(self, is_prose: Callable[[Path], bool]) -> None:
        self._is_prose = is_prose
        self.texts: list[str] = []

    def text(self, path: Path, text: str) -> str:
        if self._is_prose(path):
            self.texts.append(text)
        return text

    def number(self, path: Path, number: int | float) -> Json:
        self.text(path, embedded.number_text(number))
        return number

    def name(self, path: Path, name: str) -> str:
        return self.text((*path, name), name)

    def embedded(self, text: str, changed: Json) -> str:
        return text


class _Hiding:
    """Hides the spans of each text of the prose. A number with one becomes a string."""

    def __init__(self, masking: Masking, spans: Mapping[str, list[Span]], is_prose: Callable[[Path], bool]) -> None:
        self._masking = masking
        self._spans = spans
        self._is_prose = is_prose

    def text(self, path: Path, text: str) -> str:
        spans = self._spans.get(text)
        return self._masking.masked(text, spans) if spans and self._is_prose(path) else text

    def number(self, path: Path, number: int | float) -> Json:
        text = embedded.number_text(number)
        masked = self.text(path, text)
        return number if masked is text else masked

    def name(self, path: Path, name: str) -> str:
        return self.text((*path, name), name)

    def embedded(self, text: str, changed: Json) -> str:
        return embedded.serialise(changed)


def _everything(path: Path) -> bool:
    return True


def _not_inspected() -> GatewayError:
    return GatewayError(
        Code.ANSWER_NOT_INSPECTED,
        "The model's answer could not be inspected, as the policy asks, and is therefore not given out.",
    )
