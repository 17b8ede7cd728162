"""The file with measured speeds, and when a measurement still fits."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.llama_cpp.measurements import Measurement, Measurements, conditions
from adapters.llama_cpp.supervisor import EngineConfig, default_threads
from gateway.domain.errors import ConfigurationError
from gateway.domain.running_cost import TokenSpeeds

GOOD = {"prompt": "9", "answer": "1", "answers": 4, "at": "2026-11-21T09:30:00+00:00", "conditions": {"threads": 1}}


@pytest.fixture
def config(tiny_model: Path) -> EngineConfig:
    return EngineConfig("private@3", tiny_model, context_tokens=512, parallel=4)


def measurement(config: EngineConfig, prompt: str = "812.4") -> Measurement:
    return Measurement(prompt, "96.31", 4, "2026-11-21T09:30:00+00:00", conditions(config))


def test_what_is_kept_is_read_again(tmp_path: Path, config: EngineConfig) -> None:
    """One measurement for each target, the last one; nothing where there is none yet."""
    kept = Measurements(tmp_path / "models")
    assert kept.of("house") is None
    kept.keep("house", measurement(config))
    kept.keep("other", measurement(config, "1"))
    kept.keep("house", measurement(config, "900"))
    found = Measurements(tmp_path / "models").of("house")
    assert found == measurement(config, "900")
    assert found.speeds == TokenSpeeds(Decimal(900), Decimal("96.31"))
    assert kept.of("other") == measurement(config, "1")
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["speeds.json", "speeds.lock"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "private@4"}, "model private@4 (was private@3)"),
        ({"threads": default_threads() + 1}, f"threads {default_threads() + 1} (was {default_threads()})"),
        ({"parallel": 8, "gpu_layers": 3}, "gpu_layers 3 (was 0), parallel 8 (was 4)"),
        ({"queue": 5, "stall_seconds": 9.0, "share_prefixes": True, "prefix_memory": 7}, ""),
        ({"threads": default_threads()}, ""),
    ],
)
def test_other_conditions_are_noticed(config: EngineConfig, change: dict[str, object], said: str) -> None:
    """What the speed depends on is compared, each with its value now and then; what it does not depend on is not."""
    assert measurement(config).changed(conditions(replace(config, **change))) == said  # type: ignore[arg-type]


def test_another_file_is_noticed(tmp_path: Path, config: EngineConfig) -> None:
    """A file of the same name and another size is another model."""
    other = tmp_path / "tiny.gguf"
    other.write_bytes(config.model.read_bytes() + b"\0")
    assert measurement(config).changed(conditions(replace(config, model=other))).startswith("bytes ")
    with pytest.raises(ConfigurationError, match=r"none\.gguf cannot be read"):
        conditions(replace(config, model=tmp_path / "none.gguf"))


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        '{"schema": 2, "targets": {}}',
        '{"schema": 1, "targets": {"house": {"prompt": "1"}}}',
        *(
            json.dumps({"schema": 1, "targets": {"h": GOOD | change}})
            for change in (
                {"prompt": "x"},
                {"answer": "0"},
                {"answer": "Infinity"},
                {"prompt": "NaN"},
                {"conditions": "x"},
            )
        ),
    ],
)
def test_a_damaged_file_is_an_error(tmp_path: Path, document: str) -> None:
    """A speed that is no number, or 0, gives no price; the message says what to do."""
    (tmp_path / "speeds.json").write_text(document)
    with pytest.raises(ConfigurationError, match=r"speeds\.json is damaged: remove it and measure again"):
        Measurements(tmp_path).of("h")
