"""Checks of ``bailiwick doctor`` on what others have agreed to, and on who is told of decisions."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import date
from typing import Final
from urllib.parse import urlsplit

from gateway.cli.checks import Check, ok, warning
from gateway.settings import ChannelSettings, LabelTerms, TargetSettings

SOON: Final = 30
"""Days before a label's last day from which on it is a warning."""

_CONNECT_SECONDS: Final = 2.0


def label_checks(target: TargetSettings, today: date) -> Iterator[Check]:
    """The labels of a target of which something is written down: each with its evidence and its last day (UTC)."""
    if not target.label_terms:
        return
    name = f"labels {target.id}"
    detail = "; ".join(_in_words(terms, today) for terms in target.label_terms)
    ends = [terms.expires for terms in target.label_terms if terms.expires is not None]
    if any((day - today).days <= SOON for day in ends):
        yield warning(name, f"{detail}; policies that ask for a label permit the target while it holds only")
    else:
        yield ok(name, detail)


def _in_words(terms: LabelTerms, today: date) -> str:
    stated = f"{terms.name} ({terms.evidence})"
    if terms.expires is None:
        return stated
    left = (terms.expires - today).days
    if left < 0:
        return f"{stated} EXPIRED on {terms.expires}"
    return f"{stated} until {terms.expires}" + (f", {left} days left" if left <= SOON else "")


def channel_check(channel: ChannelSettings) -> Iterator[Check]:
    """Can a connection to the channel be made? Nothing is sent, and of its URL only the host is told."""
    name = f"channel {channel.name}"
    split = urlsplit(channel.url)
    port = split.port or (443 if split.scheme == "https" else 80)
    detail = f"{split.hostname}:{port}, {'with' if channel.headers else 'without'} a secret"
    try:
        socket.create_connection((split.hostname or "", port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:  # requests do not depend on it, so it is no failure
        yield warning(name, f"{detail}: {error}")
    else:
        yield ok(name, detail)
