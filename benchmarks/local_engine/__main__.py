"""``python -m benchmarks.local_engine``: see `benchmarks/README.md`."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from benchmarks.local_engine.calibration import calibrate
from benchmarks.local_engine.filled import filled
from benchmarks.local_engine.lag import lag
from benchmarks.local_engine.model import weights
from benchmarks.local_engine.run import Setup, measure, table
from benchmarks.overhead.peers import CACHE, Unavailable

_FOLDER = CACHE / "local_engine"
_PARTS = ("speed", "filled", "calibration", "lag")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_engine")
    parser.add_argument("--only", default=",".join(_PARTS), help="some of %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48, help="of each answer")
    parser.add_argument("--requests", type=int, default=400, help="of the calibration")
    parser.add_argument("--seconds", type=float, default=30, help="of the event loop's lag")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--weights", default="F16,Q8_0")
    parser.add_argument("--flash-attention", default="auto", choices=("auto", "on", "off"))
    parser.add_argument("--llama-server", type=Path, default=_FOLDER / "llama-server/bin/llama-server")
    parser.add_argument("--without-llama-server", action="store_true")
    parser.add_argument("--without-python-server", action="store_true")
    options = parser.parse_args()
    files = weights(_FOLDER)
    try:
        for name in options.weights.split(","):
            setup = Setup(
                files[name],
                options.threads,
                options.tokens,
                options.flash_attention,
                None if options.without_llama_server else options.llama_server,
                not options.without_python_server,
                _FOLDER / "logs",
            )
            for line in _lines(name, setup, options):
                print(line, flush=True)
    except Unavailable as error:
        parser.exit(3, f"{error}\n")


def _lines(name: str, setup: Setup, options: argparse.Namespace) -> list[str]:
    lines = []
    parts = options.only.split(",")
    if "speed" in parts:
        lines += table(name, asyncio.run(measure(setup, options.rounds)))
    if "filled" in parts:
        lines += asyncio.run(filled(setup, options.rounds)).lines(name)
    if "calibration" in parts:
        lines.append(asyncio.run(calibrate(setup, options.requests)).line(name))
    if "lag" in parts:
        lines.append(lag(setup.model, options.seconds, _FOLDER / "gateway" / name).line(name))
    return lines


if __name__ == "__main__":
    main()
