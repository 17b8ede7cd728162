"""A detector process: reads texts from standard input, writes spans to standard output, ends with its parent.

Frames are a length (four bytes, big endian) and JSON. The first one is the settings for the registry of
recognisers, or null; the answer to it is ``{"ready": process id}``. A request is ``[seconds, [text, …]]``; an answer is
``{"spans": [[[start, end, entity, percent], …], …]}`` or ``{"error": name of the exception}``.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from typing import Any, BinaryIO

HEADER = struct.Struct(">I")
_GRACE = 1.0  # seconds after the deadline at which a process ends itself, should nobody be left to end it


def frame(value: Any) -> bytes:
    """A value as one frame."""
    data = json.dumps(value, separators=(",", ":")).encode()
    return HEADER.pack(len(data)) + data


def main() -> None:
    """Serve until standard input ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may end up among the frames
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop

    from gateway.inspection.engine import load  # slow to import, so the streams are set up before

    engine = load(_receive(source))
    _send(sink, {"ready": os.getpid()})
    # From here on there is content, and whatever a library prints or a crash reports may hold some of it.
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    while (request := _receive(source)) is not None:
        seconds, texts = request
        # With the default action a timer ends the process even while it is stuck inside one regular expression.
        signal.setitimer(signal.ITIMER_REAL, max(0.001, seconds) + _GRACE)
        try:
            answer: dict[str, Any] = {
                "spans": [
                    [(span.start, span.end, span.entity, span.percent) for span in engine.scan(text)] for text in texts
                ]
            }
        except Exception as error:  # the border of the process: the parent turns any failure into DetectorFailed
            answer = {"error": type(error).__name__}  # not its text, which may hold content
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(sink, answer)


def _receive(source: BinaryIO) -> Any:
    header = source.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (size,) = HEADER.unpack(header)
    data = source.read(size)
    return json.loads(data) if len(data) == size else None


def _send(sink: BinaryIO, value: Any) -> None:
    sink.write(frame(value))
    sink.flush()


if __name__ == "__main__":
    main()
