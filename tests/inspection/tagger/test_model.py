"""The model file that ships, and files that are refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.domain.errors import ConfigurationError
from gateway.inspection.tagger.features import VERSION
from gateway.inspection.tagger.model import DEFAULT, load


def rewritten(path: Path, **changes: Any) -> Path:
    with np.load(DEFAULT) as file:
        arrays = {name: file[name] for name in file.files}
    facts = json.loads(str(arrays["facts"]))
    for name, value in changes.items():
        if name in facts:
            facts[name] = value
        else:
            arrays[name] = value
    np.savez(path, **{**arrays, "facts": np.array(json.dumps(facts))})
    return path


def test_the_shipped_model_fits_this_code() -> None:
    """The file loads, and says what it was trained on and for."""
    model = load()
    assert set(model.kinds) == {"PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "NRP", "DATE_TIME", "AGE", "TITLE"}
    assert len(model.data) == 64
    assert 0 < model.threshold < 1
    assert len(model.ordinary) > 10_000


def test_size_and_time_to_load() -> None:
    """At most 10 MB, at most 0.1 s."""
    assert DEFAULT.stat().st_size <= 10_000_000
    times = []
    for _ in range(3):
        began = time.process_time()
        load()
        times.append(time.process_time() - began)
    assert min(times) <= 0.1


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(ConfigurationError, match=r"none\.npz"):
        load(tmp_path / "none.npz")


@pytest.mark.parametrize("kept", [0, 100, 1_000_000])
def test_a_cut_file_is_a_configuration_error(tmp_path: Path, kept: int) -> None:
    """A file that lost its end is refused when loaded."""
    path = tmp_path / "cut.npz"
    path.write_bytes(DEFAULT.read_bytes()[:kept])
    with pytest.raises(ConfigurationError, match="damaged"):
        load(path)


def test_a_flipped_byte_is_a_configuration_error(tmp_path: Path) -> None:
    """The file's own checksums are compared."""
    content = bytearray(DEFAULT.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "flipped.npz"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="damaged"):
        load(path)


def test_other_features_are_refused(tmp_path: Path) -> None:
    """A model trained for other features is not used, and the error says what to do."""
    with pytest.raises(ConfigurationError, match="train it anew"):
        load(rewritten(tmp_path / "old.npz", features=VERSION + 1))


@pytest.mark.parametrize("change", [{"output": np.zeros((3, 3), np.float32)}, {"hashes": np.zeros(5, np.uint32)}])
def test_other_shapes_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """Arrays that do not fit one another are refused when loaded."""
    with pytest.raises(ConfigurationError, match="damaged"):
        load(rewritten(tmp_path / "shapes.npz", **change))


def test_pickles_are_refused(tmp_path: Path) -> None:
    """A file with objects in it, which could run code, is not read."""
    path = tmp_path / "objects.npz"
    np.savez(path, facts=np.array([{"features": VERSION}], dtype=object))
    with pytest.raises(ConfigurationError, match="damaged"):
        load(path)
