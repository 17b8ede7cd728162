"""Gauges of the model servers on other machines: what they say themselves, and only what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.domain.standing import ServerState
from gateway.telemetry.values import clean

_LABELS: Final = ("target", "server")
_UP: Final = "server_up"
_FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "in_flight": ("server_in_flight", "Requests of this gateway in a model server."),
    "running": ("server_running", "Requests that a model server is answering, as it says."),
    "waiting": ("server_waiting", "Requests waiting in a model server, as it says."),
    "places": ("server_places", "Requests that a model server can answer at a time, as it says."),
    "cache_usage": ("server_cache_usage_ratio", "Used part of the KV cache of a model server, as it says."),
    "prompt_speed": ("server_prompt_speed", "Prompt tokens per second and request that a model server reads, of late."),
    "first_token": ("server_first_token_seconds", "Mean seconds to the first token of late, as a model server says."),
    "request": ("server_request_seconds", "Mean seconds of a request of late, as a model server says."),
}
"""By the name of the figure in `ServerState`: the name of the metric, and what it is."""

SERVERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    _UP: ("1 when a model server can take requests, 0 when it cannot; no series while nobody knows.", _LABELS),
    **{name: (text, _LABELS) for name, text in _FIGURES.values()},
}


class ServerGauges(Collector):
    """Read when somebody asks. What a server does not say has no series: 0 would be a figure."""

    def __init__(self, prefix: str, read: Callable[[], Mapping[str, Sequence[ServerState]]]) -> None:
        self._prefix = prefix
        self._read = read

    def collect(self) -> Iterable[Metric]:
        families = {
            name: GaugeMetricFamily(self._prefix + name, text, labels=labels)
            for name, (text, labels) in SERVERS.items()
        }
        for target, states in self._read().items():
            for state in states:
                labels = (target, str(clean(state.server)))
                if state.up is not None:
                    families[_UP].add_metric(labels, float(state.up))
                for figure, value in state.figures.items():
                    families[_FIGURES[figure][0]].add_metric(labels, value)
        yield from families.values()
