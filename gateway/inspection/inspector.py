"""Inspecting a request: every text of its JSON tree, scanned."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.finding import DetectorState, Finding, Found, Inspection, Span
from gateway.domain.grammar import Grammar
from gateway.domain.ports import Detector, DetectorFailed
from gateway.domain.tree import JsonObject
from gateway.inspection.readings import Readings
from gateway.inspection.tally import tally
from gateway.inspection.walk import leaves


class Inspector:
    """`timeout` is the seconds that a detector may take for one request. `failures` counts requests not scanned."""

    def __init__(self, detector: Detector, timeout: float = 2.0) -> None:
        self._detector = detector
        self._timeout = timeout
        self.failures = 0

    async def inspect(self, tree: JsonObject, grammar: Grammar) -> Inspection:
        """What is in the tree. Trouble with the detector is a state of the result, never an exception.

        Raises `GatewayError(INVALID_REQUEST)` for a tree that is nested too deep.
        """
        walk = leaves(tree, grammar)
        texts = [leaf.text for leaf in walk.leaves]
        readings = Readings(texts)
        state, scanned = await self._scan(readings.texts)
        findings: tuple[Finding, ...] = ()
        found: tuple[Found, ...] = ()
        if any(scanned):
            spans_of = readings.spans(scanned)
            findings = tuple(Finding(leaf.path, span) for leaf in walk.leaves for span in spans_of.get(leaf.text, ()))
            found = tally(
                (span.entity, text[span.start : span.end], span.percent)
                for text, spans in spans_of.items()
                for span in spans
            )
        return Inspection(
            findings=findings,
            found=found,
            detector=state,
            unreadable=walk.unreadable,
            leaves=len(texts),
            characters=sum(map(len, texts)),
        )

    async def _scan(self, texts: list[str]) -> tuple[DetectorState, Sequence[Sequence[Span]]]:
        try:
            scanned = await self._detector.scan(texts, self._timeout)
            if len(scanned) == len(texts):
                return DetectorState.OK, scanned
            state = DetectorState.FAILED
        except DetectorFailed as failure:
            state = DetectorState.TIMED_OUT if failure.timed_out else DetectorState.FAILED
        except Exception:  # the border to a detector that may be anybody's: a fault in it makes the request unsure
            state = DetectorState.FAILED
        self.failures += 1
        return state, [[] for _ in texts]
