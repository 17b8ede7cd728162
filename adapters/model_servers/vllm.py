"""vLLM (docs.vllm.ai, "Production Metrics"): ``/health``, ``/metrics``, ``/v1/models``."""

from __future__ import annotations

import asyncio
from typing import Final

from adapters.model_servers.ask import Asker, NoAnswer
from adapters.model_servers.prometheus import Window, read_metrics
from adapters.model_servers.sight import CATALOGUE_EVERY, Figures, Sight, count, ids

_RUNNING: Final = "vllm:num_requests_running"
_WAITING: Final = "vllm:num_requests_waiting"
_CACHE: Final = "vllm:kv_cache_usage_perc"
_OLD_CACHE: Final = "vllm:gpu_cache_usage_perc"
_FIRST_TOKEN: Final = "vllm:time_to_first_token_seconds"  # noqa: S105 (no password)
_REQUEST: Final = "vllm:e2e_request_latency_seconds"
_PREFILL: Final = "vllm:request_prefill_time_seconds"
_PROMPT: Final = "vllm:request_prompt_tokens"
_WANTED: Final = frozenset(
    {_RUNNING, _WAITING, _CACHE, _OLD_CACHE}
    | {f"{name}_{end}" for name in (_FIRST_TOKEN, _REQUEST) for end in ("sum", "count")}
    | {f"{name}_sum" for name in (_PREFILL, _PROMPT)}
)
_STATS_OFF: Final = "vLLM gives no figures: start it without --disable-log-stats"


class Vllm:
    """Of several engines in one server (data parallel) requests are added up, and the fullest cache counts."""

    def __init__(self) -> None:
        self._looks = 0
        self._models: frozenset[str] | None = None
        self._window = Window()

    async def look(self, ask: Asker, model: str) -> Sight:
        """It refuses every other model than its own, so that one it does not serve counts as not up."""
        health = await ask.get("/health")
        if health.status != 200:
            self._looks = 0
            return Sight(False, "its engine is dead" if health.status == 503 else f"/health has status {health.status}")
        if self._looks % CATALOGUE_EVERY == 0:
            self._models = ids((await ask.api("/models")).json(), "data", "id")
        self._looks += 1
        if self._models is not None and model not in self._models:
            self._looks = 0  # it may be loaded while it runs: asked for again at the next look
            return Sight(False, "it does not serve the model", models=self._models)
        try:
            figures = await self._figures(ask)
        except NoAnswer as problem:
            return Sight(True, str(problem), models=self._models)
        hint = _STATS_OFF if figures.running is None else ""
        return Sight(True, hint, figures, hint, self._models)

    async def _figures(self, ask: Asker) -> Figures:
        page = await ask.get("/metrics")
        if page.status != 200:
            raise NoAnswer(f"/metrics has status {page.status}")
        found = await asyncio.to_thread(read_metrics, page.body, _WANTED, highest=(_CACHE, _OLD_CACHE))
        mean = self._window.mean
        return Figures(
            running=count(found.get(_RUNNING)),
            waiting=count(found.get(_WAITING)),
            cache_usage=found.get(_CACHE, found.get(_OLD_CACHE)),
            prompt_speed=mean(found, f"{_PROMPT}_sum", f"{_PREFILL}_sum"),
            first_token=mean(found, f"{_FIRST_TOKEN}_sum", f"{_FIRST_TOKEN}_count"),
            request=mean(found, f"{_REQUEST}_sum", f"{_REQUEST}_count"),
        )
