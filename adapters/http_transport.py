"""The network under an HTTP adapter: httpx's transport interface with aiohttp beneath, and deadlines for its waits."""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Mapping
from functools import lru_cache
from typing import TypeVar

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from adapters.http_faults import CLOSED, Fault, fault_of
from gateway.domain.deadlines import Deadlines
from gateway.domain.errors import ConfigurationError

_HEADER_NAME = re.compile(r"[a-z0-9-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*", re.ASCII)
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-encoding", "expect"})
_T = TypeVar("_T")


class Waits:
    """What the calls of an adapter wait for, each with a deadline. aiohttp leaves the readers of a session that is
    closed waiting for ever, so `close` ends them."""

    def __init__(self) -> None:
        self.closed = False
        self._deadlines = Deadlines()

    def until(self, deadline: float | None, work: Awaitable[_T]) -> Awaitable[_T]:
        """`work` until the loop's time `deadline`; None leaves that to an outer wait. Raises `TimeoutError`."""
        return work if deadline is None else self._deadlines.until(deadline, work)

    def fault_of(self, error: BaseException) -> Fault:
        """What the exception means that ended a wait."""
        return CLOSED if self.closed else fault_of(error)

    def close(self) -> None:
        """Let everything that is awaited time out now."""
        self.closed = True
        self._deadlines.expire()


def network(
    *, ca_file: str | None, proxy: str | None, max_connections: int, keepalive: float
) -> httpx.AsyncBaseTransport:
    """aiohttp without its habits: no cookies, nothing from the environment. Raises `ConfigurationError`."""
    context = _context(ca_file)
    if proxy is not None and not re.match("https?://", proxy):
        raise ConfigurationError("proxy: must begin with http:// or https://")

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=keepalive, ssl=context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    forward = None if proxy is None else httpx.Proxy(proxy)
    return AiohttpTransport(verify=context, trust_env=False, proxy=forward, client=session)


@lru_cache(maxsize=16)  # many servers trust the same certificates, and reading them takes some 20 ms
def _context(ca_file: str | None) -> ssl.SSLContext:
    if ca_file is None:
        return httpx.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError, for a file that is no certificate, is one
        raise ConfigurationError(f"ca_file: {error.strerror or 'cannot be read'}") from None


def endpoint(base_url: str, path: str) -> httpx.URL:
    """`path` under `base_url`. Raises `ConfigurationError`, without quoting what may hold a key."""
    try:
        url = httpx.URL(base_url.rstrip("/") + path)
    except httpx.InvalidURL:
        raise ConfigurationError("base_url: not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError("base_url: must begin with https:// or http:// and name a host")
    if url.userinfo or url.query or url.fragment:
        raise ConfigurationError("base_url: must have no user, no query and no fragment; the key goes into api_key")
    return url


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise `ConfigurationError` for a header that would break the HTTP around it; names are lower-case."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name in _FRAMING:
            raise ConfigurationError(f"header {name!r}: cannot be set")
        if not _HEADER_VALUE.fullmatch(value):
            raise ConfigurationError(f"header {name!r}: its value must be printable ASCII in one line")
