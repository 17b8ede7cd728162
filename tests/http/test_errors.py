"""Every error code has a status and one shape, and tells SDKs when a retry cannot help."""

from __future__ import annotations

import json

import pytest

from gateway.domain.errors import Code, GatewayError, ProviderError
from gateway.http.errors import STATUS, render


@pytest.mark.parametrize("code", list(Code))
def test_each_code_is_rendered_in_openais_shape(code: Code) -> None:
    """A status from 400 up, the code, the sentence, the type that SDKs know, and the decision's id."""
    rendered = render(GatewayError(code, "A sentence.", detail="private", param="n"), "d1", {"x-more": "y"})
    assert rendered.status == STATUS[code] >= 400
    assert rendered.headers["content-type"] == "application/json"
    assert rendered.headers["x-more"] == "y"
    error = json.loads(rendered.body)["error"]
    assert (error["code"], error["message"], error["param"], error["decision"]) == (code, "A sentence.", "n", "d1")
    assert error["type"].endswith("_error")
    assert b"private" not in rendered.body


@pytest.mark.parametrize(("wait", "header"), [(0.1, "1"), (2.4, "3"), (None, None)])
def test_a_wait_is_whole_seconds_and_at_least_one(wait: float | None, header: str | None) -> None:
    """As RFC 9110 has it; who comes back after it is not too early."""
    rendered = render(GatewayError(Code.OVERLOADED, "Full.", retry_after=wait), None)
    assert rendered.headers.get("retry-after") == header


def test_where_a_retry_cannot_help_sdks_are_told() -> None:
    """A spent budget is 429, which SDKs would try again; a target that is busy is worth another try."""
    assert render(GatewayError(Code.BUDGET_SPENT, "Spent."), None).headers["x-should-retry"] == "false"
    assert "x-should-retry" not in render(GatewayError(Code.TARGET_RATE_LIMITED, "Busy."), None).headers


def test_a_providers_own_words_are_handed_on_with_its_status() -> None:
    """Where the fault is the caller's, the provider explains it best."""
    error = ProviderError(Code.TARGET_REFUSED, "Refused.", status=422, answer=b'{"error": {"message": "n"}}')
    rendered = render(error, "d1")
    assert (rendered.status, rendered.body) == (422, b'{"error": {"message": "n"}}')
