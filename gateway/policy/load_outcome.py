"""Reading what a rule or a handling asks for."""

from __future__ import annotations

from gateway.documents import Node, nearest
from gateway.domain.decision import Action
from gateway.domain.record import label
from gateway.policy.names import Names
from gateway.policy.schema import Approval, Outcome

_BOTH = ("action", "regions", "provider_must_have", "approvers", "approval_lasts")
HANDLING = _BOTH
THEN = (
    *_BOTH,
    *("cost_per_request", "first_token", "redact", "tell_user", "hide_in_answers"),
    *("notify", "retain_days", "log_content"),
)
LOG_CONTENT = ("never", "encrypted")
APPROVAL_LASTS = 24 * 3600
"""Seconds from an approval to its last use, where the policy does not say."""

_LONGEST_APPROVAL = 30 * 24 * 3600
_LONGEST_KEPT = 36_525  # days: a hundred years


def read_handling(node: Node, names: Names) -> Outcome:
    """What applies to a level."""
    return _outcome(node, node.mapping(HANDLING, ("action",)), names)


def read_then(node: Node, names: Names) -> Outcome:
    """What a rule asks for."""
    fields = node.mapping(THEN)
    outcome = _outcome(node, fields, names)
    action = fields.get("action")
    if action is not None and action.kind == "text" and action.text() == Action.ALLOW.value:
        action.fail(
            "a rule can only make things stricter, so 'allow' does nothing: leave it out; to lift another rule, "
            "write an exception"
        )
    return outcome


def sorted_texts(node: Node | None) -> tuple[str, ...]:
    return tuple(sorted(node.text_or_list())) if node else ()


def _outcome(node: Node, fields: dict[str, Node], names: Names) -> Outcome:
    word = fields["action"].one_of([action.value for action in Action]) if "action" in fields else "allow"
    action = Action(word)
    types = names.data_types(fields["redact"]) if "redact" in fields else ()
    return Outcome(
        action=action,
        regions=names.regions(fields["regions"]) if "regions" in fields else None,
        provider_must_have=sorted_texts(fields.get("provider_must_have")),
        cost_per_request=fields["cost_per_request"].money() if "cost_per_request" in fields else None,
        first_token=fields["first_token"].seconds() if "first_token" in fields else None,
        redact=None if action is Action.REDACT else types,
        tell_user=fields["tell_user"].text() if "tell_user" in fields else "",
        hide_in_answers=names.data_types(fields["hide_in_answers"]) if "hide_in_answers" in fields else (),
        notify=_channels(fields["notify"], names) if "notify" in fields else (),
        retain_days=fields["retain_days"].integer(1, _LONGEST_KEPT) if "retain_days" in fields else None,
        log_content=fields["log_content"].one_of(LOG_CONTENT) if "log_content" in fields else "",
        approval=_approval(node, fields, action, names),
    )


def _approval(node: Node, fields: dict[str, Node], action: Action, names: Names) -> Approval | None:
    if action is not Action.REQUIRE_APPROVAL:
        for key in ("approvers", "approval_lasts"):
            if key in fields:
                fields[key].fail(f"{key} goes with action: require_approval")
        return None
    if "approvers" not in fields:
        if "action" in fields:
            place = fields["action"]
            place.problems.warn(place, "nobody may approve, so this is the same as block: add approvers: [a group]")
        return None
    approvers = []
    for place, group in fields["approvers"].located_texts():
        if label(group) != group:
            place.fail(f"group '{group}': use only letters, digits and _ . : / @ + - (at most 96)")
        names.somebody("group", place, group)
        approvers.append(group)
    seconds = APPROVAL_LASTS
    if "approval_lasts" in fields:
        seconds = int(fields["approval_lasts"].seconds())
        if not 60 <= seconds <= _LONGEST_APPROVAL:
            fields["approval_lasts"].fail("an approval can last from 1m (a minute) to 720h (thirty days)")
    return Approval(tuple(sorted(approvers)), seconds)


def _channels(node: Node, names: Names) -> tuple[str, ...]:
    channels = names.surroundings.channels
    found = []
    for place, _ in node.located_texts():
        name = place.identifier()
        if name and channels is not None and name not in channels:
            place.fail(f"no channel '{name}' is configured, so nobody would be told", nearest(name, channels))
        found.append(name)
    return tuple(sorted(found))
