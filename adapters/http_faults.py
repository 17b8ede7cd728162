"""What HTTP statuses and the HTTP libraries' exceptions mean to the gateway: one table of each.

An exception of a library never goes further than an adapter: it may quote an answer or a header in its text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType

import aiohttp
import httpx

from gateway.domain.errors import Code

MAX_RETRY_AFTER = 3600.0
"""Seconds. A provider that asks for more than this is taken to ask for this."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A way of not answering. `hand_on` gives the caller the provider's own error answer."""

    code: Code
    public: str
    retryable: bool = True
    hand_on: bool = False


CALLERS_FAULT = Refusal(Code.TARGET_REFUSED, "The model provider refused the request.", retryable=False, hand_on=True)
CREDENTIALS = Refusal(Code.TARGET_UNAVAILABLE, "The model provider does not accept the gateway's credentials.")
BUSY = Refusal(Code.TARGET_RATE_LIMITED, "The model provider has too many requests at the moment.")
SLOW = Refusal(Code.TARGET_TIMEOUT, "The model provider did not answer in time.")
DOWN = Refusal(Code.TARGET_UNAVAILABLE, "The model provider is not available at the moment.")
UNREADABLE = Refusal(Code.TARGET_BAD_ANSWER, "The model provider gave an answer that could not be read.")

STATUSES: Mapping[int, Refusal] = MappingProxyType(
    {
        400: CALLERS_FAULT,
        # Another target has other credentials, so these may be tried elsewhere; the same target will refuse again.
        401: CREDENTIALS,
        402: CREDENTIALS,
        403: CREDENTIALS,
        404: CALLERS_FAULT,
        408: SLOW,
        409: DOWN,
        413: CALLERS_FAULT,
        422: CALLERS_FAULT,
        425: DOWN,
        429: BUSY,
        504: SLOW,
    }
)
"""The statuses that differ from their class; `refusal_of` knows the classes."""


def refusal_of(status: int) -> Refusal:
    """What a status other than 200 means. A redirect is not followed: the permit is for this target only."""
    known = STATUSES.get(status)
    if known is not None:
        return known
    if status >= 500:
        return DOWN
    return CALLERS_FAULT if status >= 400 else UNREADABLE


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure of the transport. `sent` False: no byte of the request can have left."""

    refusal: Refusal
    detail: str
    sent: bool = True


_NO_CONNECTION = Fault(DOWN, "no connection could be made", sent=False)
_CONNECT_TIMEOUT = Fault(SLOW, "connecting took too long", sent=False)
_TLS = Fault(DOWN, "TLS could not be agreed", sent=False)
_BAD_ADDRESS = Fault(DOWN, "base_url cannot be used", sent=False)
_NO_PROXY = Fault(DOWN, "the forward proxy cannot be reached", sent=False)
_TIMEOUT = Fault(SLOW, "no event in time")
_BROKEN = Fault(DOWN, "the connection broke")
_CUT = Fault(DOWN, "the answer broke off")
_NOT_HTTP = Fault(UNREADABLE, "the answer is not valid HTTP")
_ENCODING = Fault(UNREADABLE, "the answer's content encoding is damaged")
CLOSED = Fault(DOWN, "the adapter was closed")
"""Not the transport's failure but our own end."""

FAULTS: Mapping[type[BaseException], Fault] = MappingProxyType(
    {
        httpx.RequestError: _BROKEN,
        httpx.TransportError: _BROKEN,
        httpx.TimeoutException: _TIMEOUT,
        httpx.ConnectTimeout: _CONNECT_TIMEOUT,
        httpx.ReadTimeout: _TIMEOUT,
        httpx.WriteTimeout: _TIMEOUT,
        httpx.PoolTimeout: _CONNECT_TIMEOUT,
        httpx.NetworkError: _BROKEN,
        httpx.ConnectError: _NO_CONNECTION,
        httpx.ReadError: _BROKEN,
        httpx.WriteError: _BROKEN,
        httpx.CloseError: _BROKEN,
        httpx.ProxyError: Fault(DOWN, "the forward proxy failed"),
        httpx.UnsupportedProtocol: _BAD_ADDRESS,
        httpx.ProtocolError: _NOT_HTTP,
        httpx.LocalProtocolError: _NOT_HTTP,
        httpx.RemoteProtocolError: _NOT_HTTP,
        httpx.DecodingError: _ENCODING,
        httpx.TooManyRedirects: _NOT_HTTP,
        httpx.InvalidURL: _BAD_ADDRESS,
        httpx.StreamError: _CUT,
        httpx.StreamConsumed: _CUT,
        httpx.StreamClosed: _CUT,
        httpx.ResponseNotRead: _CUT,
        httpx.RequestNotRead: _CUT,
        aiohttp.ClientError: _BROKEN,
        aiohttp.ClientConnectionError: _BROKEN,
        aiohttp.ClientOSError: _BROKEN,
        aiohttp.ServerDisconnectedError: _BROKEN,
        aiohttp.ClientConnectorError: _NO_CONNECTION,
        aiohttp.ClientConnectorDNSError: Fault(DOWN, "the host name is not known", sent=False),
        aiohttp.ClientProxyConnectionError: _NO_PROXY,
        aiohttp.ClientHttpProxyError: _NO_PROXY,
        aiohttp.ClientSSLError: _TLS,
        aiohttp.ServerFingerprintMismatch: _TLS,
        aiohttp.ConnectionTimeoutError: _CONNECT_TIMEOUT,
        aiohttp.ServerTimeoutError: _TIMEOUT,
        aiohttp.ClientPayloadError: _CUT,
        aiohttp.ClientResponseError: _NOT_HTTP,
        aiohttp.InvalidURL: _BAD_ADDRESS,
        aiohttp.NonHttpUrlClientError: _BAD_ADDRESS,
        TimeoutError: _TIMEOUT,
        OSError: _BROKEN,
    }
)
"""Every way in which the libraries fail; the nearest class in an exception's ancestry counts."""

FAULT_CLASSES = (httpx.RequestError, httpx.InvalidURL, httpx.StreamError, aiohttp.ClientError, OSError)
"""What to catch: the roots of `FAULTS`. `TimeoutError` is an `OSError`."""


def fault_of(error: BaseException) -> Fault:
    """What an exception means. aiohttp's own, where it is the cause, knows better than httpx's: the transport calls a
    refused connection and a broken one a connect timeout alike."""
    cause = error.__cause__
    known = cause if isinstance(cause, aiohttp.ClientError) else error
    return next((FAULTS[kind] for kind in type(known).__mro__ if kind in FAULTS), _BROKEN)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, from ``retry-after-ms`` or ``Retry-After`` (RFC 9110, 10.2.3: seconds or a date), 0 to
    `MAX_RETRY_AFTER`. None where the header is missing or makes no sense. `now` is seconds since the epoch."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is not None:
        return _bounded(seconds)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return _bounded(_utc(date).timestamp() - now)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _utc(date: datetime) -> datetime:
    """A date without a zone (``-0000``) is meant as UTC."""
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
