"""A policy file → `schema.Policy`, with everything that is wrong reported at once, each problem at its place.

Fail closed: what is missing is taken as strictest (`if_unsure`, `when_spent`), and what would be looser than the
language permits is an error, never a shrug.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

from gateway.documents import Node, Problem, nearest, parse, read
from gateway.domain.decision import Action, Level
from gateway.domain.record import label
from gateway.policy.advice import advise
from gateway.policy.schema import (
    NAMED,
    SCHEMA,
    UNSURE,
    WHO,
    DataType,
    Limits,
    Line,
    Outcome,
    Policy,
    Rule,
    Waiver,
    When,
)

_SECTIONS = ("data_types", "levels", "handling", "answers", "limits", "if_unsure", "rules", "exceptions")
_ROOT = ("schema", "policy", "version", "owner", "mode", *_SECTIONS)
_REQUIRED = ("schema", "policy", "version", "owner", "data_types", "levels", "handling")
_RULE = ("id", "why", "mode", "until", "when", "then")
_WHEN = (*NAMED, "level", "contains", "prompt_tokens")
_THEN = (
    *("action", "regions", "provider_must_have", "cost_per_request", "first_token", "redact", "tell_user"),
    "hide_in_answers",
)
_HANDLING = ("action", "regions", "provider_must_have")
_WAIVER = ("id", "lifts", "for", "approved_by", "ticket", "expires")
_LEVELS = {level.word: level for level in Level}
_LINED = ("restricted", "confidential", "internal")
_STRICT = ("local_only", "block")
_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,63}")
_OR_HIGHER = re.compile(r"(\w+) or higher")
_OVER = re.compile(r"over ([0-9]{1,9})")
_NAME = re.compile(r"\w[\w /&+\-]{0,63}")


def load(
    source: Path | str | bytes, name: str = "", *, detectable: frozenset[str] | None = None, today: date | None = None
) -> tuple[Policy, tuple[Problem, ...]]:
    """The policy in a file (a path), in a text or in a file's bytes, and the warnings about it.

    `detectable` is every entity that the detector can find, `today` the day to judge expiry by; without them the
    warnings that need them are not given. Raises `DocumentError`, or `ConfigurationError` for an unreadable file.
    """
    root = read(source, name) if isinstance(source, Path) else parse(source, name or "policy")
    loader = _Loader(root)
    policy = loader.policy()
    root.problems.check()
    advise(policy, loader.places, root.problems, detectable, today)
    return policy, tuple(sorted(root.problems.warnings))


class _Loader:
    """Reads top down; what later parts refer to (data types, rule ids) is collected on the way.

    `places` remembers where things stand, by ``(kind, id)``, for the advice that follows.
    """

    def __init__(self, root: Node) -> None:
        self._root = root
        self._types: dict[str, Node] = {}
        self._rules: dict[str, Node] = {}
        self._waivers: dict[str, Node] = {}
        self.places: dict[tuple[str, str], Node] = {("file", ""): root}

    def policy(self) -> Policy:
        fields = self._root.mapping(_ROOT, _REQUIRED)
        if "schema" in fields and fields["schema"].present and fields["schema"].integer() != SCHEMA:
            fields["schema"].fail(f"this version reads schema {SCHEMA}")
        data_types = self._data_types(fields["data_types"])
        self.places |= {("section", key): node for key, node in fields.items()}
        rules = [self._rule(node) for node in fields["rules"].sequence(True)] if "rules" in fields else []
        waivers = [self._waiver(node) for node in fields["exceptions"].sequence(True)] if "exceptions" in fields else []
        return Policy(
            name=fields["policy"].identifier(),
            version=fields["version"].integer(1),
            owner=fields["owner"].text(),
            audit=fields["mode"].one_of(("enforce", "audit")) == "audit" if "mode" in fields else False,
            data_types=data_types,
            levels=self._levels(fields["levels"]),
            handling=self._handling(fields["handling"]),
            limits=self._limits(fields["limits"]) if "limits" in fields else Limits(),
            unsure=self._unsure(fields.get("if_unsure")),
            rules=tuple(sorted(rules, key=lambda rule: rule.id)),
            waivers=tuple(sorted(waivers, key=lambda waiver: waiver.id)),
            answers=self._type_names(fields["answers"].mapping(("hide",), ("hide",))["hide"])
            if "answers" in fields
            else (),
        )

    def _data_types(self, node: Node) -> tuple[DataType, ...]:
        found = []
        for key, value in node.items():
            name = key.text()
            if name and not _NAME.fullmatch(name):
                key.fail(f"'{name}' cannot name a data type: use letters, digits, spaces and - / & + (at most 64)")
            self._types[name] = key
            fields = value.mapping(("detect", "confidence"), ("detect", "confidence"))
            entities = []
            for place, entity in fields["detect"].located_texts():
                if place.identifier():
                    self.places["entity", f"{name}\n{entity}"] = place
                    entities.append(entity)
            # Rounded down: a finding counts rather one hundredth too early than too late.
            percent = int(fields["confidence"].decimal(0, 1) * Decimal(100))
            self.places["data type", name] = key
            found.append(DataType(name, tuple(sorted(entities)), percent))
        return tuple(sorted(found))

    def _levels(self, node: Node) -> tuple[tuple[Level, tuple[Line, ...]], ...]:
        """Highest level first; a level without lines is left out."""
        public = [key for key, _ in node.items() if key.kind == "text" and key.text() == "public"]
        for key in public:
            key.fail("'public' takes no lines: it is what is left when no other level applies")
        fields = node.mapping((*_LINED, "public") if public else _LINED)
        found = []
        for word in _LINED:
            if word in fields:
                lines = sorted({self._line(item) for item in fields[word].sequence()})
                found.append((_LEVELS[word], tuple(lines)))
        return tuple(found)

    def _line(self, node: Node) -> Line:
        fields = node.mapping(("any_of", "all_of", "at_least"))
        if fields and ("any_of" in fields) == ("all_of" in fields):
            node.fail("a line needs either any_of or all_of")
        any_of = self._type_names(fields["any_of"]) if "any_of" in fields else ()
        all_of = self._type_names(fields["all_of"]) if "all_of" in fields else ()
        at_least = fields["at_least"].integer(1, 1_000_000) if "at_least" in fields else 1
        return Line(any_of, all_of, at_least)

    def _type_names(self, node: Node) -> tuple[str, ...]:
        names = []
        for place, name in node.located_texts():
            if name in self._types:
                names.append(name)
            else:
                place.fail(f"unknown data type '{name}'", nearest(name, self._types))
        return tuple(sorted(names))

    def _handling(self, node: Node) -> tuple[Outcome, Outcome, Outcome, Outcome]:
        words = tuple(_LEVELS)
        fields = node.mapping(words, words)
        self.places |= {("handling", word): fields[word] for word in words}
        public, internal, confidential, restricted = (self._handled(fields[word]) for word in words)
        return public, internal, confidential, restricted

    def _handled(self, node: Node) -> Outcome:
        fields = node.mapping(_HANDLING, ("action",))
        return self._outcome(fields)

    def _outcome(self, fields: dict[str, Node]) -> Outcome:
        word = fields["action"].one_of([action.value for action in Action]) if "action" in fields else "allow"
        action = Action(word)
        types = self._type_names(fields["redact"]) if "redact" in fields else ()
        return Outcome(
            action=action,
            regions=tuple(sorted(fields["regions"].text_or_list())) if "regions" in fields else None,
            provider_must_have=_sorted_texts(fields.get("provider_must_have")),
            cost_per_request=fields["cost_per_request"].money() if "cost_per_request" in fields else None,
            first_token=fields["first_token"].seconds() if "first_token" in fields else None,
            redact=None if action is Action.REDACT else types,
            tell_user=fields["tell_user"].text() if "tell_user" in fields else "",
            hide_in_answers=self._type_names(fields["hide_in_answers"]) if "hide_in_answers" in fields else (),
        )

    def _limits(self, node: Node) -> Limits:
        fields = node.mapping(("latency", "cost"))
        latency = fields["latency"].mapping(("first_token",)) if "latency" in fields else {}
        keys = ("per_request", "per_app_per_day", "when_spent")
        cost = fields["cost"].mapping(keys) if "cost" in fields else {}
        spent = cost["when_spent"].one_of(_STRICT) if "when_spent" in cost else "block"
        if "when_spent" in cost and "per_app_per_day" not in cost:
            cost["when_spent"].fail("when_spent needs a budget that can be spent: per_app_per_day is missing")
        return Limits(
            first_token=latency["first_token"].seconds() if "first_token" in latency else None,
            per_request=cost["per_request"].money() if "per_request" in cost else None,
            per_app_per_day=cost["per_app_per_day"].money() if "per_app_per_day" in cost else None,
            when_spent=Action(spent),
        )

    def _unsure(self, node: Node | None) -> tuple[tuple[str, Action], ...]:
        fields = node.mapping(UNSURE) if node else {}
        found = []
        for key in UNSURE:
            word = "block"
            if key in fields:
                word = fields[key].text()
                if word in ("allow", "redact", "require_approval"):
                    fields[key].fail(f"'{word}' would let unsure data out: only local_only or block are possible here")
                elif word:
                    word = fields[key].one_of(_STRICT)
            found.append((key, Action(word if word in _STRICT else "block")))
        return tuple(found)

    def _rule(self, node: Node) -> Rule:
        fields = node.mapping(_RULE, ("id", "why", "when", "then"))
        rule_id = self._id(fields["id"], self._rules, "rule")
        audit = "mode" in fields and fields["mode"].one_of(("enforce", "audit")) == "audit"
        until = fields["until"].date() if "until" in fields else None
        if audit and until is None:
            fields["mode"].fail("an audit-mode rule needs a last day, such as 'until: 2027-01-31'")
        if until is not None and not audit:
            fields["until"].fail("only an audit-mode rule may have an end: an enforced rule cannot lapse by itself")
        return Rule(
            id=rule_id,
            why=fields["why"].text(),
            when=self._when(fields["when"], _WHEN),
            then=self._then(fields["then"]),
            audit=audit,
            until=until,
        )

    def _then(self, node: Node) -> Outcome:
        fields = node.mapping(_THEN)
        outcome = self._outcome(fields)
        if "action" in fields and outcome.action is Action.ALLOW and fields["action"].kind == "text":
            message = (
                "a rule can only make things stricter, so 'allow' does nothing; to lift a rule, write an exception"
            )
            fields["action"].fail(message)
        return outcome

    def _when(self, node: Node, allowed: tuple[str, ...]) -> When:
        fields = node.mapping(allowed)
        names = []
        for condition in NAMED:
            if condition in fields:
                accepted = fields[condition].located_texts()
                for place, name in accepted:
                    # Audit records hold these as labels; a name that is no label could not be compared again later.
                    if condition != "user" and label(name) != name:
                        place.fail(f"{condition} '{name}': use only letters, digits and _ . : / @ + - (at most 96)")
                names.append((condition, tuple(sorted(name for _, name in accepted))))
        return When(
            names=tuple(names),
            levels=self._level_words(fields["level"]) if "level" in fields else (),
            contains=self._type_names(fields["contains"]) if "contains" in fields else (),
            over_tokens=_over(fields["prompt_tokens"]) if "prompt_tokens" in fields else None,
        )

    def _level_words(self, node: Node) -> tuple[Level, ...]:
        if node.kind == "text" and (match := _OR_HIGHER.fullmatch(node.text())):
            if match[1] in _LEVELS:
                return tuple(level for level in Level if level >= _LEVELS[match[1]])
            close = nearest(match[1], _LEVELS)
            node.fail(f"unknown level '{match[1]}'", f"{close} or higher" if close else "")
            return ()
        found = []
        for place, word in node.located_texts():
            if word in _LEVELS:
                found.append(_LEVELS[word])
            else:
                forms = [*_LEVELS, *(f"{known} or higher" for known in _LEVELS)]
                place.fail(f"unknown level '{word}'", nearest(word, forms))
        return tuple(sorted(found))

    def _waiver(self, node: Node) -> Waiver:
        fields = node.mapping(_WAIVER, _WAIVER)
        lifts = fields["lifts"].text()
        if lifts and lifts not in self._rules:
            if lifts.split(".")[0] in ("handling", "if_unsure", "limits", "levels"):
                fields["lifts"].fail(f"an exception lifts a rule; nothing can lift '{lifts}'")
            else:
                fields["lifts"].fail(f"unknown rule '{lifts}'", nearest(lifts, self._rules))
        return Waiver(
            id=self._id(fields["id"], self._waivers, "exception"),
            lifts=lifts,
            who=self._when(fields["for"], WHO),
            approved_by=fields["approved_by"].text(),
            ticket=fields["ticket"].text(),
            expires=fields["expires"].date(),
        )

    def _id(self, node: Node, taken: dict[str, Node], kind: str) -> str:
        name = node.text()
        if name and not _RULE_ID.fullmatch(name):
            node.fail(f"'{name}' is not an id: use letters, digits, '_' and '-' (at most 64, no spaces, no dots)")
        other = self._rules.get(name) or self._waivers.get(name)
        if name and other:
            node.fail(f"the id '{name}' is taken already, in line {other.line}")
        elif name:
            taken[name] = node
            self.places[kind, name] = node
        return name


def _sorted_texts(node: Node | None) -> tuple[str, ...]:
    return tuple(sorted(node.text_or_list())) if node else ()


def _over(node: Node) -> int | None:
    match = _OVER.fullmatch(str(node.text())) if node.kind == "text" else None
    if match:
        return int(match[1])
    node.fail("expected a number of tokens such as 'over 4000'")
    return None
