"""One request and its answer, as far as they have come."""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.dialects import openai_chat
from gateway.domain.money import NanoUsd, Price, Usage
from gateway.domain.ports import Reservation
from gateway.domain.request import Candidate, Hints
from gateway.pipeline.exchange import Attempt, Exchange, Spending, digest, new_decision_id
from gateway.telemetry.export import Exporter
from gateway.telemetry.trace import OtelTracer
from support.assembly import CALLER, a_target
from support.exposure import CARD


def exchange(hints: Hints | None = None) -> Exchange:
    body = ('{"model": "m", "messages": [{"role": "user", "content": "' + CARD + '"}], "user": "u-1"}').encode()
    trace = OtelTracer(Exporter([]), models=frozenset()).start("d1", None)
    return Exchange("d1", CALLER, hints or Hints(), openai_chat, body, trace, 0.0)


def attempt(reserved: int, usage: Usage | None = None) -> Attempt:
    candidate = Candidate(a_target("cloud"), NanoUsd(reserved), None, None)
    return Attempt(1, candidate, CARD.encode(), (), Reservation("r", NanoUsd(reserved)), 0.0, usage=usage)


def test_decision_ids_sort_by_time_and_do_not_repeat() -> None:
    """26 characters, in order of making (to the millisecond), and unguessable."""
    ids = [new_decision_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(re.fullmatch("d[0-9a-f]{25}", one) for one in ids)
    assert [one[:12] for one in ids] == sorted(one[:12] for one in ids)


def test_an_attempt_costs_its_usage_or_else_what_was_reserved() -> None:
    """By the provider's count; without one, the most; nothing where nothing was reserved."""
    assert attempt(9_000, Usage(1, 1)).spending == Spending(NanoUsd(5000), "usage")
    assert attempt(9_000).spending == Spending(NanoUsd(9000), "reserved")
    assert attempt(0).spending == Spending(NanoUsd(0), "none")


def test_a_paid_tier_costs_its_own_price() -> None:
    """Where the provider says that it answered in one."""
    one = attempt(9_000, Usage(1, 1, premium=True))
    dear = replace(one.candidate.target, ceiling=Price(2_000_000, 8_000_000, 0))
    one.candidate = replace(one.candidate, target=dear)
    assert one.spending.cost == 10_000


def test_the_cost_of_all_attempts_is_a_bound_as_soon_as_one_is() -> None:
    """Counts add up; the basis tells the weakest of them."""
    seen = exchange()
    seen.add(Spending(NanoUsd(5), "usage"))
    assert (seen.cost, seen.cost_basis) == (5, "usage")
    seen.add(Spending(NanoUsd(7), "reserved"))
    seen.add(Spending(NanoUsd(1), "usage"))
    assert (seen.cost, seen.cost_basis) == (13, "reserved")


def test_the_user_is_the_headers_word_first() -> None:
    """A proxy that knows better than the body may say so."""
    seen = exchange()
    assert seen.user == ""
    seen.request = openai_chat.parse(seen.body)
    assert seen.user == "u-1"
    named = exchange(Hints(user="u-2"))
    named.request = seen.request
    assert named.user == "u-2"


def test_content_is_in_no_repr() -> None:
    """Neither of the exchange nor of an attempt."""
    seen, tried = exchange(), attempt(1)
    seen.request = openai_chat.parse(seen.body)
    assert CARD not in f"{seen!r}{tried!r}{seen.request!r}"


def test_the_digest_is_of_the_bytes() -> None:
    """SHA-256, to which a permit is bound."""
    assert digest(b"") == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
