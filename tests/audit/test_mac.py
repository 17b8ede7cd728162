"""gateway.audit.mac: keyed hashes."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from gateway.audit.mac import LogMac


def test_a_label_is_hmac_sha256_cut_to_128_bits() -> None:
    """Anybody with the key can compute the label with standard tools."""
    expected = hmac.new(b"k" * 32, b"content", hashlib.sha256).hexdigest()[:32]
    assert LogMac(b"k" * 32).label(b"content") == expected


def test_the_key_matters() -> None:
    """Without the key, a label tells nothing: another key gives another label."""
    assert LogMac(b"k" * 32).label(b"content") != LogMac(b"l" * 32).label(b"content")


def test_a_short_key_is_refused() -> None:
    """A key that could be guessed is not accepted."""
    with pytest.raises(ValueError, match="32 bytes"):
        LogMac(b"short")
