"""What can go wrong inside the engine, in the words of the OpenAI error body and of the log."""

from __future__ import annotations

import logging

import orjson

_log = logging.getLogger(__name__)


class EngineFault(Exception):
    """The engine could not do its work; the request is not at fault. Holds no content."""


class LoadFailed(Exception):
    """The model cannot be used; `str()` says why, in llama.cpp's words."""


class BadRequest(Exception):
    """The caller's request is at fault. `message` goes to that caller only, so it may name what it sent."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_value") -> None:
        super().__init__(code)  # not the message: an exception's text may end up in a log
        self.message = message
        self.param = param
        self.code = code


def report(error: Exception) -> None:
    """Log what a thread of the engine met at its border."""
    if isinstance(error, EngineFault):
        _log.error("the engine failed: %s", error)
    else:
        _log.error("unexpected %s", type(error).__name__)  # neither text nor traceback: they may quote the request


def error_body(message: str, type_: str, code: str, param: str | None = None) -> dict[str, object]:
    """The body that OpenAI-compatible clients know."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def bad_request_payload(error: BadRequest) -> bytes:
    body = error_body(error.message, "invalid_request_error", error.code, error.param)
    return orjson.dumps({"status": 400, "retry_after": None, "body": body})


def overloaded_payload(retry_after: float) -> bytes:
    body = error_body("The queue of the local model is full.", "rate_limit_error", "queue_full")
    return orjson.dumps({"status": 429, "retry_after": retry_after, "body": body})


def late_payload(predicted: float, retry_after: float) -> bytes:
    message = f"The local model would begin its answer after about {predicted:.1f} seconds, which is too late."
    body = error_body(message, "rate_limit_error", "too_late")
    return orjson.dumps({"status": 429, "retry_after": retry_after, "body": body})


def fault_payload() -> bytes:
    body = error_body("The local model could not answer.", "server_error", "engine_fault")
    return orjson.dumps({"status": 500, "retry_after": None, "body": body})
