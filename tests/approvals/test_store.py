"""gateway.approvals.store: an approval is for one request, given by who may, and used once; on every database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.approvals import SqlApprovals, Status
from gateway.approvals.store import KEPT_FOR
from gateway.approvals.values import PENDING_FOR
from gateway.domain.decision import ApprovalNeeded
from gateway.domain.errors import Code, ConfigurationError, GatewayError
from gateway.domain.ports import ApprovalCase
from gateway.sql import open_engine
from support.approvals import CASE, DAY, DPO, HOUR, LEGAL, SECOND, Hands, a_case, approver

pytestmark = pytest.mark.anyio


async def refused(work: Awaitable[object]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await work
    return caught.value


async def approved(store: SqlApprovals, case: ApprovalCase = CASE) -> str:
    """The id of an approval that was asked for and given."""
    name = (await store.claim(case)).id
    assert (await store.approve(name, approver())).status is Status.APPROVED
    return name


async def test_the_same_request_waits_for_one_approval(store: SqlApprovals) -> None:
    """However often it comes; it is told what is asked of whom, and until when."""
    first = await store.claim(CASE)
    again = await store.claim(a_case(decision="d2", key="another key of the app"))
    assert (first.status, first.new, first.waiting) == ("pending", True, (DPO,))
    assert (again.id, again.status, again.new, again.expires) == (first.id, "pending", False, first.expires)
    (kept,) = await store.listed()
    assert kept.case == CASE


async def test_another_binding_is_another_request(store: SqlApprovals) -> None:
    """Its approval is another one, and that of the first does not help it."""
    name = await approved(store)
    other = await store.claim(a_case(binding="f" * 32))
    assert (other.status, other.new) == ("pending", True)
    assert other.id != name


async def test_an_approval_is_used_once(store: SqlApprovals) -> None:
    """After that the same request waits for a new one."""
    name = await approved(store)
    used = await store.claim(a_case(decision="d7"))
    assert (used.id, used.status) == (name, "used")
    next_one = await store.claim(CASE)
    assert (next_one.status, next_one.new) == ("pending", True)
    assert next_one.id != name
    found = await store.find(name)
    assert (found.status, found.used_by) == (Status.USED, "d7")


@pytest.mark.parametrize("gateways", [1, 3])
async def test_of_many_at_once_one_uses_it(open_store: Callable[[], Awaitable[SqlApprovals]], gateways: int) -> None:
    """Through one gateway or several: one goes, and all others wait for one and the same new approval."""
    stores = [await open_store() for _ in range(gateways)]
    for _ in range(5):
        name = await approved(stores[0])
        claims = await asyncio.gather(*[stores[n % gateways].claim(CASE) for n in range(12)])
        assert [claim.id for claim in claims if claim.status == "used"] == [name]
        waiting = {claim.id for claim in claims if claim.status == "pending"}
        assert len(waiting) == 1
        assert sum(claim.new for claim in claims) == 1
        await stores[0].deny(waiting.pop(), approver())
        for store in stores:
            store.now.now += PENDING_FOR  # type: ignore[attr-defined]


async def test_it_survives_a_restart(database_url: str, clock: Hands) -> None:
    """What was asked and approved is in the database, not in the process."""
    before = SqlApprovals.open(database_url, clock)
    name = await approved(before)
    await before.aclose()
    after = SqlApprovals.open(database_url, clock)
    try:
        assert (await after.claim(CASE)).id == name
    finally:
        await after.aclose()


async def test_an_approval_lapses(store: SqlApprovals, clock: Hands) -> None:
    """It holds for as many seconds as the policy gave it, from the word on, and not one longer."""
    name = await approved(store)
    clock.now += DPO.seconds * SECOND - 1
    assert (await store.find(name)).status_at(clock.now) is Status.APPROVED
    clock.now += 1
    assert (await store.find(name)).status_at(clock.now) is Status.EXPIRED
    late = await store.claim(CASE)
    assert (late.status, late.new) == ("pending", True)
    assert (await store.find(name)).status is Status.EXPIRED


async def test_what_nobody_approves_lapses_after_a_week(store: SqlApprovals, clock: Hands) -> None:
    """Then it can no longer be approved, and the same request asks anew."""
    first = await store.claim(CASE)
    assert first.expires == clock.now + 7 * DAY
    clock.now += 7 * DAY
    assert (await refused(store.approve(first.id, approver()))).code is Code.APPROVAL_CLOSED
    assert (await store.claim(CASE)).new


async def test_two_requirements_may_be_met_by_two_people(store: SqlApprovals, clock: Hands) -> None:
    """It takes both, and the shorter time counts, each from the word that it is about."""
    case = a_case(needed=(DPO, LEGAL))
    name = (await store.claim(case)).id
    half = await store.approve(name, approver("officer", "dpo"))
    assert half.status is Status.PENDING
    claim = await store.claim(case)
    assert (claim.status, claim.waiting) == ("pending", (LEGAL,))
    clock.now += 60 * SECOND
    whole = await store.approve(name, approver("lawyer", "law"))
    assert whole.status is Status.APPROVED
    assert whole.expires_at == clock.now + LEGAL.seconds * SECOND
    assert {number: word.key for number, word in whole.words.items()} == {0: "officer", 1: "lawyer"}
    assert (await store.claim(case)).status == "used"


async def test_a_word_that_has_lapsed_must_be_given_again(store: SqlApprovals, clock: Hands) -> None:
    """The first of two does not hold for ever because the second is late."""
    case = a_case(needed=(DPO, LEGAL))
    name = (await store.claim(case)).id
    await store.approve(name, approver("lawyer", "law"))
    clock.now += LEGAL.seconds * SECOND
    late = await store.approve(name, approver("officer", "dpo"))
    assert late.status is Status.PENDING
    assert (await store.claim(case)).waiting == (LEGAL,)
    assert (await store.approve(name, approver("lawyer", "law"))).status is Status.APPROVED


async def test_one_person_may_meet_both_requirements_of_their_group(store: SqlApprovals) -> None:
    """One word is enough for every requirement that names the group."""
    both = a_case(needed=(DPO, ApprovalNeeded("second", ("law", "dpo"), 600)))
    name = (await store.claim(both)).id
    assert (await store.approve(name, approver())).status is Status.APPROVED


async def test_who_may_not_approve(store: SqlApprovals) -> None:
    """Another group, another role, the asker's own key, another tenant, and nobody knows an unknown id."""
    name = (await store.claim(CASE)).id
    wrong = [
        (approver(group="sales"), Code.FORBIDDEN),
        (approver(role="auditor"), Code.FORBIDDEN),
        (approver(role="user"), Code.FORBIDDEN),
        (approver(key=CASE.key), Code.FORBIDDEN),
        (approver(tenant="other"), Code.APPROVAL_NOT_FOUND),
    ]
    for caller, code in wrong:
        assert (await refused(store.approve(name, caller))).code is code
    assert (await refused(store.approve("a0", approver()))).code is Code.APPROVAL_NOT_FOUND
    assert (await store.find(name)).words == {}
    assert (await store.claim(CASE)).status == "pending"


async def test_who_approved_cannot_use_it(store: SqlApprovals) -> None:
    """A second key of the same app could else approve what it then sends itself; the asker's key still can send."""
    name = await approved(store)
    own = await store.claim(a_case(key="officer"))
    assert (own.id, own.status, own.new) == (name, "approved", False)
    assert (await store.claim(CASE)).status == "used"


async def test_approving_twice_changes_nothing(store: SqlApprovals, clock: Hands) -> None:
    """A repeated click gives no more time; once it is used there is nothing left to approve."""
    name = await approved(store)
    before = await store.find(name)
    clock.now += SECOND
    assert await store.approve(name, approver()) == before
    await store.claim(CASE)
    assert (await refused(store.approve(name, approver()))).code is Code.APPROVAL_CLOSED


async def test_a_denial_stands_for_a_week(store: SqlApprovals, clock: Hands) -> None:
    """The same request asks nobody again meanwhile, and what is denied cannot be approved."""
    name = (await store.claim(CASE)).id
    denied = await store.deny(name, approver())
    assert denied.status is Status.DENIED
    assert denied.denied is not None
    assert denied.denied.key == "officer"
    again = await store.claim(CASE)
    assert (again.id, again.status, again.waiting) == (name, "denied", ())
    assert (await refused(store.approve(name, approver("other")))).code is Code.APPROVAL_CLOSED
    clock.now += 7 * DAY
    assert (await store.claim(CASE)).new
    assert (await store.find(name)).status is Status.DENIED


async def test_an_approval_can_be_taken_back(store: SqlApprovals, clock: Hands) -> None:
    """Until it is used, whoever might have given it can deny it, and denying twice changes nothing."""
    name = await approved(store)
    assert (await refused(store.deny(name, approver(group="sales")))).code is Code.FORBIDDEN
    assert (await refused(store.deny(name, approver(role="user")))).code is Code.FORBIDDEN
    first = await store.deny(name, approver("second"))
    clock.now += HOUR
    assert await store.deny(name, approver("third")) == first
    assert (await store.claim(CASE)).status == "denied"
    used = await approved(store, a_case(binding="u" * 32))
    await store.claim(a_case(binding="u" * 32))
    assert (await refused(store.deny(used, approver()))).code is Code.APPROVAL_CLOSED


async def test_listing_is_by_tenant_and_by_what_holds_now(store: SqlApprovals, clock: Hands) -> None:
    """The newest first; what has lapsed is expired, whether anybody looked at it since or not."""
    first = await approved(store)
    clock.now += SECOND
    second = (await store.claim(a_case(binding="2" * 32))).id
    other = (await store.claim(a_case(binding="3" * 32, tenant="other"))).id

    async def names(tenant: str | None, *statuses: Status, limit: int = 100) -> list[str]:
        return [approval.id for approval in await store.listed(tenant, statuses, limit)]

    assert await names("acme") == [second, first]
    assert await names("acme", Status.APPROVED) == [first]
    assert set(await names(None, Status.PENDING)) == {second, other}
    assert await names("acme", limit=1) == [second]
    clock.now += DPO.seconds * SECOND
    assert await names("acme", Status.APPROVED) == []
    assert await names("acme", Status.EXPIRED) == [first]
    assert await names("acme", Status.EXPIRED, Status.PENDING) == [second, first]


async def test_an_app_cannot_fill_the_database(
    store: SqlApprovals, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond so many that wait nothing more is kept; other apps, and what waits already, are not concerned."""
    monkeypatch.setattr("gateway.approvals.store.MOST_WAITING", 5)
    await asyncio.gather(*[store.claim(a_case(binding=f"{number:032}")) for number in range(5)])
    assert (await refused(store.claim(CASE))).code is Code.APPROVAL_REQUIRED
    assert not (await store.claim(a_case(binding=f"{0:032}"))).new
    assert (await store.claim(a_case(binding="e" * 32, app="other"))).new
    clock.now += PENDING_FOR
    assert (await store.claim(CASE)).new


async def test_old_ones_are_forgotten(store: SqlApprovals, clock: Hands) -> None:
    """After ninety days, whatever became of them; the audit log keeps the events."""
    used = await approved(store)
    await store.claim(CASE)
    lapsed = (await store.claim(a_case(binding="2" * 32))).id
    clock.now += KEPT_FOR + SECOND
    await store.claim(a_case(binding="3" * 32))
    for name in (used, lapsed):
        assert (await refused(store.find(name))).code is Code.APPROVAL_NOT_FOUND
    assert len(await store.listed()) == 1


async def test_what_still_holds_is_not_forgotten(store: SqlApprovals, clock: Hands) -> None:
    """However long ago it was asked for."""
    case = a_case(needed=(ApprovalNeeded("long", ("dpo",), 200 * 86_400),))
    name = await approved(store, case)
    clock.now += KEPT_FOR + SECOND
    await store.claim(a_case(binding="3" * 32))
    assert (await store.claim(case)).id == name


@pytest.mark.parametrize("name", ["", "a0", "a" * 23, "\0", "\udc80", "a" + "0" * 21 + "\n", "A" + "0" * 21])
async def test_what_cannot_be_an_id_is_none(store: SqlApprovals, name: str) -> None:
    """Whatever stands in a path or on a command line is answered as an unknown id is."""
    assert (await refused(store.find(name))).code is Code.APPROVAL_NOT_FOUND


async def test_a_database_that_is_gone_lets_nothing_go(store: SqlApprovals, database_url: str) -> None:
    """Asking fails with a code of its own, in the words of the gateway and without the case."""
    engine = open_engine(database_url, durable=True)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE approval_words"))
        connection.execute(sa.text("DROP TABLE approvals"))
    engine.dispose()
    name = "a" + "0" * 21
    for work in (store.claim(CASE), store.find(name), store.approve(name, approver()), store.listed()):
        error = await refused(work)
        assert error.code is Code.APPROVALS_UNAVAILABLE
        assert CASE.binding not in f"{error}{error.detail}"


def test_without_a_database_there_is_nothing_to_show(tmp_path: Path) -> None:
    """A command that only looks makes no file."""
    with pytest.raises(ConfigurationError, match="there is no database"):
        SqlApprovals.open(f"sqlite:///{tmp_path}/approvals.db", create=False)
    assert list(tmp_path.iterdir()) == []
