"""A policy's meaning → a page. What is said here is what `evaluate` does; each section says one part of the policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from gateway.domain.decision import Action, Level
from gateway.domain.target import Target
from gateway.policy.analysis.guarantees import Guarantee
from gateway.policy.hash import policy_hash
from gateway.policy.render.page import Block, Page, Point, Points, Section, Sentences, Table
from gateway.policy.render.phrases import clauses, day, duration, line, listed, money, quoted, requests, whom
from gateway.policy.render.promises import promises
from gateway.policy.render.receivers import receivers
from gateway.policy.schema import Amounts, Limits, Outcome, Policy, Rule, Waiver

_TRIAL = (
    "Trial run: this policy is recorded only. No handling of a level and no rule is enforced, so restricted data may "
    "go to any cloud, and nothing is hidden in answers. What stays in force is what happens when the gateway is "
    "unsure, the limits, and the bounds that callers set for themselves."
)
_HOW = (
    "Every request is searched for the kinds of data that are named here. What is found gives the request a level. "
    "What is said for that level happens, and so does what every rule that matches says. The strictest outcome wins, "
    "and a rule can only make things stricter. Only an exception, which is dated and approved, can lift a rule; "
    "nothing can lift what is said for a level."
)
_WORDS = (
    "“Our own machines” are the models that the platform team has declared as inside our own jurisdiction; a “cloud” "
    "is any other. What is said about clouds does not concern our own machines: they may receive a request as it is, "
    "unless it is refused or waits for approval. A “stand-in” is a made-up name that is sent in place of a real value; "
    "the answer gets the real value back."
)
_UNSURE = {
    "detector_fails": "If the search for personal and secret data fails or takes too long, the request",
    "unreadable_content": "If a part of a request cannot be searched, such as an image, the request",
    "redaction_incomplete": "If something that had to be hidden is still in what would be sent, the request",
    "no_target_left": "If no model may receive a request, it",
}
_STRICT = {Action.LOCAL_ONLY: "stays on our own machines", Action.BLOCK: "is refused"}
_GROUPS = (
    (Action.BLOCK, "Refused"),
    (Action.REQUIRE_APPROVAL, "Held until somebody approves"),
    (Action.LOCAL_ONLY, "Kept on our own machines"),
    (Action.REDACT, "Sent with stand-ins"),
    (Action.ALLOW, "Permitted under conditions"),
)


def page_of(
    policy: Policy, as_of: date, targets: Sequence[Target] | None = None, guarantees: Sequence[Guarantee] = ()
) -> Page:
    """The page of a policy, as seen on the day `as_of`, which decides what has expired.

    `targets` adds which of them may receive what; `guarantees` are those that stand beside the policy.
    """
    fingerprint = policy_hash(policy)
    sections = [
        Section("How to read this", (*_warnings(policy), Sentences(_HOW), Sentences(_WORDS))),
        Section("What is looked for", (_data_types(policy),)),
        Section("Levels", tuple(_levels(policy))),
        Section("What happens at each level", tuple(_handling(policy))),
        Section("Rules", tuple(_rules(policy, as_of))),
        Section("Exceptions", tuple(_exceptions(policy, as_of))),
        Section("What no model may tell", (_answers(policy),)),
        Section("Limits", tuple(_limits(policy.limits))),
        Section("When the gateway is unsure", (_unsure(policy),)),
    ]
    if guarantees:
        said = Sentences(
            "These are to hold for every possible request; the check of the policy proves or disproves them."
        )
        sections.append(Section("Promises", (said, Points(promises(guarantees)))))
    if targets is not None:
        sections.append(Section("Which models may receive what", tuple(receivers(policy, targets, as_of))))
    facts = (
        ("Policy", policy.name),
        ("Version", str(policy.version)),
        ("Owner", policy.owner),
        (
            "For",
            f"the {'tenants' if len(policy.tenants) > 1 else 'tenant'} {listed(policy.tenants)}"
            if policy.tenants
            else "everybody",
        ),
        ("State", "trial run, recorded only" if policy.audit else "enforced"),
        ("Fingerprint", fingerprint),
        ("As of", day(as_of)),
    )
    signed = f"I have read version {policy.version} of the policy {policy.name}, with the fingerprint {fingerprint}."
    return Page(f"Policy {policy.name}, version {policy.version}", facts, tuple(sections), signed)


def _warnings(policy: Policy) -> Iterator[Sentences]:
    if policy.audit:
        yield Sentences(_TRIAL, warning=True)


def _data_types(policy: Policy) -> Table:
    rows = tuple((kind.name, ", ".join(kind.detect), f"{kind.percent} %") for kind in policy.data_types)
    return Table(
        "Kinds of data",
        ("Kind of data", "What is found (in the detector's words)", "Counts if at least this sure"),
        rows,
    )


def _levels(policy: Policy) -> Iterator[Block]:
    points = []
    lines = dict(policy.levels)
    for level in sorted(Level, reverse=True):
        if level is Level.PUBLIC:
            points.append(Point("Every other request is public."))
        elif lines.get(level):
            either = "; or ".join(line(each) for each in lines[level])
            points.append(Point(f"A request is {level.word} if it contains {either}."))
        else:
            points.append(Point(f"Nothing that is found makes a request {level.word}."))
    yield Points(tuple(points))
    yield Sentences(
        "A request has the highest level that is true of it. The same value counts once, however often it appears. A "
        "conversation keeps the highest level that it has had, and a caller may ask for a higher level, never for a "
        "lower one."
    )


def _handling(policy: Policy) -> Iterator[Block]:
    if policy.audit:
        yield Sentences("Recorded only, not enforced:", warning=True)
    points = []
    for level in Level:
        said = clauses(policy.handling[level]) or ["may go to any model"]
        points.append(Point(_told(f"Requests that are {level.word}", said, policy.handling[level])))
    yield Points(tuple(points))
    if policy.region_sets:
        rows = tuple((name, ", ".join(regions)) for name, regions in policy.region_sets)
        yield Sentences("Where these names stand for regions in the policy's file, the regions are written out here.")
        yield Table("Names for several regions", ("Name", "Regions"), rows)


def _told(subject: str, said: Sequence[str], outcome: Outcome) -> str:
    """A sentence for each thing that is done, the first with the subject in full."""
    first, *others = said or ["are let through as before"]
    sentences = [f"{subject} {first}.", *(f"They {other}." for other in others)]
    if outcome.tell_user:
        sentences.append(f"The caller is told: {quoted(outcome.tell_user)}")
    return " ".join(sentences)


def _rules(policy: Policy, as_of: date) -> Iterator[Block]:
    if not policy.rules:
        yield Sentences("There are none: what is said for each level is all that applies.")
        return
    if policy.audit:
        yield Sentences("Recorded only, not enforced:", warning=True)
    enforced = [rule for rule in policy.rules if not rule.audit]
    for action, heading in _GROUPS:
        if points := tuple(_rule(rule, as_of) for rule in enforced if _group(rule) is action):
            yield Points(points, heading)
    if trial := tuple(_rule(rule, as_of) for rule in policy.rules if rule.audit):
        yield Points(trial, "On trial: recorded only, not enforced")


def _group(rule: Rule) -> Action:
    return Action.REDACT if rule.then.action is Action.ALLOW and rule.then.redact else rule.then.action


def _rule(rule: Rule, as_of: date) -> Point:
    below = [f"Why: {rule.why}", f"Rule {rule.id}"]
    if rule.audit and rule.until is not None:
        over = as_of > rule.until
        trial = f"On trial until {day(rule.until)}: recorded only, not enforced until somebody decides so."
        below.insert(0, f"The trial ended on {day(rule.until)}: this does nothing any more." if over else trial)
    return Point(_told(requests(rule.when), clauses(rule.then), rule.then), tuple(below))


def _exceptions(policy: Policy, as_of: date) -> Iterator[Block]:
    if not policy.waivers:
        yield Sentences("There are none: every rule applies to everybody whom it speaks of.")
        return
    yield Points(tuple(_exception(waiver, as_of) for waiver in policy.waivers))


def _exception(waiver: Waiver, as_of: date) -> Point:
    said = f"The rule {waiver.lifts} does not apply to requests {whom(waiver.who)}, until {day(waiver.expires)}."
    if as_of > waiver.expires:
        said = f"Expired on {day(waiver.expires)}, without effect since then: {said}"
    return Point(said, (f"Approved by {waiver.approved_by}, written down in {waiver.ticket}", f"Exception {waiver.id}"))


def _answers(policy: Policy) -> Sentences:
    if not policy.answers:
        return Sentences("Nothing is hidden in answers, unless a rule says so.")
    hidden = listed(policy.answers, "or")
    return Sentences(f"In every answer, each value of {hidden} is replaced by its kind, wherever the model runs.")


def _limits(limits: Limits) -> Iterator[Block]:
    usual = Amounts(limits.first_token, limits.per_request, limits.per_app_per_day)
    rows = [(f"Requests {whom(scope.who)}", *_amounts(scope.amounts, "see below")) for scope in limits.scopes]
    rows.append(("Everybody else" if rows else "Everybody", *_amounts(usual, "no limit")))
    if limits.ceiling is not None:
        rows.append(("Nobody exceeds", *_amounts(limits.ceiling, "no limit")))
    if len(rows) == 1 and usual == Amounts():
        yield Sentences("There are none.")
    else:
        head = ("For whom", "Answer begins within", "A request costs at most", "An app costs at most, per day")
        yield Table("Limits of time and money", head, tuple(rows))
    if limits.scopes:
        yield Sentences("Of the rows that fit a request, the uppermost one counts, for each amount by itself.")
    budgets = [usual, *(scope.amounts for scope in limits.scopes), limits.ceiling or Amounts()]
    if any(each.per_app_per_day is not None for each in budgets):
        spent = "stay on our own machines" if limits.when_spent is Action.LOCAL_ONLY else "are refused"
        yield Sentences(f"Once an app has spent its amount of the day (UTC), its requests {spent}.")


def _amounts(amounts: Amounts, missing: str) -> tuple[str, str, str]:
    return (
        missing if amounts.first_token is None else duration(amounts.first_token),
        missing if amounts.per_request is None else money(amounts.per_request),
        missing if amounts.per_app_per_day is None else money(amounts.per_app_per_day),
    )


def _unsure(policy: Policy) -> Points:
    return Points(tuple(Point(f"{_UNSURE[key]} {_STRICT[action]}.") for key, action in policy.unsure))
