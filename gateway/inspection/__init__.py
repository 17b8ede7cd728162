"""Inspection: finding personal and secret data, hiding it, and putting it back. The only import of Presidio."""

from __future__ import annotations

import os

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""For libraries that would fetch models by themselves. They read it once, when they are imported, and Presidio imports
them where they are installed: so it is set before anything here can import Presidio."""

os.environ.update(OFFLINE)
