"""The self-probe (promise 5): a synthetic restricted request goes down the real path, short of sending, at start and
then each minute. If it would leave, something between detector and policy is broken, whatever the logs say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import orjson

from gateway.domain.entropy import random_bytes
from gateway.domain.errors import GatewayError
from gateway.domain.finding import DetectorState, Found
from gateway.domain.request import Caller, Hints
from gateway.domain.target import Route, Zone
from gateway.pipeline.handle import Directory, Pipeline, where
from gateway.pipeline.shapes import Dialect

# Values that are reserved for tests and valid in form: a Luhn-correct card number, a social security number.
# The name makes each probe another text, so that no cache answers for a detector that finds nothing any more.
_TEXT = "Self-probe {name}: card 4242 4242 4242 4242, social security number 536-90-4399."
PROBED: Final = ("CREDIT_CARD", "US_SSN")
"""What the detector must find in the probe."""

MayLeave: TypeAlias = Callable[[Sequence[Found]], bool]
"""Whether the policy, as it is written, lets a request with these findings go to a cloud in clear."""

_CALLER = Caller(key="self-probe", tenant="self-probe", app="self-probe", group="self-probe", role="user")


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`problem` is empty when the probe was kept inside; it holds no content."""

    problem: str

    @property
    def ok(self) -> bool:
        return not self.problem


class SelfProbe:
    def __init__(self, pipeline: Pipeline, directory: Directory, dialects: Iterable[Dialect]) -> None:
        self._pipeline = pipeline
        self._directory = directory
        self._dialects = {dialect.DIALECT: dialect for dialect in dialects}

    async def run(self, may_leave: MayLeave) -> ProbeResult:
        """Probe every model name once. A probe that leaves is an alarm unless `may_leave`."""
        for route in self._directory.routes.values():
            try:
                problem = await self._probe(route, may_leave)
            except Exception as defect:  # a border: a probe that does not work must not look like one that is content
                problem = f"the probe failed: {where(defect)}"
            if problem:
                return ProbeResult(problem)
        return ProbeResult("")

    async def _probe(self, route: Route, may_leave: MayLeave) -> str:
        dialect = self._dialects[self._directory.of(route)[0].dialect]
        body = orjson.dumps(dialect.probe(route.name, _TEXT.format(name=random_bytes(8).hex())))
        exchange = self._pipeline.begin(_CALLER, Hints(), dialect, body)
        try:
            inspection, decision, plan = await self._pipeline.preview(exchange)
        except GatewayError as error:
            if exchange.inspection is None:
                return f"the probe could not be inspected: {error.code.value}"
            return ""  # refused: it does not leave
        if inspection.detector is not DetectorState.OK:
            return f"the detector is {inspection.detector.value}"
        found = [item for item in inspection.found if item.entity in PROBED]
        missed = [entity for entity in PROBED if entity not in {item.entity for item in found}]
        if missed:
            return f"the detector did not find {missed[0]} in the probe"
        leaves = [c.target.id for c in plan.candidates if c.target.zone is Zone.CLOUD]
        hidden = all(decision.hides(item.entity, item.percent) for item in found)
        if leaves and not hidden and not may_leave(found):
            return f"the probe would leave in clear to {leaves[0]}"
        return ""
