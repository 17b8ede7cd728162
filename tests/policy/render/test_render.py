from __future__ import annotations

import html.parser
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import date, timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway.documents import parse
from gateway.domain.decision import Action, Level
from gateway.domain.target import Zone
from gateway.policy import load
from gateway.policy.analysis.expectations import KEYS
from gateway.policy.analysis.guarantees import Guarantee, names_of, read_guarantees
from gateway.policy.cases import simple_target
from gateway.policy.hash import policy_hash
from gateway.policy.load import RULE, WAIVER
from gateway.policy.load_limits import LIMITS
from gateway.policy.load_outcome import HANDLING, LOG_CONTENT, THEN
from gateway.policy.load_when import LINE, TIME, WHEN
from gateway.policy.render import as_html, as_text, page_of
from gateway.policy.render.promises import _SAID
from gateway.policy.schema import UNSURE, Approval, Outcome, Policy
from support.policies import BASE, document, rule

WHOLE = Path(__file__).parent / "whole.yaml"
AS_OF = date(2026, 11, 21)
ELSEWHERE = {"schema", "mode", "for", "extends", "region_sets", "guarantees"}


@cache
def whole() -> Policy:
    return load(WHOLE)[0]


def flat(text: str) -> str:
    """On one line, so that no phrase is torn apart by where the lines break."""
    return re.sub(r"\s+", " ", text)


def text_of(policy: Policy, as_of: date = AS_OF, **more: Any) -> str:
    return flat(as_text(page_of(policy, as_of, **more)))


def of(**changes: Any) -> str:
    return text_of(load(json.dumps(document(**changes)))[0])


def test_a_level_is_a_sentence() -> None:
    """What makes a request restricted reads as a person would say it."""
    assert "A request is restricted if it contains contact details together with health data; or payment data." in of(
        levels=BASE["levels"]
    )
    assert (
        "A request is confidential if it contains at least 5 different values of contact details; or health data."
        in (of())
    )


def test_a_rule_is_a_sentence_with_its_reason() -> None:
    """Who, what happens, why, and the rule's id."""
    text = of(rules=[rule("hr", {"app": "hr-assistant"}, {"action": "local_only"})])
    assert "* Requests of the app hr-assistant stay on our own machines. Why: Reason of hr Rule hr" in text


def test_conditions_are_joined() -> None:
    """All conditions of a rule are in one sentence, lists with 'or'."""
    text = of(
        rules=[rule("r", {"tenant": ["a", "b"], "contains": ["health data", "payment data"]}, {"action": "block"})]
    )
    assert "Requests of the tenants a or b that contain health data or payment data are refused." in text


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ({"days": "mon-fri"}, "that arrive on days from Monday to Friday (Europe/Oslo time)"),
        ({"days": ["sat", "sun"]}, "that arrive on a Saturday or Sunday (Europe/Oslo time)"),
        ({"hours": "08:00-18:00"}, "that arrive from 08:00 until 18:00 (Europe/Oslo time)"),
        ({"hours": "18:00-08:00"}, "that arrive from 18:00 until 08:00 of the next day (Europe/Oslo time)"),
        (
            {"days": "fri", "hours": "18:00-08:00"},
            "that arrive from 18:00 until 08:00 of the next day (Europe/Oslo time), beginning on a Friday",
        ),
        (
            {"days": ["mon", "wed", "fri"], "hours": "00:00-12:30"},
            "that arrive from 00:00 until 12:30 (Europe/Oslo time) on a Monday, Wednesday or Friday",
        ),
    ],
)
def test_times_are_said(time: dict[str, Any], words: str) -> None:
    """Days and hours of a rule are said with their zone; hours over midnight say where they end."""
    text = of(rules=[rule("r", {"time": {**time, "zone": "Europe/Oslo"}}, {"action": "block"})])
    assert f"Requests {words} are refused." in text


def test_audit_rules_are_marked() -> None:
    """A rule on trial says until when, that it is not enforced, and after its last day that it does nothing."""
    policy = whole()
    assert "On trial until 31 March 2027: recorded only, not enforced until somebody decides so." in text_of(policy)
    late = text_of(policy, date(2027, 4, 1))
    assert "The trial ended on 31 March 2027: this does nothing any more." in late


def test_a_policy_on_trial_says_so_first() -> None:
    """A policy that enforces nothing cannot be signed by somebody who thinks that it does."""
    text = of(mode="audit")
    assert "State: trial run, recorded only" in text
    assert text.index("Trial run: this policy is recorded only.") < text.index("What is looked for")
    assert text.count("Recorded only, not enforced:") == 1


def test_exceptions_say_who_agreed_and_until_when() -> None:
    """An exception names its rule, its people, who approved it, where, and its last day; an expired one says so."""
    text = text_of(whole())
    assert "The rule no-dictation does not apply to requests of the tenant clinic-north, of the app dictation" in text
    assert "until 30 December 2026. Approved by dpo@harbour-group.example, written down in RISK-881" in text
    assert "Expired on 30 December 2026, without effect since then:" in text_of(whole(), date(2026, 12, 31))


def test_what_is_not_there_is_said() -> None:
    """Missing limits, rules, exceptions and levels are stated and not just left out."""
    text = of(limits=None, levels={"restricted": [{"any_of": ["payment data"]}]})
    assert "Nothing that is found makes a request confidential." in text
    assert "Rules ----- There are none: what is said for each level is all that applies." in text
    assert "Exceptions ---------- There are none" in text
    assert "Limits ------ There are none." in text
    assert "Nothing is hidden in answers, unless a rule says so." in text


def test_nobody_to_approve_is_a_refusal() -> None:
    """Approval that nobody may give is not told as something that one can wait for."""
    handling = {**BASE["handling"], "restricted": {"action": "require_approval"}}
    assert "which nobody may do, so they are refused" in of(handling=handling)


def test_targets_tell_who_may_receive_what() -> None:
    """With targets, each level says which models may get it, with stand-ins or after approval."""
    targets = (
        simple_target("local", Zone.LOCAL, "on-premises"),
        simple_target("cloud-eu", Zone.CLOUD, "EU"),
        simple_target("cloud-ch", Zone.CLOUD, "CH", frozenset({"zero-retention"})),
    )
    lines = as_text(page_of(whole(), AS_OF, targets)).splitlines()
    rows = {line.split()[0]: flat(line) for line in lines if line.startswith(("local", "cloud-"))}
    assert rows["local"].strip() == "local our own machines yes yes yes after approval"
    assert rows["cloud-eu"].strip() == "cloud-eu cloud, EU yes yes, with no no"
    assert rows["cloud-ch"].strip() == "cloud-ch cloud, CH yes yes, with yes, with after approval"
    assert "Which models" not in text_of(whole())


def test_a_label_that_has_run_out_is_not_shown() -> None:
    """The labels of a target are those of the day that the page is for."""
    cloud = replace(simple_target("c", Zone.CLOUD, "CH"), expiring=(("zero-retention", AS_OF),))

    def row(day: date) -> str:
        return as_html(page_of(whole(), day, (cloud,))).split('<th scope="row">c</th>')[1].split("</tr>")[0]

    assert row(AS_OF).startswith("<td>cloud, CH (zero-retention)</td><td>yes</td>")
    assert row(AS_OF).count("yes, with stand-ins") == 2
    assert row(AS_OF + timedelta(days=1)).startswith("<td>cloud, CH</td><td>yes</td>")
    assert row(AS_OF + timedelta(days=1)).count("yes, with stand-ins") == 1


def guarantees(text: str) -> tuple[Guarantee, ...]:
    node = parse(text, "guarantees")
    found = read_guarantees(node, names_of(whole()))
    node.problems.check()
    return found


def test_promises_are_printed() -> None:
    """Guarantees come with the sentence that somebody wrote, and below it with what is really checked."""
    found = guarantees(
        "- {say: Restricted stays in, when: {level: restricted, detector: failed}, never: {sent_to: cloud}}\n"
        "- {say: HR is answered, when: {app: hr}, always: {has_target: true, provider_must_have: [baa, iso]}}\n"
    )
    text = text_of(whole(), guarantees=found)
    assert (
        "* Restricted stays in Checked: it never happens that (where the search for personal data fails) "
        "requests that are restricted may go to a cloud." in text
    )
    assert (
        "* HR is answered Checked: it is always so that requests of the app hr have a model that may receive them. "
        "Checked: it is always so that requests of the app hr go only to clouds whose provider has baa and iso." in text
    )


TRIED: dict[str, tuple[Any, Any]] = {
    "sent_to": ("nobody", ["local", "cloud"]),
    "action": (["block", "redact"], "allow"),
    "level": (["internal"], "restricted"),
    "in_clear": (["health data"], "secrets"),
    "hide_in_answers": (["health data"], "secrets"),
    "retain_days": (30, 31),
    "log_content": ("encrypted", "never"),
    "cost_per_request": ("0.12 USD", "0.13 USD"),
    "first_token": ("2s", "3s"),
}
FLAGS = ("has_target", "redacted", "tell_user")


@pytest.mark.parametrize(("under", "key"), [(under, key) for under in ("never", "always") for key in KEYS])
def test_every_promise_has_words(under: str, key: str) -> None:
    """Each key of a guarantee reads as a sentence, and another value reads differently."""
    assert set(_SAID) == set(KEYS)
    if getattr(KEYS[key], under) is None:
        return

    def said(value: Any) -> str:
        found = guarantees(json.dumps([{"say": "x", under: {key: value}}]))
        return text_of(whole(), guarantees=found).split(" that requests of any kind ")[1].split("Signatures")[0]

    one, other = TRIED.get(key, (True, False) if key in FLAGS else (["one"], ["two"]))
    sentence = said(one)
    assert not re.search(r"\{|\}|_", sentence)
    assert said(other) != sentence


def test_the_page_is_signed_for_one_version() -> None:
    """Title, owner, version, the whole hash, the day, and lines for names and dates are there."""
    policy = whole()
    text = text_of(policy)
    assert policy_hash(policy) in text.split("Signatures")[0]
    assert policy_hash(policy) in text.split("Signatures")[1]
    assert "Owner: dpo@harbour.example" in text
    assert "As of: 21 November 2026" in text
    assert text.count("Name: ______") == 2
    assert text.count("Date: ______") == 2


def test_the_same_meaning_gives_the_same_page() -> None:
    """Comments, order of rules and of sections, and region sets change nothing in the page."""
    text = WHOLE.read_text("utf-8")
    head, rest = text.split("\nrules:\n")
    rules, exceptions = rest.split("\nexceptions:\n")
    moved = re.split(r"(?=^  - id: )", rules, flags=re.MULTILINE)
    other = f"exceptions:\n{exceptions}\n{head}\n# a comment\nrules:\n{''.join(reversed(moved))}\n"
    other = other.replace("regions: [EEA, CH]", "regions: [CH, EU, IS, LI, NO]")
    assert other != text
    page, moved_page = page_of(whole(), AS_OF), page_of(load(other)[0], AS_OF)
    assert as_text(page) == as_text(moved_page)
    assert as_html(page) == as_html(moved_page)


def leaves(value: Any, put: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Every single value of a policy: where it is, what it is, and how to make the policy with another one there."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            item = getattr(value, field.name)

            def place(new: Any, name: str = field.name) -> Any:
                return put(replace(value, **{name: new}))

            yield from leaves(item, place, f"{path}.{field.name}")
    elif isinstance(value, tuple) and path.endswith(".days"):
        yield path, value, put
    elif isinstance(value, tuple):
        for number, item in enumerate(value):

            def position(new: Any, number: int = number) -> Any:
                return put((*value[:number], new, *value[number + 1 :]))

            yield from leaves(item, position, f"{path}[{number}]")
    else:
        yield path, value, put


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, Level):
        return Level((value + 1) % 4)
    if isinstance(value, Action):
        return Action.BLOCK if value is Action.LOCAL_ONLY else Action.LOCAL_ONLY
    if isinstance(value, date):
        return value + timedelta(days=1)
    if isinstance(value, tuple):
        return value[:-1]
    if isinstance(value, str):
        return LOG_CONTENT[1 - LOG_CONTENT.index(value)] if value in LOG_CONTENT else f"{value}x"
    return value + 1


def printed(policy: Policy) -> str:
    return text_of(policy).replace(policy_hash(policy), "")


def test_every_value_of_a_policy_is_on_the_page() -> None:
    """Whatever single value of a policy that uses the whole language is changed, the page says something else."""
    policy = whole()
    page = printed(policy)
    tried = 0
    for path, value, put in leaves(policy, lambda new: new, "policy"):
        if value is None or value == "":
            continue
        if re.search(r"\.names\[\d\]\[0\]$", path):
            changed = put("role" if value != "role" else "group")
        elif re.search(r"\.levels\[\d\]\[0\]$", path) and "rules" not in path:
            continue  # the lines of a level: seen by the lines themselves
        elif path.endswith((".times.zone",)):
            changed = put("Asia/Tokyo")
        elif re.search(r"\.unsure\[\d\]\[0\]$", path):
            continue  # the name of the case, which is said in a sentence of its own
        else:
            changed = put(other(value))
        assert printed(changed) != page, path
        tried += 1
    assert tried > 150


def test_every_name_and_amount_is_on_the_page() -> None:
    """Each name, sentence, amount, day and number of the whole language stands there in full."""
    text = text_of(whole())
    words = {value for _, value, _ in leaves(whole(), None, "policy") if isinstance(value, str)}
    words -= {member.value for member in Action} | {
        *UNSURE,
        *LOG_CONTENT,
        "tenant",
        "app",
        "api",
        "group",
        "role",
        "user",
    }
    assert [word for word in words if word not in text] == []
    amounts = "0.07 USD, 21 USD, 52 USD, 0.09 USD, 1.25 USD, 103 USD, 0.03 USD, 0.011 USD, 2.5 seconds, 31 seconds"
    others = "61 seconds, 0.75 seconds, 36 hours, 90 minutes, 29 days, 4,096 tokens, 55 %, 45 %, 65 %, 35 %"
    numbers = "at least 17, at least 6, at least 8, 18:00, 08:30, 22:00, 24:00, 31 March 2027, 30 December 2026"
    assert [each for each in f"{amounts}, {others}, {numbers}".split(", ") if each not in text] == []


def test_the_whole_example_uses_the_whole_language() -> None:
    """The example that the tests above stand on has a value for every field that a policy can have."""
    policy = whole()
    outcomes = [*policy.handling, *(each.then for each in policy.rules)]
    for field in fields(Outcome):
        assert any(getattr(each, field.name) not in (None, "", (), Action.ALLOW) for each in outcomes), field.name
    keys = {*RULE, *WAIVER, *LIMITS, *HANDLING, *THEN, *LINE, *TIME, *WHEN, *UNSURE}
    text = WHOLE.read_text("utf-8")
    assert [key for key in keys if not re.search(rf"[ {{]{key}:", text)] == []
    assert {waiver.approved_by for waiver in policy.waivers}
    assert isinstance(policy.handling[Level.RESTRICTED].approval, Approval)


def test_no_keys_of_the_file_are_on_the_page() -> None:
    """A reader needs no word of the file's own: no key with an underscore is in the text."""
    text = text_of(whole())
    keys = {
        *RULE,
        *WAIVER,
        *LIMITS,
        *HANDLING,
        *THEN,
        *LINE,
        *TIME,
        *WHEN,
        *UNSURE,
        *(member.value for member in Action),
    }
    keys |= {"per_request", "per_app_per_day", "when_spent", "data_types", "if_unsure", "region_sets"}
    assert [key for key in keys if "_" in key and key in text] == []


class Checker(html.parser.HTMLParser):
    """Collects the elements and the text of a page, and sees that each element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def test_html_says_what_the_text_says() -> None:
    """Each word of the text is on the HTML page too, but for the lines that are drawn differently."""
    page = page_of(whole(), AS_OF, (simple_target("local", Zone.LOCAL, "on-premises"),))
    shown = flat(" ".join(checked(as_html(page)).text))
    for section in page.sections:
        for block in section.blocks:
            for text in strings(block):
                assert flat(text) in shown


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from strings(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from strings(getattr(value, field.name))


def test_html_is_accessible_and_closed_in_itself() -> None:
    """A language, one first heading, no level of headings left out, captions and named rows in each table; no script,
    nothing loaded."""
    page = as_html(page_of(whole(), AS_OF, (simple_target("local", Zone.LOCAL, "on-premises"),)))
    tags = checked(page).tags
    names = [name for name, _ in tags]
    assert ("html", {"lang": "en"}) in tags
    assert names.count("h1") == 1
    levels = [int(name[1]) for name in names if re.fullmatch(r"h[1-6]", name)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert names.count("table") == names.count("caption") == 5
    assert all(attributes.get("scope") in ("row", "col") for name, attributes in tags if name == "th")
    assert not {"script", "link", "img", "iframe", "object"} & set(names)
    assert not [attributes for _, attributes in tags if {"src", "href", "onclick", "style"} & attributes.keys()]
    assert "url(" not in page
    assert "@media print" in page


def test_every_text_is_escaped() -> None:
    """Nothing that somebody wrote into a policy becomes a part of the page."""
    evil = "<script>alert('x')</script> & \"quoted\""
    changed = whole()
    for path, value, put in leaves(whole(), lambda new: new, "policy"):
        if isinstance(value, str) and not isinstance(value, Enum) and path in ("policy.owner", "policy.name"):
            changed = put(evil)
            assert "<script" not in as_html(page_of(changed, AS_OF))
    first = whole().rules[0]
    changed = replace(whole(), rules=(replace(first, why=evil, then=replace(first.then, tell_user=evil)),))
    page = as_html(page_of(changed, AS_OF, guarantees=[Guarantee(evil)]))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 3
    checked(page)


def test_a_text_cannot_forge_a_line() -> None:
    """Line breaks within a reason are spaces on the page, so that no text can look like a rule of its own."""
    first = whole().rules[0]
    changed = replace(whole(), rules=(replace(first, why="because\n\nExceptions\n* The rule x does not apply"),))
    assert "because Exceptions * The rule x does not apply" in text_of(changed)
    assert "\n* The rule x" not in as_text(page_of(changed, AS_OF))
