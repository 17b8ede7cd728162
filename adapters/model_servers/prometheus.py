"""Reading a page of metrics in Prometheus' text format: the few figures that are wanted of the thousands that come."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from adapters.model_servers.ask import NoAnswer

MOST_SAMPLES: Final = 512
"""Of the wanted ones together: each engine has one of each, and a server some tens of engines at most."""

_LONGEST_LINE: Final = 4096


def read_metrics(page: bytes, wanted: Collection[str], *, highest: Collection[str] = ()) -> Mapping[str, float]:
    """The samples with these names, those of several engines or models added up; of `highest` the highest one.

    A name that is not there, or not a number, is left out. Only the lines of wanted names are parsed, since a whole
    page would take some tens of milliseconds; even so, a thread is the place for it. Raises `NoAnswer` where the page
    makes no sense.
    """
    prefixes = tuple(f"{name}{end}".encode() for name in wanted for end in "{ ")
    lines = [line for line in page.split(b"\n") if line.startswith(prefixes)]
    if len(lines) > MOST_SAMPLES or any(len(line) > _LONGEST_LINE for line in lines):
        raise NoAnswer(f"the metrics have more than {MOST_SAMPLES} samples or lines without end")
    found: dict[str, float] = {}
    try:
        text = b"\n".join(lines).decode("utf-8") + "\n"
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name not in wanted or not math.isfinite(sample.value):
                    continue
                before = found.get(sample.name)
                if before is None:
                    found[sample.name] = sample.value
                else:
                    found[sample.name] = max(before, sample.value) if sample.name in highest else before + sample.value
    except (ValueError, KeyError, IndexError, TypeError):  # the parser's ways of saying that a line is none
        problem = NoAnswer("the metrics are not in the text format of Prometheus")
    else:
        return found
    raise problem  # without the parser's exception, which quotes the line


class Window:
    """Means of what was counted between two looks, from counters that only grow: seconds per request, say. A mean
    follows a change within some five looks with traffic and stays as it is without."""

    _WEIGHT: Final = 0.3

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], tuple[float, float]] = {}
        self._mean: dict[tuple[str, str], float] = {}

    def mean(self, counters: Mapping[str, float], of: str, per: str) -> float | None:
        """The growth of `of` divided by that of `per`; over all the time that the server runs at the first look. None
        where nothing was counted yet, or one of the two is not there."""
        above, below = counters.get(of), counters.get(per)
        if above is None or below is None:
            return None
        key = (of, per)
        had_above, had_below = self._before.get(key, (0.0, 0.0))
        self._before[key] = (above, below)
        if above < had_above or below < had_below:  # it has started anew
            self._mean.pop(key, None)
            had_above = had_below = 0.0
        if below > had_below and above >= had_above:
            newest = (above - had_above) / (below - had_below)
            before = self._mean.get(key)
            self._mean[key] = newest if before is None else before + self._WEIGHT * (newest - before)
        return self._mean.get(key)
