"""A word that stands for content, and the search for it in anything that was written, in any encoding."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = "kumquatzq"
"""In no dictionary, and a word that a label may hold: it would not be stopped by looking odd."""


class Canaries:
    """Gives each place of a request a word of its own, so that a find tells where it came from."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def at(self, place: str) -> str:
        word = f"{ROOT}{len(self.places):04d}"
        self.places[word] = place
        return word

    def named(self, text: str) -> str:
        """The places whose words are in a text, for the message of a test that fails."""
        return ", ".join(place for word, place in self.places.items() if word in text) or text


def spellings(word: str = ROOT) -> dict[str, bytes]:
    """The word in each encoding in which content could lie in a file. Base64 is cut to what does not depend on what
    stands beside it."""
    found = {
        "plain": word.encode(),
        "UTF-16": word.encode("utf-16-le"),
        "UTF-16, other order": word.encode("utf-16-be"),
        "UTF-32": word.encode("utf-32-le"),
        "hexadecimal": word.encode().hex().encode(),
        "hexadecimal capitals": word.encode().hex().upper().encode(),
        "escaped": "".join(f"\\u{ord(c):04x}" for c in word).encode(),
        "percent-encoded": "".join(f"%{ord(c):02X}" for c in word).encode(),
        "backwards": word[::-1].encode(),
    }
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + word.encode() + bytes(3))
        found[f"base64, shifted by {before}"] = encoded[-(-before * 4 // 3) : (before + len(word)) * 4 // 3]
    return found


def finds(data: bytes, where: str) -> Iterator[str]:
    """A line for each spelling that is in the data, with what stands around it."""
    lowered = data.lower()
    for name, needle in spellings().items():
        at = data.find(needle)
        if at < 0 and name == "plain":
            at = lowered.find(needle)
        if at >= 0:
            yield f"{where}: {name}: {data[max(0, at - 60) : at + 60]!r}"


def files(folder: Path) -> Iterable[Path]:
    """Every file below a folder, hidden ones too."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
