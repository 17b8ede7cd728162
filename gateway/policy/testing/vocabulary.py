"""The names that a test file may use: targets of its own, rules and data types of its policy, entities of the
detector. A test that names what does not exist would fail for ever, or worse, pass for ever."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.documents import Node, nearest
from gateway.domain.decision import Level
from gateway.domain.target import Target
from gateway.policy.schema import UNSURE, Outcome, Policy
from gateway.policy.testing.expected import Expected
from gateway.policy.testing.subject import Subject

PLACES = (
    *(f"handling.{level.word}" for level in Level),
    *(f"if_unsure.{key}" for key in UNSURE),
    *("limits.when_spent", "answers.hide", "approval", "conversation.level"),
    *("caller.min_level", "caller.max_cost", "caller.max_first_token"),
)
"""The reasons that are no ids of rules or exceptions."""


class Vocabulary:
    """Built up while a test file is read. What is not known (no policy, no detector) is not checked."""

    def __init__(self, targets: Sequence[Target], detectable: frozenset[str] | None) -> None:
        self._targets = tuple(targets)
        self._detectable = detectable
        self._entities: frozenset[str] = frozenset()
        self._region_sets: dict[str, frozenset[str]] = {}
        self._known: dict[str, tuple[str, frozenset[str]]] = {}
        if targets:
            self._known["targets"] = ("target", frozenset(target.id for target in targets))

    def learn(self, subject: Subject) -> None:
        """Check names against this policy from here on."""
        policy = subject.policy
        source = policy.source
        outcomes = [*source.handling, *(rule.then for rule in source.rules)]
        self._entities = frozenset(policy.entities)
        self._region_sets = subject.region_sets
        kinds = ("data type or entity", policy.all_types | self._entities)
        self._known |= {
            "because": ("rule", frozenset(PLACES) | _ids(source)),
            "hidden": kinds,
            "hidden_in_answers": kinds,
            "approvers": ("group of approvers", _approvers(outcomes)),
            "notify": ("channel", frozenset(channel for outcome in outcomes for channel in outcome.notify)),
        }

    def check(self, key: str, node: Node, name: str) -> None:
        """Report a name in the list `key` of ``expect`` that nothing has."""
        kind, known = self._known.get(key, ("", None))
        if known is not None and name and name not in known:
            node.fail(f"unknown {kind} '{name}'", nearest(name, known))

    def served(self, node: Node | None) -> tuple[Target, ...]:
        """The targets of the file that a test names as the only ones that could answer; all where it names none."""
        if node is None:
            return self._targets
        named = node.located_texts()
        for place, name in named:
            self.check("targets", place, name)
        return tuple(target for target in self._targets if target.id in {name for _, name in named})

    def check_found(self, node: Node) -> None:
        """Warn about an entity that the detector cannot find."""
        if self._detectable is None or node.kind != "mapping":
            return
        for key, _ in node.items(allow_empty=True):
            if key.kind == "text" and (name := key.text()) not in self._detectable:
                message = f"no detector finds '{name}', so this never happens"
                node.problems.warn(key, message, nearest(name, self._detectable))

    def expand(self, expected: Expected) -> Expected:
        """With the sets of regions that the policy defines written out."""
        wanted = []
        for key, value in expected.wanted:
            if key == "regions" and isinstance(value, frozenset):
                value = frozenset[str]().union(*(self._region_sets.get(name, {name}) for name in value))
            wanted.append((key, value))
        return replace(expected, wanted=tuple(wanted))


def _ids(policy: Policy) -> frozenset[str]:
    return frozenset([*(rule.id for rule in policy.rules), *(waiver.id for waiver in policy.waivers)])


def _approvers(outcomes: Iterable[Outcome]) -> frozenset[str]:
    return frozenset(group for outcome in outcomes if outcome.approval for group in outcome.approval.approvers)
