"""Reading whose signatures a policy needs."""

from __future__ import annotations

import base64
import binascii
import re

from gateway.documents import Node
from gateway.settings.values import PolicySignatures

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_KEY = "ed25519:"


def read_signatures(node: Node) -> PolicySignatures:
    """The setting ``policy_signatures``."""
    found = node.mapping(("trusted", "needed"), ("trusted",))
    trusted: dict[str, str] = {}
    for key, value in found["trusted"].items():
        name, text = key.text(), value.text()
        if name and not _NAME.fullmatch(name):
            key.fail(f"'{name}' cannot name a signer: use letters, digits and _ . @ - (at most 64)")
        elif text and not _is_key(text):
            value.fail("expected a public key such as 'ed25519:…', as 'bailiwick policy keygen' prints it")
        elif text in trusted.values():
            other = next(known for known, its in trusted.items() if its == text)
            value.fail(f"this is the key of {other} too: two signers must be two people")
        elif text:
            trusted[name] = text
    needed = found["needed"].integer(1, 64) if "needed" in found else 1
    if "needed" in found and trusted and needed > len(trusted):
        found["needed"].fail(f"{needed} signers are needed and only {len(trusted)} are trusted: nothing could start")
    return PolicySignatures(trusted, needed)


def _is_key(text: str) -> bool:
    """In the one way of writing it, so that two equal keys look equal."""
    try:
        raw = base64.b64decode(text.removeprefix(_KEY), validate=True)
    except (binascii.Error, ValueError):
        return False
    return text.startswith(_KEY) and len(raw) == 32 and base64.b64encode(raw).decode() == text.removeprefix(_KEY)
