"""Logs: content cannot reach a line, whoever logs it and however."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.telemetry.logs import configure_logging, log_event, log_uncaught

CANARY = "My SSN is 536-90-4399, Zoë"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    kept = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    presidio = logging.getLogger("presidio-analyzer")  # which the detector, if a test has loaded it, has silenced
    filters, presidio.filters[:] = presidio.filters[:], []
    text = io.StringIO()
    configure_logging("json", logging.INFO, text)
    yield text
    presidio.filters[:] = filters
    logging.captureWarnings(False)
    root.handlers[:], level = before
    root.setLevel(level)
    for logger, handlers, level, propagate in kept:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def raise_with_content() -> None:
    raise ValueError(CANARY)


def test_an_event_has_fixed_fields(stream: io.StringIO) -> None:
    """A line says when, how grave, who, what, and the fields that were given."""
    log_event(logging.getLogger("gateway.policy"), logging.WARNING, "policy refused", policy="acme:7", line=12)
    [line] = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "gateway.policy",
        "event": "policy refused",
        "policy": "acme:7",
        "line": 12,
    }


def test_fields_that_are_no_labels_are_replaced(stream: io.StringIO) -> None:
    """A value that could be content is not printed, and neither is an event that is no fixed sentence."""
    log_event(logging.getLogger("gateway.x"), logging.ERROR, CANARY, reason=CANARY, items=[CANARY], body=b"x")
    [line] = lines(stream)
    assert line["event"] == line["reason"] == line["items"] == line["body"] == "(redacted)"
    assert "536-90" not in stream.getvalue()


def test_an_exception_shows_its_type_and_place_only(stream: io.StringIO) -> None:
    """An operator learns what broke and where; the message of the exception stays out."""
    try:
        raise_with_content()
    except ValueError as error:
        log_event(logging.getLogger("gateway.x"), logging.ERROR, "step failed", error=error)
        logging.getLogger("presidio-analyzer").exception("Failed to analyze %s", CANARY)
    ours, theirs = lines(stream)
    assert ours["error"] == theirs["error"] == "ValueError"
    assert ours["where"].startswith("test_logs.py:")
    assert " in raise_with_content" in ours["where"]
    assert "536-90" not in stream.getvalue()
    assert "Zo" not in stream.getvalue()


@pytest.mark.parametrize(
    "name", ["presidio-analyzer", "httpx", "aiohttp.access", "granian", "litestar", "asyncio", "x"]
)
def test_a_librarys_arguments_and_composed_messages_stay_out(name: str, stream: io.StringIO) -> None:
    """The template as it stands in the source is shown; arguments and messages put together at run time are not."""
    logger = logging.getLogger(name)
    logger.warning("invalid candidate: %s", CANARY)
    logger.error(f"invalid candidate: {CANARY}")
    logger.error(CANARY + "!")
    logger.error(ValueError(CANARY))
    assert [line["event"] for line in lines(stream)] == [
        "invalid candidate: %s",
        "(redacted)",
        "(redacted)",
        "(redacted)",
    ]
    assert all(line["at"].startswith("test_logs.py:") for line in lines(stream))
    assert "536-90" not in stream.getvalue()


def test_libraries_are_quiet_and_use_our_handler_only(stream: io.StringIO) -> None:
    """Chatter below WARNING is dropped, and a handler that a library brought along is removed."""
    own = io.StringIO()
    logger = logging.getLogger("presidio-analyzer")
    logger.addHandler(logging.StreamHandler(own))
    logger.propagate = False
    configure_logging("json", logging.INFO, stream)
    logger.info("loaded")
    logger.warning("slow")
    assert own.getvalue() == ""
    assert [line["event"] for line in lines(stream)] == ["slow"]


def test_our_own_level_is_configurable(stream: io.StringIO) -> None:
    """Our loggers speak from the configured level on."""
    log_event(logging.getLogger("gateway.x"), logging.INFO, "started")
    log_event(logging.getLogger("gateway.x"), logging.DEBUG, "detail")
    assert [line["event"] for line in lines(stream)] == ["started"]


def test_a_line_that_cannot_be_written_shows_no_content(stream: io.StringIO) -> None:
    """Python's own report of a logging fault prints message and arguments; ours does not."""

    class Broken(str):
        def __str__(self) -> str:
            raise RuntimeError(CANARY)

    record = logging.LogRecord("gateway.x", logging.ERROR, __file__, 1, "x", (CANARY,), None)
    record.bailiwick_fields = {"a": Broken("x")}
    handler = logging.getLogger().handlers[0]
    plain = io.StringIO()
    configure_logging("plain", logging.INFO, plain)
    handler = logging.getLogger().handlers[0]
    handler.handle(record)
    assert plain.getvalue() == "a log line of gateway.x could not be written\n"


def test_plain_lines_are_for_people(stream: io.StringIO) -> None:
    """The same content-free line, readable at a terminal."""
    plain = io.StringIO()
    configure_logging("plain", logging.INFO, plain)
    log_event(logging.getLogger("gateway.x"), logging.WARNING, "spans dropped", sink="otlp", spans=3)
    assert plain.getvalue().endswith("Z WARNING gateway.x spans dropped sink=otlp spans=3\n")


def test_an_exception_that_nobody_caught_shows_no_text(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the main thread, nor another, nor a finaliser prints the text of an exception."""
    for module, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))  # put back afterwards
    log_uncaught()

    class Falling:
        def __del__(self) -> None:
            raise_with_content()

    thread = threading.Thread(target=raise_with_content)
    thread.start()
    thread.join()
    falling = Falling()
    del falling
    sys.excepthook(ValueError, ValueError(CANARY), None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [line["event"] for line in lines(stream)] == ["uncaught exception"] * 3
    assert {line["error"] for line in lines(stream)} == {"ValueError"}
    assert "536-90" not in stream.getvalue() + "".join(capsys.readouterr())
