"""Tests of `adapters.llama_cpp.offline`: the real llama.cpp looks at good and bad files."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.llama_cpp.offline import inspect_model, quantize
from gateway.domain.errors import ConfigurationError
from support.tiny_gguf import write_tiny_gguf


def test_a_good_model_is_described(tmp_path: Path) -> None:
    """What the file says, once llama.cpp has agreed."""
    info = inspect_model(write_tiny_gguf(tmp_path / "m.gguf"))
    assert (info.architecture, info.context_tokens, info.quantisation) == ("llama", 512, "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-5000], "not within the file bounds"),
        (lambda data: data[:300], "cut or damaged"),
        (lambda data: data.replace(b"llama", b"zzzzz"), "unknown model architecture: 'zzzzz'"),
        (lambda data: data.replace(b"blk.0.attn_q.weight", b"\xff" * 40), "cannot load"),
        (lambda data: b"<html>" + data, "does not begin with the letters GGUF"),
    ],
    ids=["cut", "header", "architecture", "rotten", "page"],
)
def test_a_bad_model_is_a_sentence(tmp_path: Path, change: object, words: str) -> None:
    """Truncated, corrupt, of an unknown architecture: one line that names the file and the reason, in printable
    letters."""
    path = write_tiny_gguf(tmp_path / "m.gguf")
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=words) as caught:
        inspect_model(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    """Also a folder in the file's place."""
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            inspect_model(path)


def test_a_model_in_fewer_bits(tmp_path: Path) -> None:
    """The result is smaller, says what it is, and can be loaded."""
    source = write_tiny_gguf(tmp_path / "m.gguf")
    for kind in ("Q8_0", "Q4_K_M"):
        quantize(source, tmp_path / "q.gguf", kind, 1)
        info = inspect_model(tmp_path / "q.gguf")
        assert info.quantisation == kind
        assert info.file_bytes < source.stat().st_size / 3


def test_what_cannot_be_quantised_leaves_nothing(tmp_path: Path) -> None:
    """A cut source, and a type that this llama.cpp does not have, are sentences, and no half file stays."""
    source = write_tiny_gguf(tmp_path / "m.gguf")
    with pytest.raises(ConfigurationError, match="does not know the type Q9_9"):
        quantize(source, tmp_path / "q.gguf", "Q9_9", 1)
    source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(ConfigurationError, match="not within the file bounds"):
        quantize(source, tmp_path / "q.gguf", "Q8_0", 1)
    assert not (tmp_path / "q.gguf").exists()
