"""Random bytes that nobody gets twice."""

from __future__ import annotations

import os

from gateway.domain.entropy import random_bytes


def test_every_draw_is_new() -> None:
    """No two draws are equal, also over many refills, and each has the length asked for."""
    draws = [random_bytes(24) for _ in range(5000)]
    assert len(set(draws)) == 5000
    assert {len(draw) for draw in draws} == {24}


def test_a_forked_process_draws_its_own() -> None:
    """A child does not give out what its parent will give out."""
    random_bytes(1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, random_bytes(32))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 32) != random_bytes(32)
