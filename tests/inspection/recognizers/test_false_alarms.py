"""Source code, lock files and logs are left alone: what is hidden there by mistake corrupts them."""

from __future__ import annotations

import hashlib
import random
import sysconfig
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from gateway.inspection.engine import Engine
from gateway.inspection.presidio import registry
from gateway.settings.recognizers import RegistrySettings

# Names and places are not the patterns'; mail and machine addresses in sources are real ones.
ENGINE = Engine(
    registry(RegistrySettings(switch_off=("PersonRecognizer", "AddressRecognizer", "TaggerRecognizer"))).recognizers
)
REAL = {"EMAIL_ADDRESS", "IP_ADDRESS", "MAC_ADDRESS", "PERSON", "ORGANIZATION", "NRP"}
PER_FINDING = 40_000
"""Characters for which one false alarm is borne."""


def alarms(texts: list[str]) -> list[str]:
    """The kinds of what is found with at least one half, without those that are real."""
    spans = [span for text in texts for span in ENGINE.scan(text)]
    return [span.entity for span in spans if span.percent >= 50 and span.entity not in REAL]


def assert_quiet(texts: list[str]) -> None:
    size = sum(map(len, texts))
    found = alarms(texts)
    assert size > 100_000
    assert len(found) <= size / PER_FINDING, found


def test_python_sources() -> None:
    """The standard library: code, comments, doc strings, tables of numbers."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    names = (
        "argparse",
        "calendar",
        "datetime",
        "difflib",
        "hashlib",
        "ipaddress",
        "locale",
        "mimetypes",
        "pickletools",
    )
    names += ("secrets", "smtplib", "ssl", "statistics", "tarfile", "typing", "uuid", "zipfile", "email/_parseaddr")
    assert_quiet([(folder / f"{name}.py").read_text(encoding="utf-8") for name in names])


def test_logs() -> None:
    """Lines of servers, kernels and build machines: timestamps, ids, hashes, counters."""
    assert_quiet(["\n".join(lines(2000))])


def test_lock_files_and_test_data() -> None:
    """Hashes, integrity fields, UUIDs and base64 of packages and fixtures."""
    rng = random.Random(3)
    entries = []
    for number in range(900):
        digest = hashlib.sha512(str(number).encode()).hexdigest()
        entries.append(
            f'"node_modules/pkg-{number}": {{"version": "{number % 9}.{number % 31}.{number % 7}", "resolved": '
            f'"https://registry.example/pkg/-/pkg-{number}.tgz", "integrity": "sha512-{digest[:86]}=="}},\n'
            f"pkg-{number}==1.{number}.0 --hash=sha256:{digest[:64]}\n"
            f'  "id": "{uuid.UUID(int=rng.getrandbits(128))}", "etag": "{digest[:40]}", "token": "{digest[:32]}",\n'
        )
    assert_quiet(["".join(entries)])


def lines(count: int) -> Iterator[str]:
    rng = random.Random(3)
    now = datetime(2026, 1, 15, 10, 0, 0)
    for _ in range(count):
        now += timedelta(milliseconds=rng.randint(1, 9000))
        digest = hashlib.sha256(str(rng.random()).encode()).hexdigest()
        record = uuid.UUID(int=rng.getrandbits(128))
        yield from (
            f"{now.isoformat()}Z INFO [main] com.acme.Service - Request {record} handled in {rng.randint(1, 900)} ms",
            f'- - [{now:%d/%b/%Y:%H:%M:%S} +0000] "GET /items/{rng.randint(1, 10**9)} HTTP/1.1" 200 1234',
            f"{now:%b %d %H:%M:%S} host-3 sshd[{rng.randint(1000, 99999)}]: port {rng.randint(1024, 65535)}",
            f"[{now.timestamp():.3f}] kernel: eth0: tx {rng.randint(10**6, 10**12)} rx {rng.randint(10**6, 10**13)}",
            f'{{"ts":{int(now.timestamp() * 1000)},"trace":"{digest[:32]}","order":{rng.randint(10**15, 10**16 - 1)}}}',
            f"{now:%Y-%m-%d %H:%M:%S},123 WARN pool-3 Retrying job {rng.randint(10**9, 10**11)}; etag={digest[:40]}",
            f"commit {digest[:40]}\nDate:   {now:%a %b %d %H:%M:%S %Y} +0000",
            f"Downloaded pkg-1.2.3.tar.gz sha256={digest} size={rng.randint(10**4, 10**10)}",
            f"token bucket refill: tokens={rng.randint(1, 9999)} rate={rng.random() * 100:.6f} key session:{record}",
        )
