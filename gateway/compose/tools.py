"""Parts of the gateway for the command line, without the gateway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gateway.domain.finding import Found
from gateway.identity.keys import KeyTable
from gateway.inspection.offline import scan_found
from gateway.settings import Settings
from gateway.settings.recognizers import RegistrySettings


def scan_texts(texts: Sequence[str], registry: RegistrySettings | None = None) -> tuple[Found, ...]:
    """What the real detector finds in these texts, with these recognisers or those of no settings file."""
    return scan_found(texts, registry)


@contextmanager
def open_key_store(settings: Settings) -> Iterator[KeyTable]:
    """The table of API keys, to make and list them."""
    table = KeyTable.open(settings.storage.url("identity"))
    try:
        yield table
    finally:
        table.close()
