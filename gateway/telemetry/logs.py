"""Log lines that cannot hold content: a fixed sentence, and fields that are checked like labels.

A line shows the *template* of a message, never its arguments, and an exception's type and place, never its text.
Somebody may already have put content into the template; so it is shown only if it stands word for word, in quotes, in
the source file that logged it, and cannot hold anything from a request.
"""

from __future__ import annotations

import linecache
import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePath
from types import TracebackType
from typing import Final, Literal, TextIO, TypeAlias

import orjson

from gateway.telemetry.values import REDACTED, Value, clean

_logger = logging.getLogger(__name__)

Style: TypeAlias = Literal["json", "plain"]

OURS: Final = ("gateway", "adapters")
OURS_PREFIXES: Final = tuple(f"{name}." for name in OURS)
QUIET: Final = (
    "aiohttp",
    "alembic",
    "asyncio",
    "httpx",
    "httpcore",
    "litestar",
    "opentelemetry",
    "presidio-analyzer",
    "spacy",
    "sqlalchemy",
    "urllib3",
)
"""Loggers of libraries: heard from WARNING on, and only through our formatter."""

_FIELDS = "bailiwick_fields"
_DEEPEST = 6


def log_event(logger: logging.Logger, level: int, event: str, **fields: object) -> None:
    """Log a fixed sentence with fields. A value that is no flag, number or label becomes ``(redacted)``.

    Inside an ``except`` block, pass ``error=error`` to add the exception's type and place (never its text).
    """
    if not logger.isEnabledFor(level):
        return
    error = fields.pop("error", None)
    cause = error if isinstance(error, BaseException) else None
    if error is not None and cause is None:
        fields["error"] = error
    exc_info = (type(cause), cause, cause.__traceback__) if cause is not None else None
    checked = {name: clean(value) for name, value in fields.items()}
    logger.log(level, str(clean(event)), exc_info=exc_info, extra={_FIELDS: checked}, stacklevel=2)


def configure_logging(style: Style = "plain", level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send every log line of the process through one formatter to `stream` (standard error)."""
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else PlainFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in [*logging.root.manager.loggerDict, *QUIET]:
        other = logging.getLogger(name)  # a library's own handler would print what ours holds back
        other.handlers.clear()
        other.propagate = True
        if name in QUIET:
            other.setLevel(logging.WARNING)
    logging.captureWarnings(True)


def log_uncaught() -> None:
    """Report what nobody caught, in any thread, as a log line: Python would print the exception's text."""
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, _: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        log_event(_logger, logging.CRITICAL, "uncaught exception", error=error or kind.__name__)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, then the event's fields, error and where."""

    def format(self, record: logging.LogRecord) -> str:
        return orjson.dumps(_line(record)).decode()


class PlainFormatter(logging.Formatter):
    """The same line for people: ``2026-11-21T09:00:00.000Z WARNING gateway.x spans dropped sink=otlp``."""

    def format(self, record: logging.LogRecord) -> str:
        line = _line(record)
        head = " ".join(str(line.pop(name)) for name in ("time", "level", "logger", "event"))
        return " ".join([head, *(f"{name}={value}" for name, value in line.items())])


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """The standard one prints message and arguments; both may hold content. A stream that takes nothing any more
        (a full disk, a closed pipe) must not end the thread that had something to say."""
        with suppress(OSError, ValueError):
            self.stream.write(f"a log line of {record.name} could not be written\n")


def _line(record: logging.LogRecord) -> dict[str, Value]:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line: dict[str, Value] = {
        "time": at,
        "level": record.levelname,
        "logger": record.name,
        "event": _event(record),
    }
    fields: Mapping[str, Value] | None = getattr(record, _FIELDS, None)
    if fields is None:
        line["at"] = f"{PurePath(record.pathname).name}:{record.lineno}"
    else:
        line.update(fields)
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        line["error"] = type(error).__name__
        line["where"] = _where(error)
    return line


def _event(record: logging.LogRecord) -> str:
    if hasattr(record, _FIELDS):
        return str(record.msg)
    template = record.msg
    if not isinstance(template, str) or not template or "\n" in template:
        return REDACTED
    source = "".join(linecache.getlines(record.pathname))
    if f'"{template}"' not in source and f"'{template}'" not in source:
        return REDACTED
    if record.name.startswith(OURS_PREFIXES) and isinstance(record.args, tuple):
        return template % tuple(_shown(argument) for argument in record.args)
    return template


def _shown(argument: object) -> Value:
    """What fills a gap in a sentence of ours: checked like a field; of an exception, its class."""
    return type(argument).__name__ if isinstance(argument, BaseException) else clean(argument)


def _where(error: BaseException) -> str:
    """The innermost frames, as ``file:line in function``, innermost first."""
    frames = list(traceback.walk_tb(error.__traceback__))[-_DEEPEST:]
    return " < ".join(
        f"{PurePath(frame.f_code.co_filename).name}:{line} in {frame.f_code.co_name}"
        for frame, line in reversed(frames)
    )
