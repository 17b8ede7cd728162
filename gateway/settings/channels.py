"""Channels: where a policy's ``notify`` goes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from gateway.documents import Node
from gateway.settings.values import ChannelSettings

KEYS: Final = ("url", "url_env", "timeout", "secret_env", "secret_header", "allow_http")
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_INSIDE: Final = (".internal", ".local", ".localhost", ".svc", ".cluster.local", ".home.arpa")
"""Ends of host names that no public name has."""


def read_channels(node: Node, variable: Callable[[Node | None], str | None]) -> tuple[ChannelSettings, ...]:
    """The channels of ``notify``; `variable` gives the value of the environment variable that a setting names."""
    channels: dict[str, ChannelSettings] = {}
    for key, value in node.items():
        channel = _channel(key.identifier(), value, variable)
        if channel is not None:
            channels[channel.name] = channel
    return tuple(channels.values())


def _channel(name: str, node: Node, variable: Callable[[Node | None], str | None]) -> ChannelSettings | None:
    found = node.mapping(KEYS)
    if not node.present or not found:
        return None
    if ("url" in found) == ("url_env" in found):
        node.fail(f"the channel '{name}' needs either 'url' or 'url_env' (for a URL that is a secret by itself)")
        return None
    if "secret_header" in found and "secret_env" not in found:
        found["secret_header"].fail("'secret_header' needs 'secret_env', the variable with its value")
    place = found.get("url") or found["url_env"]
    url = variable(place) if "url_env" in found else place.text()
    if url and (problem := _problem(url, "allow_http" in found and found["allow_http"].boolean())):
        place.fail(f"the channel '{name}': {problem}")
    return ChannelSettings(
        name=name,
        url=url or "",
        timeout=found["timeout"].seconds() if "timeout" in found else 5.0,
        headers=_headers(found, variable),
    )


def _headers(found: Mapping[str, Node], variable: Callable[[Node | None], str | None]) -> Mapping[str, str]:
    secret = variable(found.get("secret_env"))
    header = found["secret_header"].text() if "secret_header" in found else "authorization"
    if header and not _HEADER.fullmatch(header):
        found["secret_header"].fail("this is not a header's name")
    if not secret:
        return {}
    if not _VALUE.fullmatch(secret):
        found["secret_env"].fail("the variable's value cannot be a header: it must be printable ASCII in one line")
    return {header.lower(): secret}


def _problem(url: str, allow_http: bool) -> str:
    """What is wrong with the URL, without quoting it; empty if nothing is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "this is not a URL"
    if parts.scheme not in ("https", "http") or not host or not url.isascii() or not url.isprintable() or " " in url:
        return "this is not a URL such as https://hooks.example.com/privacy"
    if parts.username is not None or parts.fragment:
        return "the URL must have no user and no fragment; a secret goes into 'secret_env'"
    if parts.scheme == "https" or _is_loopback(host):
        return ""
    if not is_inside(host):
        return "http:// is for addresses inside only; this one needs https://"
    return "" if allow_http else "http:// is not encrypted; use https://, or permit it with allow_http: true"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_inside(host: str) -> bool:
    """Is this a private address, or a name that is not public? Then what is sent there stays inside."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_INSIDE)
