"""Keyed hashes: they tell that two texts are the same without telling what they are."""

from __future__ import annotations

import hmac

from gateway.domain.record import Label


class LogMac:
    """HMAC-SHA256 under the gateway's own key, cut to 128 bits.

    Keyed, because a plain hash of a short text (a name, a card number) is found by trying them all. Whoever has the
    key and a text can check whether that text was meant; nobody can go back from the label to the text.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("the key of the keyed hash needs at least 32 bytes")
        # Copied for each content: unlike `hmac.digest`, it keeps the interpreter lock for what is short; a thread that
        # takes the lock makes the event loop wait.
        self._keyed = hmac.new(key, digestmod="sha256")

    def label(self, content: bytes) -> Label:
        """32 hexadecimal digits for this content."""
        keyed = self._keyed.copy()
        keyed.update(content)
        return Label(keyed.hexdigest()[:32])
