"""One value for everything that determines what is found, so that remembered findings are never another detector's."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from gateway.settings.recognizers import CATALOGUE, RegistrySettings

_PACKAGES = (
    *("presidio-analyzer", "phonenumbers", "regex", "tldextract", "spacy", "numpy", "python-crfsuite"),
    *("transformers", "tokenizers", "torch", "gliner"),
)
_FOLDER = Path(__file__).parent
_SUFFIXES = frozenset({".py", ".txt", ".yaml", ".json", ".crfsuite", ".npz", ".npy", ".bin", ".gz", ".xz"})


def detector_version(settings: RegistrySettings | None = None, models: Iterable[bytes] = ()) -> str:
    """A hash over the settings with the content of their files, our own code and data, the packages underneath, and
    `models` (the bytes of model files from elsewhere). 64 hexadecimal digits; some milliseconds for the first call."""
    digest = hashlib.sha256(_built_in())
    digest.update(json.dumps((settings or RegistrySettings()).to_json(), sort_keys=True).encode())
    for model in models:
        digest.update(hashlib.sha256(model).digest())
    return digest.hexdigest()


@cache
def _built_in() -> bytes:
    digest = hashlib.sha256(platform.python_version().encode())  # whose Unicode tables and `re` the patterns rest on
    for package in _PACKAGES:
        digest.update(f"{package}={_version(package)}\n".encode())
    files = [path for path in _FOLDER.rglob("*") if path.suffix in _SUFFIXES and path.is_file()]
    for path in [CATALOGUE, *sorted(files)]:
        digest.update(f"{path.relative_to(_FOLDER.parent)}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"  # an optional engine that is not installed finds nothing
