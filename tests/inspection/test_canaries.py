"""No content in any log line, exception or output when finding goes wrong: searched for with a word that is nowhere
else."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest

from gateway.domain.finding import DetectorState
from gateway.domain.grammar import Grammar
from gateway.domain.ports import DetectorFailed
from gateway.inspection.detector import PresidioDetector
from gateway.inspection.inspector import Inspector
from gateway.inspection.recognizers.phones import PhoneRecognizer

pytestmark = pytest.mark.anyio

CANARY = "Zqcanaryxw"
FILLER = "the report is late and nobody told us so " * 100
GRAMMAR = Grammar({}, frozenset({"messages", "content"}), frozenset({"text"}))

# Python runs this when it starts: in a detector process a recogniser then breaks as the text tells it to.
BROKEN = """
import logging, os, sys, time, warnings
from gateway.inspection.recognizers.phones import PhoneRecognizer

def hits(self, text):
    if "BREAK" in text or "DIE" in text:
        print(text)
        print(text, file=sys.stderr)
        warnings.warn(text)
        logging.getLogger("presidio-analyzer").error(text)
        logging.getLogger("anything").critical(text)
        os.write(2, text.encode())
    if "DIE" in text:
        os.abort()
    if "HANG" in text:
        time.sleep(60)
    if "BREAK" in text:
        raise ValueError(text)
    return iter(())

PhoneRecognizer.hits = hits
"""


def raising(self: PhoneRecognizer, text: str) -> NoReturn:
    logging.getLogger("presidio-analyzer").error("cannot validate %s", text)
    raise ValueError(text)


@pytest.fixture
async def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PresidioDetector]:
    """A detector in whose processes a recogniser does as the text tells it to."""
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    detector = PresidioDetector(processes=1)
    await detector.start()
    yield detector
    await detector.aclose()


def told(error: BaseException) -> str:
    """All that an exception can tell, with what is chained to it."""
    parts = ["".join(traceback.format_exception(error))]
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        parts += [repr(link), str(link), *map(repr, link.args), *map(str, getattr(link, "__notes__", ()))]
        chain += [link.__cause__, link.__context__, *getattr(link, "exceptions", ())]
    return "\n".join(parts)


async def failure(detector: PresidioDetector, text: str, timeout: float) -> str:
    with pytest.raises(DetectorFailed) as caught:
        await detector.scan([text], timeout)
    logging.getLogger("gateway").error("a scan failed", exc_info=caught.value)
    return told(caught.value)


async def test_a_recogniser_that_raises_in_the_loop(
    detector: PresidioDetector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its exception holds the text; nothing of it gets out, not even chained to ours."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(PhoneRecognizer, "hits", raising)
    text = f"{CANARY} 212-555-5555"
    exception = await failure(detector, text, 5.0)
    result = await Inspector(detector).inspect({"messages": [{"content": text}]}, GRAMMAR)
    assert result.detector is DetectorState.FAILED
    assert "ValueError" in exception
    assert CANARY not in exception + caplog.text + repr(result) + "".join(capfd.readouterr())


async def test_trouble_in_a_process(
    broken: PresidioDetector, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A recogniser that raises, prints, logs, warns, hangs or takes its process down: no output, no log line and no
    exception holds the text, and the next request is served."""
    caplog.set_level(logging.DEBUG)
    long = f"{CANARY} 212-555-5555 " * 100
    seen = await failure(broken, "BREAK " + long, 10.0)
    seen += await failure(broken, "DIE " + long, 10.0)
    await broken.scan([FILLER], 60.0)  # waits for the new process
    seen += await failure(broken, "HANG " + long, 0.3)
    (spans,) = await broken.scan([long + " anna@example.com"], 60.0)
    assert [span.entity for span in spans if span.entity == "EMAIL_ADDRESS"] == ["EMAIL_ADDRESS"]
    assert broken.replaced == 2
    assert all(word in seen for word in ("ValueError", "ended", "too long"))
    assert CANARY not in seen + caplog.text + "".join(capfd.readouterr())
