"""The self-probe (promise 5): a synthetic restricted request goes down the real path, short of sending, at start and
then each minute. If it would leave, something between detector and policy is broken, whatever the logs say."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from gateway.domain.errors import GatewayError
from gateway.domain.finding import DetectorState
from gateway.domain.request import Caller, Hints
from gateway.domain.target import Zone
from gateway.pipeline.handle import Directory, Pipeline
from gateway.pipeline.shapes import Dialect

# Values that are reserved for tests and valid in form: a Luhn-correct card number, a social security number.
_TEXT = "Self-probe: card 4242 4242 4242 4242, social security number 536-90-4399."
_CALLER = Caller(key="self-probe", tenant="self-probe", app="self-probe", group="self-probe", role="user")


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`problem` is empty when the probe was kept inside; it holds no content."""

    problem: str

    @property
    def ok(self) -> bool:
        return not self.problem


class SelfProbe:
    def __init__(self, pipeline: Pipeline, directory: Directory, dialect: Dialect) -> None:
        self._pipeline = pipeline
        self._directory = directory
        self._dialect = dialect

    async def run(self, leaving_is_allowed: bool) -> ProbeResult:
        """Probe every model name once. `leaving_is_allowed` where the policy lets restricted data go in clear."""
        for route in self._directory.routes:
            problem = await self._probe(route, leaving_is_allowed)
            if problem:
                return ProbeResult(problem)
        return ProbeResult("")

    async def _probe(self, route: str, leaving_is_allowed: bool) -> str:
        body = orjson.dumps({"model": route, "messages": [{"role": "user", "content": _TEXT}]})
        exchange = self._pipeline.begin(_CALLER, Hints(), self._dialect, body)
        try:
            inspection, decision, plan = await self._pipeline.preview(exchange)
        except GatewayError as error:
            if exchange.inspection is None:
                return f"the probe could not be inspected: {error.code.value}"
            return ""  # refused: it does not leave
        if inspection.detector is not DetectorState.OK:
            return f"the detector is {inspection.detector.value}"
        if not inspection.findings:
            return "the detector found nothing in the probe"
        leaves = [c.target.id for c in plan.candidates if c.target.zone is Zone.CLOUD]
        if leaves and not decision.redact and not leaving_is_allowed:
            return f"the probe would leave in clear to {leaves[0]}"
        return ""
