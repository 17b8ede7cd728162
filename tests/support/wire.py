"""What every error of the gateway must look like, whatever went wrong."""

from __future__ import annotations

from typing import Any

import httpx

TYPES = {"invalid_request_error", "authentication_error", "permission_error", "rate_limit_error", "server_error"}


def openai_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error in OpenAI's shape; an assertion fails where it is another, or has another shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    tree = answer.json()
    assert tree.keys() == {"error"}
    error: dict[str, Any] = tree["error"]
    always = {"message", "type", "param", "code"}
    assert always <= error.keys() <= always | {"decision", "approval"}
    assert error["code"] == code, error
    assert error["type"] in TYPES
    assert error["message"]
    return error
