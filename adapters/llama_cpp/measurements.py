"""What was measured of the engines on this host, for the price of their tokens: one JSON file, ``speeds.json``.

A measurement says under which conditions it was made. Under others it still is the best that is known, but no longer
the truth; `Measurement.changed` says what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal, InvalidOperation
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from adapters.llama_cpp.cores import default_threads
from adapters.llama_cpp.download import locked, private_folder
from adapters.llama_cpp.supervisor import EngineConfig
from gateway.domain.errors import ConfigurationError
from gateway.domain.files import write_whole
from gateway.domain.running_cost import TokenSpeeds

_SCHEMA = 1
_SAID_OTHERWISE = frozenset(("name", "model", "threads"))
_DO_NOT_MATTER = frozenset(
    (
        *("queue", "share_prefixes", "prefix_memory", "nice", "start_timeout", "stall_seconds", "stop_timeout"),
        *("ping_interval", "backoff_first", "backoff_most", "healthy_after"),
    )
)

Conditions = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Measurement:
    """`prompt` and `answer` are tokens per second as decimal numbers, with `answers` of them made at a time; `at` is
    UTC in ISO 8601."""

    prompt: str
    answer: str
    answers: int
    at: str
    conditions: Conditions

    @property
    def speeds(self) -> TokenSpeeds:
        return TokenSpeeds(Decimal(self.prompt), Decimal(self.answer))

    def changed(self, now: Conditions) -> str:
        """What is no longer as it was, such as ``threads 4 (was 2)``; empty when all is the same."""
        keys = dict.fromkeys((*now, *self.conditions))
        differing = [key for key in keys if now.get(key) != self.conditions.get(key)]
        return ", ".join(f"{key} {now.get(key, 'none')} (was {self.conditions.get(key, 'none')})" for key in differing)


def conditions(config: EngineConfig) -> Conditions:
    """All that the speed of this engine depends on. Raises `ConfigurationError` without its file."""
    try:
        size = config.model.stat().st_size
    except OSError as error:
        raise ConfigurationError(f"{config.model} cannot be read: {error.strerror}") from error
    found: dict[str, str | int] = {"model": config.name, "bytes": size, "llama_cpp": version("llama-cpp-python")}
    found["threads"] = config.threads or default_threads()
    # Whatever an engine can be told counts, unless it is known not to: so a setting that is new is not forgotten here.
    for name in (each.name for each in fields(config) if each.name not in _DO_NOT_MATTER | _SAID_OTHERWISE):
        value = getattr(config, name)
        found[name] = value if isinstance(value, int | str) else str(value)
    return found


class Measurements:
    """The file in `folder`. Methods raise `ConfigurationError`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "speeds.json"

    def of(self, target: str) -> Measurement | None:
        """The last one of a target."""
        return self._read().get(target)

    def keep(self, target: str, measurement: Measurement) -> None:
        """In place of the one before. It is written beside and renamed: a reader sees the file before or after it."""
        try:
            private_folder(self.path.parent)
            with locked(self.path.with_suffix(".lock")):
                found = self._read() | {target: measurement}
                document = {"schema": _SCHEMA, "targets": {name: asdict(each) for name, each in sorted(found.items())}}
                write_whole(self.path, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be written: {error.strerror}") from error

    def _read(self) -> dict[str, Measurement]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be read: {error.strerror}") from error
        try:
            return _measurements(orjson.loads(data))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            raise ConfigurationError(f"{self.path} is damaged: remove it and measure again") from error


def _measurements(document: Any) -> dict[str, Measurement]:
    if document["schema"] != _SCHEMA:
        raise ValueError("another schema")
    found = {name: Measurement(**said) for name, said in document["targets"].items()}
    for each in found.values():
        speeds = each.speeds.prompt, each.speeds.answer
        if not (min(speeds) > 0 and max(speeds).is_finite() and isinstance(each.conditions, dict)):
            raise ValueError("no measurement")
    return found
