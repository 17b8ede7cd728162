"""The detector process, spoken to directly."""

from __future__ import annotations

import json
import subprocess
import sys

from gateway.inspection.worker import HEADER, frame


def test_frames_and_errors() -> None:
    """It says when it is ready, answers a job, names an error by its type without content, and ends with its input."""
    jobs = frame(None) + frame([5.0, ["My SSN is 536-90-4399"]]) + frame([5.0, [42]])
    done = subprocess.run(
        [sys.executable, "-m", "gateway.inspection.worker"], input=jobs, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
    answers = []
    rest = done.stdout
    while rest:
        (size,) = HEADER.unpack(rest[: HEADER.size])
        answers.append(json.loads(rest[HEADER.size : HEADER.size + size]))
        rest = rest[HEADER.size + size :]
    assert list(answers[0]) == ["ready"]
    assert answers[1:] == [{"spans": [[[10, 21, "US_SSN", 85]]]}, {"error": "AttributeError"}]
    assert b"536-90" not in done.stderr
