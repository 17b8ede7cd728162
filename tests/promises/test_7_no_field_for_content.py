"""Promise 7, in the small: no field of a record, no log line and no line of the sources lets content through."""

from __future__ import annotations

import ast
import io
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.finding import Found
from gateway.domain.record import AuditRecord, Label, RecordKind
from gateway.telemetry.logs import PlainFormatter
from support.here import gateway_here
from support.live import REPOSITORY, Setup, cloud_target
from support.needles import ROOT, files, finds

# ---- what a record may hold

HARMLESS = {"RecordKind", "int", "int | None", "bool", "date | None", "NanoUsd", "NanoUsd | None"}
LABELS = {"Label", "tuple[Label, ...]"}
COUNTS = {"tuple[Found, ...]"}


def test_a_record_has_no_field_for_content() -> None:
    """Every field of an audit record is a number, a flag, a date, a label, or a count by entity; a new field of another
    type fails here."""
    assert {field.type for field in fields(AuditRecord)} <= HARMLESS | LABELS | COUNTS
    assert {field.type: field.name for field in fields(Found)} == {"str": "entity", "int": "distinct"}


TEXTS = [field.name for field in fields(AuditRecord) if field.type in LABELS | COUNTS]
NO_LABEL = st.one_of(
    st.text(min_size=1).filter(lambda text: not (text.isascii() and re.fullmatch(r"[A-Za-z0-9_.:/@+\- ]{0,96}", text))),
    st.text("abc ", min_size=97),
    st.sampled_from(["a\nb", "a\n", "\n", "é", "\u0661", "a\x00", "'", '"', "{}", "a,b", "<b>", "\ud800", "a\u2028b"]),
)


@settings(deadline=None, max_examples=300)
@given(name=st.sampled_from(TEXTS), text=NO_LABEL, beside=st.sampled_from(["", "fine", "a b"]))
def test_a_record_refuses_what_is_no_label(name: str, text: str, beside: str) -> None:
    """Whatever is not one line of the small alphabet makes no record, in any field, and is not in the error."""
    kind = next(field.type for field in fields(AuditRecord) if field.name == name)
    value: Any = text
    if kind == "tuple[Label, ...]":
        value = (Label(beside), Label(text))
    elif kind == "tuple[Found, ...]":
        value = (Found("PERSON", 100, 1), Found(text, 100, 1))
    values: dict[str, Any] = {"kind": RecordKind.EVENT, "at": 1, "decision": Label(beside), name: value}
    with pytest.raises(ValueError, match="is not a label") as refused:
        AuditRecord(**values)
    assert len(text) < 4 or text not in str(refused.value)


# ---- what a log line may hold

LOUD = """
import asyncio, gc, logging, sys, threading, warnings
from gateway.telemetry.logs import configure_logging, log_event, log_uncaught

WORD = sys.argv[1]
configure_logging(sys.argv[2])
log_uncaught()
ours, theirs, presidio = (logging.getLogger(name) for name in ("gateway.x", "vendor.x", "presidio-analyzer"))

class Loud(Exception):
    def __str__(self): return WORD
    __repr__ = __str__

class Object:
    def __repr__(self): return WORD
    __str__ = __repr__
    def __del__(self): raise Loud(WORD)

def fail():
    try:
        raise KeyError(WORD)
    except KeyError as error:
        error.add_note(WORD)
        raise Loud(WORD) from ExceptionGroup(WORD, [ValueError(WORD), error])

for logger in (ours, theirs, presidio):
    try:
        fail()
    except Loud as error:
        logger.exception("it failed: %s", WORD)
        logger.error("it failed", exc_info=error)
        logger.error(WORD)
        logger.error("%s and %s" % (WORD, WORD))
        logger.error("it failed: %(text)s", {"text": WORD})
        logger.error("too few: %s %s", WORD)
        logger.error(error)
        logger.error(Object)
        logger.error("with more", extra={"text": WORD, "bailiwick": WORD}, stack_info=True)
        log_event(logger, logging.ERROR, "it failed", error=error, text=WORD, number=Object, items=[WORD])
        log_event(logger, logging.ERROR, WORD)
warnings.warn(WORD, stacklevel=1)
warnings.warn(UserWarning(WORD), stacklevel=1)
thread = threading.Thread(target=fail, name=WORD)
thread.start()
thread.join()
doomed = Object()
del doomed
gc.collect()

async def never_awaited():
    task = asyncio.get_running_loop().create_task(lost(), name=WORD)
    await asyncio.sleep(0.01)
    del task
    gc.collect()
    asyncio.get_running_loop().call_exception_handler({"message": WORD, "exception": Loud(WORD), "x": WORD})
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0.01)

async def lost():
    fail()

asyncio.run(never_awaited())
log_event(ours, logging.INFO, "the end")
fail()
"""


@pytest.mark.parametrize("style", ["plain", "json"])
def test_no_log_line_holds_content(style: str) -> None:
    """However an exception, a warning, a library or we ourselves log it: the word is not in the output of a process,
    not even in the report of what nobody caught; types and places are."""
    word = f'{ROOT} "é" <536-90-4399>'
    done = subprocess.run(
        [sys.executable, "-c", LOUD, word, style], capture_output=True, cwd=REPOSITORY, timeout=60, check=False
    )
    assert done.returncode == 1
    assert list(finds(done.stdout + done.stderr, "output")) == []
    assert "536-90-4399" not in done.stderr.decode()
    lines = done.stderr.decode().splitlines()
    assert len(lines) > 35
    assert any("the end" in line for line in lines)
    assert sum("uncaught exception" in line for line in lines) >= 3  # the thread's, the dying object's, the last
    assert sum("Loud" in line and "in fail" in line for line in lines) > 10


PATHS = ("v1/chat/completions", "bailiwick/v1/explain")


@pytest.mark.anyio
async def test_a_defect_is_told_without_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the gateway itself fails on a request, the operator gets the kind and the place, and nobody the text."""

    class Broken:
        taken_over = 0

        def __init__(self, detector: object, timeout: float, **memory: object) -> None:
            pass

        async def inspect(self, tree: object, grammar: object) -> object:
            raise RuntimeError(f"{ROOT}: {tree}")

    monkeypatch.setattr("gateway.compose.inspection.HistoryInspector", Broken)
    setup = Setup(tmp_path, [cloud_target("cloud", "http://127.0.0.1:9/v1")], {"auto": "{targets: [cloud]}"})
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter())
    logger = logging.getLogger("gateway")
    logger.addHandler(handler)
    try:
        async with gateway_here(setup, monkeypatch) as here:
            body = {"model": "auto", "messages": [{"role": "user", "content": ROOT}]}
            answers = [await here.client.post(f"/{path}", json=body) for path in PATHS]
    finally:
        logger.removeHandler(handler)
    assert [answer.status_code for answer in answers] == [500, 500]
    written = stream.getvalue() + "".join(answer.text for answer in answers)
    assert list(finds(written.encode(), "log")) == []
    told = [line for line in stream.getvalue().splitlines() if "error=RuntimeError" in line]
    assert len(told) == 2
    assert answers[0].headers["x-bailiwick-decision"] in told[0]
    assert all("test_7_no_field_for_content.py:" in line for line in told)
    assert [line for path in files(tmp_path) for line in finds(path.read_bytes(), path.name)] == []


# ---- what the sources do

LOGGED = {
    "type(error).__name__": "the class of an exception",
    "error.code.value": "one of our error codes",
    "answer.code.value": "one of our error codes",
    "reason(error)": "the database driver's words, of a query without parameters",
    "len(self._owed)": "a number",
    "len(answers)": "a number",
    "_OWED_LIMIT": "a number",
    "self._name": "the name of a writer, set in the program",
    "self.config.name": "a configured name",
    "engine.supervisor.config.name": "a configured name",
    "state": "a state of the engine",
    "error": "an exception: the formatter prints no text of it",
    "label(self.failure)": "why an engine is down, in our own words (no library's text is in it), checked as a label",
}
"""Everything that the sources hand to a logger, as it is written there, with the reason why it is no content."""

OUTPUT = {
    "adapters/llama_cpp/__main__.py": "frames for the supervisor, over a pipe",
    "adapters/llama_cpp/offline_main.py": "what llama.cpp says of a model file, which holds no request, over a pipe",
    "adapters/scripted_cloud/__main__.py": "a command of its own, which says where it listens",
}
"""Files beside the command line that write to standard output or error."""

_LEVELS = {"debug", "info", "warning", "warn", "error", "exception", "critical", "fatal", "log"}


def _sources() -> Iterator[tuple[str, ast.Call]]:
    for folder in ("gateway", "adapters"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield str(path.relative_to(REPOSITORY)), node


def test_the_sources_log_fixed_sentences() -> None:
    """Every call of a logger has a literal sentence and hands over only what is on the list above."""
    seen = set()
    for path, call in _sources():
        if not isinstance(call.func, ast.Attribute) or path == "gateway/telemetry/logs.py":
            continue
        owner = ast.unparse(call.func.value)
        if call.func.attr not in _LEVELS or not re.search(r"(^|[._])log(ger)?$|logging", owner):
            continue
        sentence, *handed = call.args if call.func.attr != "log" else call.args[1:]
        place = f"{path}:{call.lineno}"
        assert isinstance(sentence, ast.Constant), f"{place}: not a fixed sentence"
        assert not call.keywords, f"{place}: use log_event for exceptions and fields"
        for argument in map(ast.unparse, handed):
            assert argument in LOGGED, f"{place}: may {argument} be logged? Then say why in LOGGED."
            seen.add(argument)
    assert seen == set(LOGGED)


def test_the_sources_log_events_of_fixed_names() -> None:
    """Every call of `log_event` has a literal sentence; its fields pass the check of labels when they are written."""
    events = [
        (path, call) for path, call in _sources() if isinstance(call.func, ast.Name) and call.func.id == "log_event"
    ]
    assert len(events) > 5
    for path, call in events:
        assert isinstance(call.args[2], ast.Constant), f"{path}:{call.lineno}: not a fixed sentence"


PRINTS = re.compile(r"(print|pprint|warnings\.warn|traceback\.(print|format)\w*|(sys\.)?std(out|err)\..*)$")


def test_the_sources_do_not_print() -> None:
    """Nothing but the command line writes to standard output or error, or warns."""
    seen = set()
    for path, call in _sources():
        name = ast.unparse(call.func)
        if PRINTS.match(name) and not path.startswith("gateway/cli/"):
            assert path in OUTPUT, f"{path}:{call.lineno}: {name}"
            seen.add(path)
    assert seen == set(OUTPUT)
