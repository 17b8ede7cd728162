"""The model file: what was trained, with what it was trained for, in one `.npz` without compression.

The file holds no code and is read without pickle. A file that is damaged, or that was trained for other features,
is refused when it is loaded, not when a text is scanned.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.domain.errors import ConfigurationError
from gateway.inspection.tagger.blas import use_one_thread
from gateway.inspection.tagger.features import ROWS, VERSION
from gateway.inspection.tagger.lexicon import Lexicon
from gateway.inspection.tagger.network import Floats, Layer, Network, Weights

DEFAULT = Path(__file__).with_name("model.npz")
OUTSIDE = "O"


@dataclass(frozen=True, slots=True)
class Model:
    """A network and what its figures mean. `labels` are `O`, then `B-` and `I-` of each of `kinds`."""

    network: Network
    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    threshold: float
    """A token belongs to an entity from this probability on."""
    slope: float
    intercept: float
    """Calibration: of the log-odds of the network to those of the score."""
    ordinary: frozenset[str]
    """Words, as they are written, of which no entity consists."""
    sums: Floats
    """(labels, 2 + kinds): adds up the odds of the labels to those of being in an entity, of being its first word, and
    of each kind."""
    data: str
    """SHA-256 of what the model was trained on."""


def load(path: Path = DEFAULT) -> Model:
    """Read a model file.

    Raises ConfigurationError if it is missing, damaged, or made for another version of the features.
    """
    use_one_thread()
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(str(arrays["facts"]))
        if facts["features"] != VERSION:
            raise ConfigurationError(
                f"{path}: the model was trained for version {facts['features']} of the features, this is {VERSION};"
                " train it anew with tools/name_tagger"
            )
        return _model(arrays, facts)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the model of the tagger ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path}: the model of the tagger is damaged ({type(error).__name__})") from error


def _model(arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> Model:
    def real(name: str) -> Floats:
        return np.ascontiguousarray(arrays[name], np.float32)

    layers = tuple(
        Layer(real(f"layer{i}"), real(f"layer{i}_bias"), int(distance)) for i, distance in enumerate(facts["distances"])
    )
    weights = Weights(
        embedding=arrays["embedding"],
        embedding_steps=real("embedding_steps"),
        embedding_bias=real("embedding_bias"),
        first=real("first"),
        first_bias=real("first_bias"),
        layers=layers,
        output=real("output"),
        output_bias=real("output_bias"),
    )
    labels = tuple(facts["labels"])
    _window, width, hidden = weights.first.shape
    fits = (
        weights.embedding.shape == (ROWS, width)
        and weights.embedding.dtype == np.int8
        and weights.embedding_steps.shape == (ROWS, 1)
        and weights.output.shape == (hidden, len(labels))
        and all(layer.weights.shape == (3 * hidden, hidden) for layer in layers)
        and labels[0] == OUTSIDE
        and labels[1::2] == tuple(f"B-{label[2:]}" for label in labels[2::2])
    )
    fields = tuple(arrays[name] for name in ("vocabulary", "lower_cluster", "title_cluster", "use", "lists"))
    if not fits or any(len(field) != len(arrays["hashes"]) for field in fields):
        raise ValueError("shapes")
    network = Network(weights, Lexicon(arrays["hashes"], fields))
    return Model(
        network,
        labels,
        tuple(label[2:] for label in labels[1::2]),
        float(facts["threshold"]),
        float(facts["slope"]),
        float(facts["intercept"]),
        frozenset(arrays["ordinary"].tobytes().decode().split("\n")),
        _sums(len(labels)),
        str(facts["data"]),
    )


def _sums(labels: int) -> Floats:
    kinds = labels // 2
    sums = np.zeros((labels, 2 + kinds), np.float32)
    sums[1:, 0] = 1
    sums[1::2, 1] = 1
    for kind in range(kinds):
        sums[1 + 2 * kind : 3 + 2 * kind, 2 + kind] = 1
    return sums
