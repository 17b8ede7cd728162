"""The archive: what was in force can be had back, exactly, by its hash."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import ConfigurationError
from gateway.policy import compile_policy, evaluate, load
from gateway.policy.archive import decoded, keep, load_archived
from gateway.policy.hash import canonical, policy_hash
from gateway.policy.schema import Policy
from gateway.policy.store import PolicyStore
from support.policies import BASE, TARGETS, document, facts, found, rule

RICH: dict[str, Any] = document(
    mode="enforce",
    answers={"hide": ["payment data"]},
    handling={
        **BASE["handling"],
        "restricted": {"action": "require_approval", "approvers": ["dpo"], "approval_lasts": "1h", "regions": ["EU"]},
    },
    limits={
        "latency": {"first_token": "1500ms"},
        "cost": {"per_request": "0.000001 USD"},
        "scopes": [{"for": {"app": ["a", "b"], "tenant": "t"}, "latency": {"first_token": "2s"}}],
        "ceiling": {"cost": {"per_app_per_day": "100 USD"}},
    },
    rules=[
        rule(
            "timed", {"time": {"days": "mon-fri", "hours": "08:00-18:00", "zone": "Europe/Berlin"}}, {"regions": ["EU"]}
        ),
        rule("counted", {"contains": {"any_of": ["health data"], "at_least": 3}}, {"action": "block"}),
        rule("labelled", {"declared": ["patient"]}, {"redact": ["contact details"], "tell_user": "Grüße"}),
        rule("kept", {"app": "x"}, {"retain_days": 30, "log_content": "encrypted", "notify": ["privacy"]}),
        rule(
            "trial", {"level": "internal or higher"}, {"cost_per_request": "0.01 USD"}, mode="audit", until="2027-01-31"
        ),
    ],
    exceptions=[
        {
            "id": "EX-1",
            "lifts": "counted",
            "for": {"user": "Ann B."},
            "approved_by": "dpo",
            "ticket": "T",
            "expires": "2026-12-31",
        }
    ],
)


def policy(source: dict[str, Any]) -> Policy:
    return load(json.dumps(source))[0]


@pytest.mark.parametrize("source", [document(), RICH], ids=["plain", "rich"])
def test_canonical_json_gives_the_policy_back(source: dict[str, Any]) -> None:
    """Every part of a policy survives the way through the archive, to the last field."""
    original = policy(source)
    again = decoded(canonical(original))
    assert again == original
    assert compile_policy(again).id == compile_policy(original).id


def test_every_type_is_what_it_was() -> None:
    """Dates are dates, money whole numbers, seconds floats, lists tuples."""
    again = decoded(canonical(policy(RICH)))
    assert again.waivers[0].expires == date(2026, 12, 31)
    assert isinstance(again.limits.first_token, float)
    assert type(again.limits.per_request) is int
    assert isinstance(again.rules[0].when.names, tuple)
    hash(again)


def test_a_policy_is_kept_and_loaded_by_its_hash(tmp_path: Path) -> None:
    """The archive holds canonical JSON, whose SHA-256 is the name, and the sources beside it; only its owner may read
    them."""
    original = policy(RICH)
    folder = tmp_path / "state" / "policies"
    kept = keep(folder, compile_policy(original), {"a.yaml": b"# mine\n", "parents/b.yaml": b"# theirs\n"})
    assert kept.name == f"{policy_hash(original)}.json"
    assert kept.read_bytes() == canonical(original)
    assert (folder / "sources" / kept.stem / "parents" / "b.yaml").read_bytes() == b"# theirs\n"
    assert folder.stat().st_mode & 0o077 == 0
    loaded = load_archived(folder, policy_hash(original))
    assert loaded.source == original
    request = facts(found=found(MEDICATION=3), user="Ann B.")
    assert evaluate(loaded, request, TARGETS) == evaluate(compile_policy(original), request, TARGETS)


def test_an_archive_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    """A kept policy that is not the one of its hash is never used, in whatever way it was changed."""
    original = policy(RICH)
    kept = keep(tmp_path, compile_policy(original), {})
    good = kept.read_text()
    for changed in (
        good.replace('"block"', '"allow"'),
        good[:-1],
        "{}",
        "[]",
        "null",
        good.replace('"schema":1', '"schema":2'),
    ):
        kept.write_text(changed)
        with pytest.raises(ConfigurationError):
            load_archived(tmp_path, policy_hash(original))
    keep(tmp_path, compile_policy(original), {})
    assert load_archived(tmp_path, policy_hash(original)).source == original


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"version":7', '"version":"7"'),
        ('"version":7', '"version":true'),
        ('"name":"acme",', ""),
        ('"owner"', '"owners"'),
        ('"audit":false', '"audit":0'),
        ('"expires":"2026-12-31"', '"expires":"tomorrow"'),
        ('"percent":50', '"percent":50.5'),
        ('"action":"block"', '"action":"shrug"'),
    ],
)
def test_values_of_another_type_are_refused(before: str, after: str) -> None:
    """The decoder takes what the encoder writes and nothing that merely looks like it."""
    data = canonical(policy(RICH)).decode()
    assert before in data
    with pytest.raises(ConfigurationError, match="is not an archived policy"):
        decoded(data.replace(before, after, 1).encode())


def test_archives_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """Where only the source file was kept, it is loaded, and must still have its hash."""
    original = policy(document())
    (tmp_path / f"{policy_hash(original)}.yaml").write_text(json.dumps(document()))
    assert load_archived(tmp_path, policy_hash(original)).source == original
    (tmp_path / f"{policy_hash(original)}.yaml").write_text(json.dumps(document(version=8)))
    with pytest.raises(ConfigurationError, match="has been changed"):
        load_archived(tmp_path, policy_hash(original))
    with pytest.raises(ConfigurationError, match="holds no policy of the hash"):
        load_archived(tmp_path, "0" * 64)


def test_every_tenants_policy_is_archived(tmp_path: Path) -> None:
    """A joined policy stands in no file, and can be had back all the same; its sources are those it was made of."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "all.yaml").write_text(json.dumps(document(policy="all")))
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(json.dumps({**document(policy=name), "for": {"tenant": [name]}}))
    archive = tmp_path / "state"
    store = PolicyStore(folder, archive=archive)
    for tenant in ("", "a", "b"):
        compiled = store.for_tenant(tenant)
        assert load_archived(archive, compiled.id.hash).source == compiled.source
    sources = archive / "sources" / store.for_tenant("a").id.hash
    assert sorted(path.name for path in sources.iterdir()) == ["a.yaml", "all.yaml"]
