"""What the processes that load native code have in common."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """This process's environment variables for a child that runs a module of this package."""
    paths = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    # When llama.cpp aborts, it would first call a debugger, where there is one: that takes seconds, for no reader.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "GGML_NO_BACKTRACE": "1"}
