"""The tables of statuses and exceptions are complete and say what they should."""

from __future__ import annotations

import inspect
import socket
from email.utils import formatdate
from types import ModuleType

import aiohttp
import httpx
import pytest

from adapters.http_faults import FAULT_CLASSES, FAULTS, MAX_RETRY_AFTER, fault_of, refusal_of, retry_after
from gateway.domain.errors import Code

# httpx raises these for calls that the adapter does not make: `raise_for_status` and the reading of a cookie jar.
NOT_CALLED = {httpx.HTTPStatusError, httpx.CookieConflict, httpx.HTTPError}


def exceptions_of(module: ModuleType) -> list[type[BaseException]]:
    """The exception classes that a library exports."""
    found = (getattr(module, name) for name in module.__all__)
    return [item for item in found if inspect.isclass(item) and issubclass(item, Exception)]


@pytest.mark.parametrize("kind", [kind for kind in exceptions_of(httpx) if kind not in NOT_CALLED])
def test_every_exception_of_httpx_is_in_the_table(kind: type[BaseException]) -> None:
    """Each exception that httpx can raise has its own line in the table, and is caught."""
    assert kind in FAULTS
    assert issubclass(kind, FAULT_CLASSES)


@pytest.mark.parametrize("kind", [kind for kind in exceptions_of(aiohttp) if issubclass(kind, aiohttp.ClientError)])
def test_every_exception_of_aiohttp_has_a_meaning(kind: type[BaseException]) -> None:
    """Each exception of aiohttp's client has a line in the table or inherits one, and is caught."""
    assert any(ancestor in FAULTS for ancestor in kind.__mro__)
    assert issubclass(kind, FAULT_CLASSES)


@pytest.mark.parametrize(
    ("error", "code", "sent"),
    [
        (httpx.ConnectError(""), Code.TARGET_UNAVAILABLE, False),
        (httpx.ConnectTimeout(""), Code.TARGET_TIMEOUT, False),
        (httpx.PoolTimeout(""), Code.TARGET_TIMEOUT, False),
        (httpx.ReadTimeout(""), Code.TARGET_TIMEOUT, True),
        (httpx.ReadError(""), Code.TARGET_UNAVAILABLE, True),
        (httpx.DecodingError(""), Code.TARGET_BAD_ANSWER, True),
        (aiohttp.ServerDisconnectedError(), Code.TARGET_UNAVAILABLE, True),
        (aiohttp.ClientConnectionResetError(), Code.TARGET_UNAVAILABLE, True),
        (aiohttp.ClientPayloadError(), Code.TARGET_UNAVAILABLE, True),
        (aiohttp.ConnectionTimeoutError(), Code.TARGET_TIMEOUT, False),
        (aiohttp.SocketTimeoutError(), Code.TARGET_TIMEOUT, True),
        (TimeoutError(), Code.TARGET_TIMEOUT, True),
        (ConnectionResetError(), Code.TARGET_UNAVAILABLE, True),
        (socket.gaierror(), Code.TARGET_UNAVAILABLE, True),
    ],
)
def test_faults(error: BaseException, code: Code, sent: bool) -> None:
    """A timeout, a lost connection and a bad answer have their own codes, and only a failed connect sent nothing."""
    fault = fault_of(error)
    assert (fault.refusal.code, fault.sent) == (code, sent)
    assert fault.refusal.retryable


def test_the_cause_knows_better_than_the_transport() -> None:
    """A broken connection that the transport calls a connect timeout is a broken connection."""
    error = httpx.ConnectTimeout("")
    error.__cause__ = aiohttp.ServerDisconnectedError()
    assert fault_of(error).refusal.code is Code.TARGET_UNAVAILABLE
    assert fault_of(error).sent


@pytest.mark.parametrize(
    ("status", "code", "retryable", "hand_on"),
    [
        (400, Code.TARGET_REFUSED, False, True),
        (401, Code.TARGET_UNAVAILABLE, True, False),
        (402, Code.TARGET_UNAVAILABLE, True, False),
        (403, Code.TARGET_UNAVAILABLE, True, False),
        (404, Code.TARGET_REFUSED, False, True),
        (408, Code.TARGET_TIMEOUT, True, False),
        (409, Code.TARGET_UNAVAILABLE, True, False),
        (413, Code.TARGET_REFUSED, False, True),
        (418, Code.TARGET_REFUSED, False, True),
        (422, Code.TARGET_REFUSED, False, True),
        (429, Code.TARGET_RATE_LIMITED, True, False),
        (500, Code.TARGET_UNAVAILABLE, True, False),
        (503, Code.TARGET_UNAVAILABLE, True, False),
        (504, Code.TARGET_TIMEOUT, True, False),
        (529, Code.TARGET_UNAVAILABLE, True, False),
        (204, Code.TARGET_BAD_ANSWER, True, False),
        (302, Code.TARGET_BAD_ANSWER, True, False),
    ],
)
def test_statuses(status: int, code: Code, retryable: bool, hand_on: bool) -> None:
    """A status says whose fault it is: the caller's is handed on, the provider's may be tried elsewhere."""
    refusal = refusal_of(status)
    assert (refusal.code, refusal.retryable, refusal.hand_on) == (code, retryable, hand_on)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "999999"}, MAX_RETRY_AFTER),
        ({"retry-after": formatdate(1_000_090, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(1_000_090)}, 90.0),
        ({"retry-after": formatdate(999_000, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "7"}, 7.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """`Retry-After` is read as seconds or as a date, kept within bounds, and ignored where it is nonsense."""
    assert retry_after(httpx.Headers(headers), now=1_000_000) == seconds
