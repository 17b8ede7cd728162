"""``python -m adapters.scripted_cloud``: the scripted cloud as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from adapters.scripted_cloud.cloud import ScriptedCloud


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m adapters.scripted_cloud",
        description="A cloud API that follows a script. Listens on 127.0.0.1 only.",
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    parser.add_argument("--announce-file", type=Path, help="file to write the base URL into, once it can be used")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--chunk-delay", type=float, default=0.0, help="seconds between the events of a stream")
    parser.add_argument("--keep", type=int, default=200, help="how many requests to remember (default 200)")
    return parser.parse_args(given)


async def serve(options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    cloud = ScriptedCloud(
        port=options.port, latency=options.latency, chunk_delay=options.chunk_delay, keep=options.keep
    )
    async with cloud:
        if options.announce_file is not None:
            _announce(options.announce_file, cloud.base_url)
        sys.stdout.write(f"Scripted cloud at {cloud.base_url}; what it received: {cloud.url}/received?format=text\n")
        sys.stdout.flush()
        await stop.wait()


def _announce(path: Path, base_url: str) -> None:
    """Whole or not at all, so that a reader who polls never sees half a line."""
    draft = path.with_name(path.name + f".{os.getpid()}")
    draft.write_text(base_url + "\n", encoding="utf-8")
    draft.replace(path)


def main(given: Sequence[str] | None = None) -> int:
    """Return 0, or 1 where the port is taken."""
    options = _arguments(given)
    try:
        asyncio.run(serve(options))
    except OSError as error:
        sys.stderr.write(f"scripted cloud: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
