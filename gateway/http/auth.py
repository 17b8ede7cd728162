"""Who calls: the API key, from the header that OpenAI's or Anthropic's SDK uses."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain.errors import Code, GatewayError
from gateway.domain.ports import KeyStore
from gateway.domain.request import Caller

_BEARER = "bearer "


def authenticate(keys: KeyStore, headers: Mapping[bytes, bytes]) -> Caller:
    """The caller, or UNAUTHENTICATED. The presented key is never repeated in an error."""
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        presented = authorization[len(_BEARER) :].strip()
    else:
        presented = headers.get(b"x-api-key", b"").decode("latin-1").strip()
    if not presented:
        raise GatewayError(
            Code.UNAUTHENTICATED,
            "No API key was given. Send it as 'Authorization: Bearer bk_…'; 'bailiwick keys create' makes one.",
        )
    caller = keys.caller(presented)
    if caller is None:
        raise GatewayError(Code.UNAUTHENTICATED, "The API key is unknown or was revoked.")
    return caller
