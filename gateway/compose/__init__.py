"""From settings to a running gateway: the only package that names concrete classes of every other.

What it offers is imported when it is asked for: the command line needs the targets, and not the detector with them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.compose.declared import models_of, targets_of
    from gateway.compose.gateway import run_gateway
    from gateway.compose.tools import open_key_store, scan_texts

__all__ = ["models_of", "open_key_store", "run_gateway", "scan_texts", "targets_of"]

_MODULES = {
    "models_of": "declared",
    "open_key_store": "tools",
    "run_gateway": "gateway",
    "scan_texts": "tools",
    "targets_of": "declared",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
