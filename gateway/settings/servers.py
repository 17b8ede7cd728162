"""The servers behind a target of the zone local: `server`, `base_urls` and what belongs to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from gateway.documents import Node
from gateway.domain.target import Zone
from gateway.settings.values import ModelServerSettings

KINDS: Final = ("llama_server", "vllm", "ollama", "generic")
SERVER_KEYS: Final = ("server", "base_urls", "poll")
ROOM_KEYS: Final = ("parallel", "queue")
"""Settings of the adapter llama_cpp as well."""

_MOST_SERVERS: Final = 64


def read_servers(node: Node, found: Mapping[str, Node], zone: Zone) -> ModelServerSettings | None:
    """What a target with the adapter openai says of its servers; None where it says nothing."""
    if "server" not in found and "base_urls" not in found:
        for key in {*ROOM_KEYS, "poll"} & found.keys():
            found[key].fail(f"'{key}' needs 'server': what kind of server it is")
        return None
    if zone is Zone.CLOUD:
        place = found.get("server") or found["base_urls"]
        place.fail("'server' and 'base_urls' are for the zone local: nothing is asked of a cloud but answers")
        return None
    if "base_url" in found and "base_urls" in found:
        node.fail("name either one server with 'base_url' or several with 'base_urls'")
        return None
    if not {"base_url", "base_urls"} & found.keys():
        return None  # which the adapter says
    urls: list[str] = []
    for place, text in (found.get("base_urls") or found["base_url"]).located_texts():
        url = text.rstrip("/")
        if url in urls:
            place.fail("this server is there twice")
        elif not _is_address(url):
            place.fail("this is not a URL such as http://gpu-1.internal:8000/v1")
        urls.append(url)
    if len(urls) > _MOST_SERVERS:
        found["base_urls"].fail(f"a target has {_MOST_SERVERS} servers at most")
    return _checked(found, urls)


def _checked(found: Mapping[str, Node], urls: list[str]) -> ModelServerSettings:
    default = ModelServerSettings("generic", ())
    poll = found["poll"].seconds() if "poll" in found else default.poll
    if not 0.1 <= poll <= 3600:
        found["poll"].fail("a server is looked at every 100ms to 1h")
    return ModelServerSettings(
        kind=found["server"].one_of(KINDS) if "server" in found else default.kind,
        base_urls=tuple(urls) or ("",),
        poll=poll,
        parallel=found["parallel"].integer(1, 100_000) if "parallel" in found else None,
        queue=found["queue"].integer(1, 100_000) if "queue" in found else default.queue,
    )


def _is_address(url: str) -> bool:
    try:
        split = urlsplit(url)
        return split.scheme in ("http", "https") and bool(split.hostname) and (split.port or 1) > 0
    except ValueError:
        return False
