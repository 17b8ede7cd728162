"""llama.cpp's own server (tools/server/README.md there): ``/health``, ``/metrics``, ``/slots``, ``/props``."""

from __future__ import annotations

import asyncio
from typing import Final

import orjson

from adapters.model_servers.ask import Asker, NoAnswer
from adapters.model_servers.prometheus import read_metrics
from adapters.model_servers.sight import CATALOGUE_EVERY, Figures, Sight, count, ids

_RUNNING: Final = "llamacpp:requests_processing"
_WAITING: Final = "llamacpp:requests_deferred"
_PROMPT_SPEED: Final = "llamacpp:prompt_tokens_seconds"
_METRICS_OFF: Final = "metrics are off: start llama-server with --metrics"
_WEIGHT: Final = 0.3


class LlamaServer:
    """Its counters come with six digits only, so the speed is taken from the gauge, which is the mean since somebody
    looked last, and 0 where no prompt was read."""

    def __init__(self) -> None:
        self._looks = 0
        self._places: int | None = None
        self._models: frozenset[str] | None = None
        self._prompt_speed: float | None = None

    async def look(self, ask: Asker, model: str) -> Sight:
        """The name of the model is not compared: llama-server answers with the one that it has loaded."""
        health = await ask.get("/health")
        if health.status == 503:
            self._looks = 0  # it may come back with another model and other places
            return Sight(False, "it is loading its model")
        if health.status != 200 or health.json().get("status") != "ok":
            raise NoAnswer(f"/health has status {health.status} and is not that of llama-server")
        await self._learn(ask)
        try:
            figures, hint = await self._figures(ask)
        except NoAnswer as problem:
            return Sight(True, str(problem), Figures(places=self._places), models=self._models)
        return Sight(True, hint, figures, hint, self._models)

    async def _learn(self, ask: Asker) -> None:
        """Places and models, which change only when it is started anew."""
        if self._looks % CATALOGUE_EVERY == 0:
            try:
                self._places = count((await ask.get("/props")).json().get("total_slots"))
                self._models = ids((await ask.api("/models")).json(), "data", "id")
            except NoAnswer:
                return  # asked for again at the next look; until then they are what they were
        self._looks += 1

    async def _figures(self, ask: Asker) -> tuple[Figures, str]:
        page = await ask.get("/metrics")
        if page.status == 501:
            return await self._slots(ask), _METRICS_OFF
        if page.status != 200:
            raise NoAnswer(f"/metrics has status {page.status}")
        found = await asyncio.to_thread(read_metrics, page.body, (_RUNNING, _WAITING, _PROMPT_SPEED))
        newest = found.get(_PROMPT_SPEED, 0.0)
        if newest > 0:
            before = self._prompt_speed
            self._prompt_speed = newest if before is None else before + _WEIGHT * (newest - before)
        if _RUNNING not in found:
            raise NoAnswer("/metrics has no figures of llama-server")
        figures = Figures(
            running=count(found.get(_RUNNING)),
            waiting=count(found.get(_WAITING)),
            places=self._places,
            prompt_speed=self._prompt_speed,
        )
        return figures, ""

    async def _slots(self, ask: Asker) -> Figures:
        """Without metrics, the slots tell how many requests run, but not how many wait. What else stands there (it may
        be prompts, with old versions) is not looked at."""
        page = await ask.get("/slots")
        if page.status != 200:
            return Figures(places=self._places)
        try:
            slots = orjson.loads(page.body)
        except orjson.JSONDecodeError:
            slots = None
        if not isinstance(slots, list) or not all(isinstance(slot, dict) for slot in slots):
            raise NoAnswer("/slots is not a list of slots")
        running = sum(slot.get("is_processing") is True for slot in slots)
        return Figures(running=running, places=self._places or len(slots))
