"""A policy file → `schema.Policy`, with everything that is wrong reported at once, each problem at its place.

Fail closed: what is missing is taken as strictest (`if_unsure`, `when_spent`), and what would be looser than the
language permits is an error, never a shrug.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from gateway.documents import Node, Problem, nearest, parse, read
from gateway.domain.decision import Action, Level
from gateway.policy.advice import advise
from gateway.policy.analysis.guarantees import read_guarantees
from gateway.policy.load_limits import read_limits
from gateway.policy.load_outcome import read_handling, read_then
from gateway.policy.load_when import LEVELS, read_line, read_when
from gateway.policy.names import Names, Surroundings
from gateway.policy.schema import (
    SCHEMA,
    UNSURE,
    WHO,
    DataType,
    LevelLines,
    Limits,
    Outcome,
    Policy,
    Rule,
    Waiver,
)

SECTIONS = (
    *("region_sets", "data_types", "levels", "handling", "answers", "limits", "if_unsure", "rules", "exceptions"),
    "guarantees",
)
ROOT = ("schema", "policy", "version", "owner", "mode", "for", "extends", *SECTIONS)
HEAD = ("schema", "policy", "version", "owner")
REQUIRED = (*HEAD, "data_types", "levels", "handling")
RULE = ("id", "why", "mode", "until", "when", "then")
WAIVER = ("id", "lifts", "for", "approved_by", "ticket", "expires")

_LINED = ("restricted", "confidential", "internal")
_STRICT = ("local_only", "block")
_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,63}")
_NAME = re.compile(r"\w[\w /&+\-]{0,63}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy that was read, with what stands where. `extends` and `guarantees` are the parts of the file that are
    not part of the policy's meaning; `parent` is what it extends, with which it is yet to be joined."""

    policy: Policy
    warnings: tuple[Problem, ...]
    places: Mapping[tuple[str, str], Node]
    parent: Policy | None
    extends: Node | None
    guarantees: Node | None
    names: Names


def load(
    source: Path | str | bytes, name: str = "", *, detectable: frozenset[str] | None = None, today: date | None = None
) -> tuple[Policy, tuple[Problem, ...]]:
    """The policy in a file (a path), in a text or in a file's bytes, and the warnings about it.

    `detectable` is every entity that the detector can find, `today` the day to judge expiry by; without them the
    warnings that need them are not given. Raises `DocumentError`, or `ConfigurationError` for an unreadable file.
    """
    loaded = load_file(source, name, Surroundings(detectable=detectable, today=today))
    return loaded.policy, loaded.warnings


def load_file(source: Path | str | bytes, name: str = "", surroundings: Surroundings | None = None) -> Loaded:
    """As `load`, with the places. A policy that extends another has taken over what it does not say itself."""
    around = surroundings or Surroundings()
    root = read(source, name) if isinstance(source, Path) else parse(source, name or "policy")
    loader = _Loader(root, around)
    policy = loader.policy()
    # Not part of the policy's meaning, but what stands there must be meant: a rule at the wrong place is none.
    if "guarantees" in loader.fields:
        read_guarantees(loader.fields["guarantees"], loader.names)
    root.problems.check()
    names = loader.names
    advise(policy, names.places, root.problems, around.detectable, around.today)
    warnings = tuple(sorted(root.problems.warnings))
    fields = loader.fields
    return Loaded(policy, warnings, names.places, loader.parent, fields.get("extends"), fields.get("guarantees"), names)


class _Loader:
    """Reads top down; what later parts refer to (data types, rule ids) is collected on the way."""

    def __init__(self, root: Node, surroundings: Surroundings) -> None:
        self._root = root
        self.names = Names(surroundings)
        self.names.places["file", ""] = root
        self.parent: Policy | None = None
        self.fields: dict[str, Node] = {}

    def policy(self) -> Policy:
        extends = any(key.kind == "text" and key.text() == "extends" for key, _ in self._root.items(True))
        fields = self.fields = self._root.mapping(ROOT, HEAD if extends else REQUIRED)
        if "schema" in fields and fields["schema"].present and fields["schema"].integer() != SCHEMA:
            fields["schema"].fail(f"this version reads schema {SCHEMA}")
        if "extends" in fields:
            self.parent = self.names.surroundings.parent_of(fields["extends"])
            self.names.region_sets = dict(self.parent.region_sets) if self.parent else {}
        if "region_sets" in fields:
            self._region_sets(fields["region_sets"])
        self.names.types = dict.fromkeys(kind.name for kind in self.parent.data_types) if self.parent else {}
        data_types = self._data_types(fields["data_types"]) if "data_types" in fields else ()
        self.names.places |= {("section", key): node for key, node in fields.items()}
        rules = [self._rule(node) for node in fields["rules"].sequence(True)] if "rules" in fields else []
        waivers = [self._waiver(node) for node in fields["exceptions"].sequence(True)] if "exceptions" in fields else []
        return Policy(
            name=fields["policy"].identifier(),
            version=fields["version"].integer(1),
            owner=fields["owner"].text(),
            audit=fields["mode"].one_of(("enforce", "audit")) == "audit" if "mode" in fields else False,
            data_types=data_types,
            levels=self._levels(fields["levels"]) if "levels" in fields else (),
            handling=self._handling(fields.get("handling")),
            limits=self._limits(fields.get("limits")),
            unsure=self._unsure(fields.get("if_unsure")),
            rules=tuple(sorted(rules, key=lambda rule: rule.id)),
            waivers=tuple(sorted(waivers, key=lambda waiver: waiver.id)),
            answers=self.names.data_types(fields["answers"].mapping(("hide",), ("hide",))["hide"])
            if "answers" in fields
            else (),
            tenants=self._tenants(fields["for"]) if "for" in fields else (),
            region_sets=tuple(sorted(self.names.region_sets.items())),
        )

    def _tenants(self, node: Node) -> tuple[str, ...]:
        who = read_when(node, self.names, ("tenant",), must_exist=True)
        return dict(who.names).get("tenant", ())

    def _region_sets(self, node: Node) -> None:
        for key, value in node.items():
            name = key.text()
            regions = value.text_or_list()
            self.names.places["region set", name] = key
            if self.names.region_sets.setdefault(name, tuple(sorted(regions))) != tuple(sorted(regions)):
                key.fail(f"the policy that this one extends gives '{name}' another meaning")
        for key, value in node.items():
            for place, region in value.located_texts():
                if region in self.names.region_sets and region != key.text():
                    place.fail(f"'{region}' is a set itself: a set lists regions only")

    def _data_types(self, node: Node) -> tuple[DataType, ...]:
        found = []
        for key, value in node.items():
            name = key.text()
            if name and not _NAME.fullmatch(name):
                key.fail(f"'{name}' cannot name a data type: use letters, digits, spaces and - / & + (at most 64)")
            self.names.types[name] = key
            fields = value.mapping(("detect", "confidence"), ("detect", "confidence"))
            entities = []
            for place, entity in fields["detect"].located_texts():
                if place.identifier():
                    self.names.places["entity", f"{name}\n{entity}"] = place
                    entities.append(entity)
            # Rounded down: a finding counts rather one hundredth too early than too late.
            percent = int(fields["confidence"].decimal(0, 1) * Decimal(100))
            self.names.places["data type", name] = key
            found.append(DataType(name, tuple(sorted(entities)), percent))
        return tuple(sorted(found))

    def _levels(self, node: Node) -> LevelLines:
        """Highest level first; a level without lines is left out."""
        public = [key for key, _ in node.items() if key.kind == "text" and key.text() == "public"]
        for key in public:
            key.fail("'public' takes no lines: it is what is left when no other level applies")
        fields = node.mapping((*_LINED, "public") if public else _LINED)
        found = []
        for word in _LINED:
            if word in fields:
                self.names.places["level", word] = fields[word]
                lines = sorted({read_line(item, self.names) for item in fields[word].sequence()})
                found.append((LEVELS[word], tuple(lines)))
        return tuple(found)

    def _handling(self, node: Node | None) -> tuple[Outcome, Outcome, Outcome, Outcome]:
        words = tuple(LEVELS)
        fields = node.mapping(words, () if self.parent else words) if node else {}
        self.names.places |= {("handling", word): fields[word] for word in words if word in fields}
        public, internal, confidential, restricted = (
            read_handling(fields[level.word], self.names)
            if level.word in fields
            else (self.parent.handling[level] if self.parent else Outcome(Action.BLOCK))
            for level in Level
        )
        return public, internal, confidential, restricted

    def _limits(self, node: Node | None) -> Limits:
        return read_limits(node, self.names) if node else Limits()

    def _unsure(self, node: Node | None) -> tuple[tuple[str, Action], ...]:
        """What is left out means block, or what the parent says."""
        fields = node.mapping(UNSURE) if node else {}
        inherited = dict(self.parent.unsure) if self.parent else {}
        found = []
        for key in UNSURE:
            action = inherited.get(key, Action.BLOCK)
            if key in fields:
                self.names.places["unsure", key] = fields[key]
                word = fields[key].text()
                if word in ("allow", "redact", "require_approval"):
                    fields[key].fail(f"'{word}' would let unsure data out: only local_only or block are possible here")
                elif word:
                    action = Action(fields[key].one_of(_STRICT))
            found.append((key, action))
        return tuple(found)

    def _rule(self, node: Node) -> Rule:
        fields = node.mapping(RULE, ("id", "why", "when", "then"))
        rule_id = self._id(fields["id"], self.names.rules, "rule")
        audit = "mode" in fields and fields["mode"].one_of(("enforce", "audit")) == "audit"
        until = fields["until"].date() if "until" in fields else None
        if audit and until is None:
            fields["mode"].fail("an audit-mode rule needs a last day, such as 'until: 2027-01-31'")
        if until is not None and not audit:
            fields["until"].fail("only an audit-mode rule may have an end: an enforced rule cannot lapse by itself")
        return Rule(
            id=rule_id,
            why=fields["why"].text(),
            when=read_when(fields["when"], self.names),
            then=read_then(fields["then"], self.names),
            audit=audit,
            until=until,
        )

    def _waiver(self, node: Node) -> Waiver:
        fields = node.mapping(WAIVER, WAIVER)
        lifts = fields["lifts"].text()
        if lifts and lifts not in self.names.rules:
            if lifts.split(".")[0] in ("handling", "if_unsure", "limits", "levels"):
                fields["lifts"].fail(f"an exception lifts a rule; nothing can lift '{lifts}'")
            elif self.parent is not None and any(rule.id == lifts for rule in self.parent.rules):
                fields["lifts"].fail(
                    f"'{lifts}' is a rule of the policy that this one extends: nothing here can lift it"
                )
            else:
                fields["lifts"].fail(f"unknown rule '{lifts}'", nearest(lifts, self.names.rules))
        return Waiver(
            id=self._id(fields["id"], self.names.waivers, "exception"),
            lifts=lifts,
            who=read_when(fields["for"], self.names, WHO),
            approved_by=fields["approved_by"].text(),
            ticket=fields["ticket"].text(),
            expires=fields["expires"].date(),
        )

    def _id(self, node: Node, taken: dict[str, Node], kind: str) -> str:
        name = node.text()
        if name and not _RULE_ID.fullmatch(name):
            node.fail(f"'{name}' is not an id: use letters, digits, '_' and '-' (at most 64, no spaces, no dots)")
        if name == "approval":
            node.fail("'approval' is taken: it is what decisions say of an approved request")
        other = self.names.rules.get(name) or self.names.waivers.get(name)
        if name and other:
            node.fail(f"the id '{name}' is taken already, in line {other.line}")
        elif name:
            taken[name] = node
            self.names.places[kind, name] = node
        return name
