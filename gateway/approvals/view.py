"""An approval as data: for the admin API and for ``bailiwick approvals``. Ids, names, counts and times only."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.approvals.values import SECOND, Approval, Status, Word
from gateway.domain.tree import Json, JsonObject


def as_json(approval: Approval, now: int) -> JsonObject:
    """Every field has the same name and unit in all versions. `now` is microseconds since the epoch; times are ISO 8601
    (UTC), ages and durations seconds."""
    case = approval.case
    status = approval.status_at(now)
    lapsed = approval.waiting(now) if status is Status.PENDING else ()
    return {
        "id": approval.id,
        "status": status.value,
        "asked_by": {
            "key": case.key,
            "tenant": case.tenant,
            "app": case.app,
            "group": case.group,
            "user": case.user or None,
        },
        "decision": case.decision,
        "dialect": case.dialect,
        "model": case.model,
        "level": case.level.word,
        "found": [{"entity": item.entity, "percent": item.percent, "distinct": item.distinct} for item in case.found],
        "body_bytes": case.size,
        "policy": case.policy,
        "targets": list(case.targets),
        "hidden_from_clouds": list(case.hidden),
        "needed": [
            {
                "rule": needed.rule,
                "approvers": list(needed.approvers),
                "lasts_seconds": needed.seconds,
                "given": None if number in lapsed else _word(approval.words.get(number)),
            }
            for number, needed in enumerate(case.needed)
        ],
        "asked_at": in_iso(approval.asked_at),
        "age_seconds": (now - approval.asked_at) // SECOND,
        "expires_at": in_iso(approval.expires_at),
        "denied": _word(approval.denied),
        "used": None if approval.used_at is None else {"decision": approval.used_by, "at": in_iso(approval.used_at)},
    }


def in_iso(microseconds: int) -> str:
    """Whole seconds, such as ``2026-11-21T15:04:05Z``."""
    return datetime.fromtimestamp(microseconds // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _word(word: Word | None) -> Json:
    return None if word is None else {"key": word.key, "at": in_iso(word.at)}
