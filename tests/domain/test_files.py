"""A file that is written as a whole is there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain.files import write_whole


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """It has the new content, and nothing else is left in the folder."""
    place = tmp_path / "a.json"
    for data in (b"old and longer", b"new"):
        write_whole(place, data)
    assert place.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [place]


def test_what_cannot_be_written_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs an error: the old file is whole, and no draft stays."""
    place = tmp_path / "a.json"
    write_whole(place, b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.domain.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(place, b"new")
    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]
