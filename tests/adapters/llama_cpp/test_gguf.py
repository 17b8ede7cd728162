"""Tests of `adapters.llama_cpp.gguf`."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llama_cpp.gguf import NotGguf, read_gguf
from support.tiny_gguf import write_tiny_gguf


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    """Architecture, context and chat template are read without loading the model."""
    path = write_tiny_gguf(tmp_path / "m.gguf", context_tokens=777)
    info = read_gguf(path)
    assert (info.version, info.architecture, info.name, info.context_tokens) == (3, "llama", "tiny", 777)
    assert info.has_chat_template
    assert (info.tensors, info.split_files, info.file_bytes) == (21, 0, path.stat().st_size)


def test_a_missing_chat_template_is_seen(tmp_path: Path) -> None:
    """A base model can be told from a chat model."""
    assert not read_gguf(write_tiny_gguf(tmp_path / "m.gguf", template=None)).has_chat_template


@pytest.mark.parametrize("size", [5, 20, 60, 400, 1500])
def test_a_cut_header_is_an_error(tmp_path: Path, size: int) -> None:
    """A file that ends within its header is refused, wherever it ends."""
    whole = write_tiny_gguf(tmp_path / "m.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:size])
    with pytest.raises(NotGguf, match="cut or damaged"):
        read_gguf(cut)


@given(st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_header_never_raises_anything_else(tiny_model: Path, changes: list[tuple[int, int]]) -> None:
    """Whatever byte of the header is wrong: it is read all the same, or refused with a reason."""
    data = bytearray(tiny_model.read_bytes()[:12_000])
    for place, value in changes:
        data[place] = value
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with contextlib.suppress(NotGguf):
            assert read_gguf(Path(file.name)).kv_bytes_per_token >= 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04 and more", "letters GGUF"),
        (b"", "letters GGUF"),
        (b"GGUF\x01\x00\x00\x00" + bytes(16), "version is 1"),
        (b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\xff" * 8, "damaged"),
        (b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\x01" + bytes(7) + b"\xff" * 8 + bytes(20), "damaged"),
    ],
)
def test_what_is_no_gguf_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    """Foreign and hostile files end in an error that says why, without using memory."""
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    with pytest.raises(NotGguf, match=reason):
        read_gguf(path)
