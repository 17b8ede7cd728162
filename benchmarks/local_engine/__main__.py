"""``python -m benchmarks.local_engine``: see `benchmarks/README.md`."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from benchmarks.local_engine.model import weights
from benchmarks.local_engine.run import Setup, measure, table

_FOLDER = Path(".cache/bench/local_engine")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_engine")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48, help="of each answer")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--weights", default="F16,Q8_0")
    parser.add_argument("--flash-attention", default="auto", choices=("auto", "on", "off"))
    options = parser.parse_args()
    files = weights(_FOLDER)
    for name in options.weights.split(","):
        setup = Setup(files[name], options.threads, options.tokens, options.flash_attention)
        for line in table(name, asyncio.run(measure(setup, options.rounds))):
            print(line, flush=True)


if __name__ == "__main__":
    main()
