"""Who calls: the key from either SDK's header, and nothing else."""

from __future__ import annotations

import pytest

from gateway.domain.errors import Code, GatewayError
from gateway.domain.request import Caller
from gateway.http.auth import authenticate
from support.assembly import CALLER


class OneKey:
    """Implements `gateway.domain.ports.KeyStore`."""

    def caller(self, presented: str) -> Caller | None:
        return CALLER if presented == "bk_good" else None


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer bk_good"},
        {b"authorization": b"bearer  bk_good "},
        {b"x-api-key": b"bk_good"},
        {b"authorization": b"Basic x", b"x-api-key": b"bk_good"},
    ],
)
def test_a_good_key_is_its_caller(headers: dict[bytes, bytes]) -> None:
    """As OpenAI's and Anthropic's SDKs send it."""
    assert authenticate(OneKey(), headers) == CALLER


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer "},
        {b"authorization": b"bk_good"},
        {b"authorization": b"Bearer bk_bad", b"x-api-key": b"bk_good"},
        {b"authorization": b"Bearer \xff\x00"},
    ],
)
def test_anything_else_is_refused_without_repeating_it(headers: dict[bytes, bytes]) -> None:
    """401; a bad key in the one header is not made good by the other."""
    with pytest.raises(GatewayError) as caught:
        authenticate(OneKey(), headers)
    assert caught.value.code is Code.UNAUTHENTICATED
    assert "bk_bad" not in str(caught.value)
