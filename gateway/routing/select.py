"""Decision + live figures → candidates, ranked. Nothing here can add a target that the decision does not permit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.decision import Decision, TargetVerdict
from gateway.domain.estimate import affordable_output, worst_cost
from gateway.domain.money import Usage, in_usd
from gateway.domain.request import Candidate, Plan
from gateway.domain.standing import Live, Standing
from gateway.domain.target import Route, Target
from gateway.routing.breaker import Breaker
from gateway.routing.latency import LatencyBook

_USEFUL_OUTPUT = 16  # tokens: an answer clamped below this helps nobody, so the target is rejected instead
_TYPICAL_OUTPUT = 256  # tokens: what ranking by cost assumes when the caller's bound is larger or absent


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request needs of a target. `token_bound` is an upper bound of the prompt's tokens, `token_estimate` the
    likely number; `max_output` is the caller's own bound per choice, or None. `id` is the request's, by which a route
    with shares draws. `together`: the whole prompt has to fit into one context."""

    token_bound: int
    token_estimate: int
    max_output: int | None
    choices: int
    id: str = ""
    together: bool = True


class Selector:
    """Ranks targets by what was measured of them, and by what is known of their servers at this moment (`live`, by
    target id). One per gateway; holds the latency figures and breakers."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        latency: LatencyBook,
        breaker: Breaker,
        live: Mapping[str, Live] | None = None,
    ) -> None:
        self._targets = targets
        self._live = live or {}
        self.latency = latency
        self.breaker = breaker

    def select(self, decision: Decision, route: Route, demand: Demand) -> Plan:
        """The permitted targets of `route`, best first, and the others with their reasons."""
        candidates: list[Candidate] = []
        rejected: list[TargetVerdict] = []
        for verdict in decision.targets:
            target = self._targets[verdict.target]
            result: Candidate | TargetVerdict = verdict
            if verdict.permitted:
                result = self._candidate(target, decision, demand)
            if isinstance(result, Candidate):
                candidates.append(result)
            else:
                rejected.append(result)
        order = {name: place for place, name in enumerate(route.targets)}
        drawn = route.drawn(demand.id)
        if drawn:
            order[drawn] = -1  # before all that are listed
        candidates.sort(key=lambda candidate: self._rank(candidate, route, demand, order))
        return Plan(tuple(candidates), tuple(rejected))

    def _candidate(self, target: Target, decision: Decision, demand: Demand) -> Candidate | TargetVerdict:
        if demand.together and demand.token_estimate > target.context_tokens:
            return _rejected(
                target,
                f"the prompt is about {demand.token_estimate} tokens long, its context holds {target.context_tokens}",
            )
        wanted = demand.max_output or target.max_output_tokens
        # Where the caller sets no bound, the target's is written into the request: a cost is bounded by it only then.
        clamp = None if demand.max_output else wanted
        if decision.cost_cap is not None:
            affordable = affordable_output(target.worst_price, demand.token_bound, decision.cost_cap, demand.choices)
            useful = affordable >= min(wanted, _USEFUL_OUTPUT)
            if affordable < wanted:
                wanted = clamp = affordable
            cost = worst_cost(target.worst_price, demand.token_bound, wanted, demand.choices)
            if not useful or cost > decision.cost_cap:  # too much by itself, where a target has no output (embeddings)
                return _rejected(target, f"could cost more than the cap of {in_usd(decision.cost_cap)} USD a request")
        cost = worst_cost(target.worst_price, demand.token_bound, wanted, demand.choices)
        standing = self._standing(target, demand)
        expected = standing.first_token
        if expected is None:
            expected = self.latency.expected(target.id, target.first_token)
        latest = expected if standing.latest is None else standing.latest
        late = decision.first_token is not None and latest is not None and latest > decision.first_token
        return Candidate(target, cost, clamp, expected, late, paused=standing.up is False, full=standing.full)

    def _standing(self, target: Target, demand: Demand) -> Standing:
        live = self._live.get(target.id)
        return live.standing(demand.token_estimate) if live is not None else Standing()

    def _rank(
        self, candidate: Candidate, route: Route, demand: Demand, order: Mapping[str, int]
    ) -> tuple[bool, bool, int, int]:
        """Smaller is better: not paused or down, not full and expected in time, then the one drawn by its share, price,
        the order listed."""
        target = candidate.target
        paused = candidate.paused or self.breaker.waiting(target.id) > 0
        likely = -1 if order[target.id] < 0 else 0  # the one drawn goes before one that is free
        if route.rank == "cost" and order[target.id] >= 0:
            output = min(demand.max_output or _TYPICAL_OUTPUT, _TYPICAL_OUTPUT) * demand.choices
            likely = target.price.cost(Usage(demand.token_estimate, output))
        return (paused, candidate.late or candidate.full, likely, order[target.id])


def _rejected(target: Target, reason: str) -> TargetVerdict:
    return TargetVerdict(target.id, permitted=False, reason=reason)
