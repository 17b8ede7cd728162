"""Work on model files outside the engine: is it one that llama.cpp can load, and the same model in fewer bits."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from adapters.llama_cpp.children import environment
from adapters.llama_cpp.gguf import GgufInfo, NotGguf, read_gguf
from gateway.domain.errors import ConfigurationError

QUANTISATIONS = (
    "Q8_0",
    "Q6_K",
    "Q5_K_M",
    "Q5_K_S",
    "Q5_0",
    "Q4_K_M",
    "Q4_K_S",
    "Q4_0",
    "Q3_K_M",
    "Q2_K",
    "F16",
    "BF16",
)
"""What `quantize` makes, from near the original to small (and the two 16-bit forms of a 32-bit model)."""

_TRY_SECONDS = 300.0


def inspect_model(path: Path) -> GgufInfo:
    """What is in a model file that llama.cpp can load. Raises `ConfigurationError` with a sentence for one that is
    missing, corrupt, cut, of an architecture that llama.cpp does not know, or one of several parts."""
    try:
        info = read_gguf(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except NotGguf as error:
        raise ConfigurationError(f"{path} is not a usable GGUF file: {error}") from error
    if info.split_files > 1:
        raise ConfigurationError(
            f"{path} is one of {info.split_files} parts of a model; make one file of them (llama-gguf-split --merge)"
        )
    if reason := _run(["try", str(path)], _TRY_SECONDS):
        raise ConfigurationError(f"llama.cpp cannot load {path}: {reason}")
    return info


def quantize(source: Path, place: Path, kind: str, threads: int) -> None:
    """Write the model of `source` to `place` with the weights in the form `kind`, one of `QUANTISATIONS`. Takes minutes
    for a large model. Raises `ConfigurationError`; nothing is left at `place` then."""
    try:
        reason = _run(["quantize", str(source), str(place), kind, str(threads)], None)
        if reason:
            raise ConfigurationError(f"llama.cpp cannot make {kind} of {source}: {reason}")
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def _run(arguments: list[str], seconds: float | None) -> str:
    """Why it failed, or nothing."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "adapters.llama_cpp.offline_main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # native code may print anything there
            env=environment(),
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:g} seconds"
    if done.returncode < 0:
        return f"it crashed ({signal.Signals(-done.returncode).name}); the file is damaged, or memory is exhausted"
    if done.returncode:
        return f"the process ended with exit code {done.returncode}"
    said = done.stdout.decode("utf-8", "replace").rstrip("\n").rpartition("\n")[2]
    return re.sub(r"llama_model_load\w*: |error loading model: |llama_model_quantize: |failed to quantize: ", "", said)
