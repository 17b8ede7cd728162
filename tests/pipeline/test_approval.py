"""A request that needs an approval: refused with an id, sent once when it is given, and only as it was approved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.approvals import SqlApprovals
from gateway.dialects import openai_chat
from gateway.domain.decision import Level
from gateway.domain.errors import Code, GatewayError, ProviderError
from gateway.domain.ports import ApprovalCase, ApprovalClaim
from gateway.domain.record import RecordKind
from gateway.domain.request import Caller, Hints
from gateway.domain.target import Zone
from gateway.policy import compile_policy, load
from support.approvals import POLICY, Hands, approver
from support.assembly import CALLER, Assembly, OpenPurse, RecordingProvider, a_target
from support.exposure import CARD, NAME
from support.playing import until

pytestmark = pytest.mark.anyio

CLOUD, FAR, HERE = a_target("cloud"), a_target("far", region="US"), a_target("here", Zone.LOCAL, "on-premises")
TEXT = f"Charge {CARD} please"
NO_HINTS = Hints()


@pytest.fixture
async def store(tmp_path: Path, anyio_backend: str) -> AsyncIterator[SqlApprovals]:
    opened = SqlApprovals.open(f"sqlite:///{tmp_path}/approvals.db", Hands())
    yield opened
    await opened.aclose()


async def send(
    parts: Assembly, text: str = TEXT, caller: Caller = CALLER, hints: Hints = NO_HINTS, **fields: Any
) -> None:
    """One request. Raises `GatewayError`."""
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
    parts.exchange = parts.pipeline.begin(caller, hints, openai_chat, json.dumps(body).encode())
    await parts.pipeline.handle(parts.exchange)


async def refusal(*arguments: Any, **more: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await send(*arguments, **more)
    return caught.value


def told(error: GatewayError) -> dict[str, Any]:
    """What the answer's body says of the approval."""
    about: Any = error.more["approval"]
    return dict(about)


async def asked(*arguments: Any, **more: Any) -> str:
    """The id of the approval that the request now waits for."""
    error = await refusal(*arguments, **more)
    assert (error.code, told(error)["status"]) == (Code.APPROVAL_REQUIRED, "pending")
    return str(told(error)["id"])


def events(parts: Assembly) -> list[str]:
    return [record.event for record in parts.log.records if record.kind is RecordKind.EVENT]


async def test_it_waits_and_is_sent_once(store: SqlApprovals) -> None:
    """Refused with what is asked of whom; approved, it goes; then it waits for a new approval."""
    cloud = RecordingProvider()
    parts = Assembly(POLICY, {CLOUD: cloud}, approvals=store)
    error = await refusal(parts)
    about = told(error)
    assert about["waiting"] == [{"rule": "handling.restricted", "approvers": ["dpo"], "lasts_seconds": 3600}]
    assert about["id"] in error.public
    assert "dpo" in error.public
    assert CARD not in f"{error}{error.public}{error.more}"
    assert cloud.calls == []
    await store.approve(about["id"], approver())
    await send(parts)
    assert len(cloud.calls) == 1
    assert await asked(parts) != about["id"]
    assert len(cloud.calls) == 1
    assert events(parts) == ["approval asked for", "approval used", "approval asked for"]


async def test_the_records_name_the_approval(store: SqlApprovals) -> None:
    """The refusal the one it waits for, the intent the one that let it go, with the decision that was in force."""
    parts = Assembly(POLICY, {CLOUD: RecordingProvider()}, approvals=store)
    name = await asked(parts)
    await store.approve(name, approver())
    await send(parts)
    refused, intent, _ = (record for record in parts.log.records if record.kind is not RecordKind.EVENT)
    assert (refused.kind, refused.action, refused.approval) == (RecordKind.REFUSAL, "require_approval", name)
    assert (intent.kind, intent.action, intent.approval) == (RecordKind.INTENT, "allow", name)
    assert "handling.restricted" in intent.because
    story = [(record.event, record.decision) for record in parts.log.records if record.kind is RecordKind.EVENT]
    assert story == [("approval asked for", f"approval:{name}"), ("approval used", f"approval:{name}")]


@pytest.mark.parametrize(
    "change",
    [
        {"text": TEXT + "!"},
        {"temperature": 0.5},
        {"caller": replace(CALLER, app="another")},
        {"caller": replace(CALLER, group="another")},
        {"caller": replace(CALLER, tenant="another")},
        {"hints": Hints(user="somebody")},
    ],
)
async def test_an_approval_is_for_this_request_of_this_caller(store: SqlApprovals, change: dict[str, Any]) -> None:
    """One letter, one setting or another name of the asker, and it is another request."""
    cloud = RecordingProvider()
    parts = Assembly(POLICY, {CLOUD: cloud}, approvals=store)
    name = await asked(parts)
    await store.approve(name, approver())
    assert await asked(parts, **change) != name
    assert cloud.calls == []
    await send(parts, caller=replace(CALLER, key="another key of the app"))
    assert len(cloud.calls) == 1


async def test_an_approval_is_for_this_policy(store: SqlApprovals) -> None:
    """With another policy in force, whatever was changed in it, the approval of the former is good for nothing."""
    cloud = RecordingProvider()
    parts = Assembly(POLICY, {CLOUD: cloud}, approvals=store)
    name = await asked(parts)
    await store.approve(name, approver())
    former = parts.policy
    parts.policy = compile_policy(load(POLICY.replace("version: 1", "version: 2"))[0])
    assert await asked(parts) != name
    parts.policy = former
    await send(parts)
    assert len(cloud.calls) == 1


async def test_an_approval_is_for_these_targets(store: SqlApprovals) -> None:
    """A cloud that comes later was not approved; what the policy rules out stays out with an approval."""
    one, far = RecordingProvider(), RecordingProvider()
    before = Assembly(POLICY, {CLOUD: one}, approvals=store)
    name = await asked(before)
    await store.approve(name, approver())
    later = Assembly(POLICY, {a_target("new"): RecordingProvider(), CLOUD: one}, approvals=store)
    assert await asked(later) != name
    with_far = Assembly(POLICY, {FAR: far, CLOUD: one}, approvals=store)
    await send(with_far)
    assert (len(one.calls), len(far.calls)) == (1, 0)
    assert (await store.find(name)).case.targets == ("cloud",)


RULES = """\
rules:
  - {id: ask, why: A test, when: {contains: contact}, then: {action: require_approval, approvers: [dpo]}}
  - {id: hide, why: A test, when: {declared: [patient]}, then: {redact: [contact]}}
  - {id: more, why: A test, when: {declared: [contract]}, then: {action: require_approval, approvers: [dpo]}}
"""


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        (f"{NAME} called", Hints(min_level=Level.CONFIDENTIAL)),
        (TEXT, Hints(labels=("patient",))),
        (TEXT, Hints(labels=("contract",))),
    ],
    ids=["level", "hidden", "needed"],
)
async def test_an_approval_is_for_this_handling(store: SqlApprovals, text: str, hints: Hints) -> None:
    """The same bytes at a higher level, with more hidden or with one more rule that asks were not approved before."""
    cloud = RecordingProvider()
    parts = Assembly(POLICY + RULES, {CLOUD: cloud}, approvals=store)
    name = await asked(parts, text)
    await store.approve(name, approver())
    assert await asked(parts, text, hints=hints) != name
    assert cloud.calls == []
    await send(parts, text)


async def test_a_policy_that_comes_while_it_is_sent_takes_the_approval_away(store: SqlApprovals) -> None:
    """Another policy comes into force in the moment in which the approval is used: it is decided anew, without it."""
    cloud = RecordingProvider()
    parts = Assembly(POLICY, {CLOUD: cloud}, approvals=store)
    other = compile_policy(load(POLICY.replace("version: 1", "version: 2"))[0])
    name = await asked(parts)
    await store.approve(name, approver())

    class Replacing:
        async def claim(self, case: ApprovalCase) -> ApprovalClaim:
            claim = await store.claim(case)
            if claim.status == "used":
                swapped.policy = other
            return claim

    swapped = Assembly(POLICY, {CLOUD: cloud}, approvals=Replacing())
    assert await asked(swapped) != name
    assert cloud.calls == []
    assert (await store.find(name)).status.value == "used"
    assert swapped.exchange is not None
    assert swapped.exchange.decision is not None
    assert swapped.exchange.decision.policy == other.id


async def test_what_would_be_refused_anyway_asks_nobody(store: SqlApprovals) -> None:
    """No permitted target, approved or not; or a prompt longer than any model reads: no approver is troubled, and an
    approval is not used up."""
    parts = Assembly(POLICY, {FAR: RecordingProvider()}, approvals=store)
    assert (await refusal(parts)).code is Code.BLOCKED
    small = replace(CLOUD, context_tokens=4)
    parts = Assembly(POLICY, {small: RecordingProvider()}, approvals=store)
    assert (await refusal(parts)).code is Code.NO_TARGET
    assert await store.listed() == []
    assert events(parts) == []


async def test_of_two_at_once_one_passes(store: SqlApprovals) -> None:
    """The approval is for one; the other one waits for a new approval."""
    cloud = RecordingProvider()
    parts = Assembly(POLICY, {CLOUD: cloud}, approvals=store)
    name = await asked(parts)
    await store.approve(name, approver())
    outcomes = await asyncio.gather(*[send(parts) for _ in range(6)], return_exceptions=True)
    assert outcomes.count(None) == 1
    others = [outcome for outcome in outcomes if isinstance(outcome, GatewayError)]
    assert {other.code for other in others} == {Code.APPROVAL_REQUIRED}
    assert len({told(other)["id"] for other in others} | {name}) == 2
    assert len(cloud.calls) == 1


async def test_used_is_used_also_where_the_target_failed(store: SqlApprovals) -> None:
    """Nobody can say what a target that did not answer has received, so the approval does not come back."""
    broken = ProviderError(Code.TARGET_UNAVAILABLE, "Down.", sent=False)
    parts = Assembly(POLICY, {CLOUD: RecordingProvider(broken)}, approvals=store)
    name = await asked(parts)
    await store.approve(name, approver())
    assert (await refusal(parts)).code is Code.TARGET_UNAVAILABLE
    assert await asked(parts) != name


async def test_fallback_stays_within_the_approval(store: SqlApprovals) -> None:
    """The next target after a failure is one that was approved as well."""
    broken = ProviderError(Code.TARGET_UNAVAILABLE, "Down.", sent=False)
    second, far = RecordingProvider(), RecordingProvider()
    parts = Assembly(POLICY, {CLOUD: RecordingProvider(broken), FAR: far, HERE: second}, approvals=store)
    name = await asked(parts)
    assert (await store.find(name)).case.targets == ("cloud", "here")
    await store.approve(name, approver())
    await send(parts)
    assert (len(second.calls), len(far.calls)) == (1, 0)


async def test_each_rule_that_asks_has_to_be_met(store: SqlApprovals) -> None:
    """Two rules with approvers of their own: the refusal says whose word is missing, until nobody's is."""
    rule = (
        "rules:\n  - {id: money, why: A test, when: {app: support-bot}, "
        "then: {action: require_approval, approvers: [law, finance], approval_lasts: 5m}}\n"
    )
    cloud = RecordingProvider()
    parts = Assembly(POLICY + rule, {CLOUD: cloud}, approvals=store)

    async def missing() -> list[str]:
        error = await refusal(parts)
        return [needed["rule"] for needed in told(error)["waiting"]]

    assert sorted(await missing()) == ["handling.restricted", "money"]
    name = await asked(parts)
    await store.approve(name, approver("officer", "dpo"))
    assert await missing() == ["money"]
    assert cloud.calls == []
    await store.approve(name, approver("lawyer", "law"))
    await send(parts)
    assert len(cloud.calls) == 1


async def test_what_tightens_later_keeps_the_approval(store: SqlApprovals) -> None:
    """The budget turns out to be spent once the approval is used: the request stays inside, by the same approval."""
    limits = "limits:\n  cost: {per_app_per_day: 1 USD, when_spent: local_only}\n"
    cloud, local = RecordingProvider(), RecordingProvider()
    purse = OpenPurse(spent_out=True)
    parts = Assembly(POLICY + limits, {CLOUD: cloud, HERE: local}, approvals=store, ledger=purse)
    name = await asked(parts)
    await store.approve(name, approver())
    await send(parts)
    assert (len(cloud.calls), len(local.calls)) == (0, 1)
    assert events(parts) == ["approval asked for", "approval used"]


async def test_a_denied_request_has_a_code_of_its_own(store: SqlApprovals) -> None:
    """A program that waits can stop."""
    parts = Assembly(POLICY, {CLOUD: RecordingProvider()}, approvals=store)
    name = await asked(parts)
    await store.deny(name, approver())
    error = await refusal(parts)
    assert error.code is Code.APPROVAL_DENIED
    assert told(error)["id"] == name


async def test_who_approved_is_told_to_let_another_send(store: SqlApprovals) -> None:
    """Its own word is not for itself, and the approval stays for who asked."""
    parts = Assembly(POLICY, {CLOUD: RecordingProvider()}, approvals=store)
    name = await asked(parts)
    await store.approve(name, approver("officer"))
    error = await refusal(parts, caller=replace(CALLER, key="officer"))
    assert told(error)["status"] == "approved"
    await send(parts)


async def test_a_client_that_leaves_takes_no_record_with_it(store: SqlApprovals) -> None:
    """Once a claim has begun, what came of it is recorded, whether anybody waits for it or not."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        async def claim(self, case: ApprovalCase) -> ApprovalClaim:
            reached.set()
            await go_on.wait()
            return await store.claim(case)

    parts = Assembly(POLICY, {CLOUD: RecordingProvider()}, approvals=Slow())
    task = asyncio.create_task(send(parts))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await until(lambda: events(parts) == ["approval asked for"])


async def test_a_store_that_fails_lets_nothing_go(store: SqlApprovals) -> None:
    """It cannot be known whether the request is approved, so it is not."""

    class Broken:
        async def claim(self, case: ApprovalCase) -> ApprovalClaim:
            raise GatewayError(Code.APPROVALS_UNAVAILABLE, "The approvals cannot be read.")

    cloud = RecordingProvider()
    parts = Assembly(POLICY, {CLOUD: cloud}, approvals=Broken())
    assert (await refusal(parts)).code is Code.APPROVALS_UNAVAILABLE
    assert cloud.calls == []


async def test_a_preview_asks_nobody(store: SqlApprovals) -> None:
    """Explaining a request neither asks for its approval nor uses it."""
    parts = Assembly(POLICY, {CLOUD: RecordingProvider()}, approvals=store)
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": TEXT}]}).encode()
    _, decision, _ = await parts.pipeline.preview(parts.pipeline.begin(CALLER, Hints(), openai_chat, body))
    assert decision.action.value == "require_approval"
    assert await store.listed() == []
