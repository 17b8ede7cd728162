"""Requests that need an approval, and those who may give one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from gateway.domain.decision import ApprovalNeeded, Level
from gateway.domain.finding import Found
from gateway.domain.ports import ApprovalCase
from gateway.domain.request import Caller
from gateway.identity.keys import KeyTable
from support.live import Gateway
from support.nursery import client_of
from support.policies import CARDS_AND_CONTACTS

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
DPO = ApprovalNeeded("handling.restricted", ("dpo",), 3600)
LEGAL = ApprovalNeeded("contracts", ("law", "privacy"), 600)

CASE = ApprovalCase(
    binding="0123456789abcdef0123456789abcdef",
    decision="d0190000000000000000000001",
    key="asker",
    tenant="acme",
    app="support-bot",
    group="default",
    user="",
    dialect="openai_chat",
    model="auto",
    level=Level.RESTRICTED,
    found=(Found("CREDIT_CARD", 100, 1),),
    size=120,
    policy="ab" * 32,
    targets=("cloud-eu", "local"),
    hidden=("CREDIT_CARD",),
    needed=(DPO,),
)


def a_case(**changes: Any) -> ApprovalCase:
    return replace(CASE, **changes)


def approver(key: str = "officer", group: str = "dpo", role: str = "admin", tenant: str = "acme") -> Caller:
    return Caller(key=key, tenant=tenant, app="console", group=group, role=role)


@dataclass
class Hands:
    """A clock that is moved by hand: microseconds since the epoch."""

    now: int = 1_790_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


POLICY = f"""\
schema: 1
policy: approvals
version: 1
owner: privacy@example.com
{CARDS_AND_CONTACTS}\
  restricted: {{action: require_approval, regions: [EU], approvers: [dpo], approval_lasts: 1h}}
if_unsure: {{detector_fails: local_only, unreadable_content: local_only, redaction_incomplete: block}}
"""
"""What holds a card number needs the word of a `dpo`, and goes to clouds in the EU only."""


def member(gateway: Gateway, group: str = "dpo", role: str = "admin", **who: str) -> str:
    """A new API key of this group, for a running gateway."""
    keys = KeyTable.open(f"sqlite:///{gateway.state}/identity.db")
    try:
        return keys.create(**{"tenant": "acme", "app": "console", "group": group, "role": role, **who})[1]
    finally:
        keys.close()


@contextmanager
def console(gateway: Gateway, group: str = "dpo", role: str = "admin", **who: str) -> Iterator[httpx.Client]:
    """A client for the admin API, with a new key of this group."""
    client = client_of(gateway, member(gateway, group, role, **who))
    try:
        yield client
    finally:
        client.close()
