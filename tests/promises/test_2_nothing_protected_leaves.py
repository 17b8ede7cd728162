"""Promise 2: no protected value is in the bytes that leave, whatever goes wrong before the egress guard."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from gateway.domain.decision import Decision, Gate, TargetVerdict
from gateway.domain.errors import Code, GatewayError, ProviderError
from gateway.domain.finding import Finding, Span
from gateway.domain.grammar import Grammar
from gateway.domain.record import RecordKind
from gateway.domain.target import Target
from gateway.domain.tree import JsonObject
from gateway.inspection.redact import Pseudonymiser, Redaction
from gateway.inspection.restore import RestoreMap
from gateway.pipeline.guard import EgressRefused
from support.assembly import KEY, Assembly, OpenPurse, RecordingProvider
from support.checkpoint import CLOUD, HERE, OTHER, Checkpoint, allowing, said
from support.exposure import CARD, EMAIL, EVERYTHING, NAME, REDACT_EVERYTHING, exposed
from support.live import Cloud, Setup, cloud_target, local_target
from support.nursery import ForkedGateway, forked_gateway
from support.streams import content_of

# ---- the guard, alone


@pytest.mark.anyio
async def test_what_is_permitted_goes() -> None:
    """With a permitting decision and nothing to hide the guard stands in nobody's way, and the record comes first."""
    gate = Checkpoint()
    await gate.send(CLOUD, allowing(CLOUD), said("Hello"), [NAME])
    assert gate.sent == [said("Hello").decode()]
    assert [record.kind for record in gate.log.records] == [RecordKind.INTENT]


REFUSED: dict[str, tuple[Target, Decision]] = {
    "target not permitted": (CLOUD, allowing(OTHER)),
    "nothing permitted": (CLOUD, allowing()),
    "verdict against it": (CLOUD, allowing(targets=(TargetVerdict("cloud", permitted=False),))),
    "no cloud": (CLOUD, allowing(CLOUD, cloud=False)),
    "wrong region": (CLOUD, allowing(CLOUD, regions=frozenset({"US"}))),
    "no region": (CLOUD, allowing(CLOUD, regions=frozenset())),
    "label missing": (OTHER, allowing(OTHER, provider_must_have=frozenset({"baa"}))),
    "one of two labels missing": (CLOUD, allowing(CLOUD, provider_must_have=frozenset({"baa", "zero-retention"}))),
    "needs approval": (CLOUD, allowing(CLOUD, gate=Gate.REQUIRE_APPROVAL)),
    "blocked": (CLOUD, allowing(CLOUD, gate=Gate.BLOCK)),
    "local, not permitted": (HERE, allowing(CLOUD)),
    "local, blocked": (HERE, allowing(HERE, gate=Gate.BLOCK)),
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", REFUSED)
async def test_the_guard_checks_the_decision_itself(case: str) -> None:
    """Whoever hands the guard a target that the decision does not permit, by verdict or by its terms, sends nothing."""
    target, decision = REFUSED[case]
    gate = Checkpoint()
    with pytest.raises(EgressRefused) as caught:
        await gate.send(target, decision, said("Hello"))
    assert not caught.value.leak
    assert gate.sent == []
    assert gate.log.records == []


TRICKY = 'Zoë "Zo" O\'Hara\\Smith'


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


def _inside(text: str, levels: int) -> str:
    for _ in range(levels):
        text = json.dumps({"to": text})
    return text


SPELT: dict[str, bytes] = {
    "plain": said(f"I am {TRICKY}."),
    "raw UTF-8": json.dumps({"content": f"I am {TRICKY}."}, ensure_ascii=False).encode(),
    "escaped letters": b'{"content": "I am ' + escaped(TRICKY).encode() + b'."}',
    "escaped in capitals": b'{"content": "I am ' + escaped(TRICKY).upper().replace("\\U", "\\u").encode() + b'."}',
    "escaped in a text": said("the log says " + json.dumps(TRICKY)),
    "escaped twice in a text": said("the log says " + json.dumps(json.dumps(TRICKY))),
    "JSON in a string": said(_inside(TRICKY, 1)),
    "JSON in JSON in a string": said(_inside(TRICKY, 3)),
    "member name": json.dumps({"metadata": {TRICKY: 1}}).encode(),
    "member name in a string": said(json.dumps({TRICKY: 1})),
    "percent-encoded": said(f"https://x.example/?q={quote(TRICKY)}"),
    "percent-encoded wholly": said(f"https://x.example/?q={quote(TRICKY, safe='')}"),
    "percent-encoded in small letters": said(
        "https://x.example/?q=" + re.sub("%..", lambda pair: pair[0].lower(), quote(TRICKY, safe=""))
    ),
    "form": said(f"name={quote_plus(TRICKY)}&x=1"),
    "between letters": said(f"xx{TRICKY}yy"),
    "deep": json.dumps({"a": [[[{"b": [TRICKY]}]]]}).encode(),
    "not JSON": f"name={TRICKY}".encode(),
    "broken JSON": said(f"I am {TRICKY}.")[:-1],
}


@pytest.mark.anyio
@pytest.mark.parametrize("form", SPELT)
async def test_the_guard_finds_a_value_in_each_spelling(form: str) -> None:
    """A value that had to be hidden is found in the final bytes however it is spelt, and they stay."""
    body = SPELT[form]
    gate = Checkpoint()
    with pytest.raises(EgressRefused) as caught:
        await gate.send(CLOUD, allowing(CLOUD), body, ["harmless", TRICKY])
    assert caught.value.leak
    assert gate.sent == []
    assert gate.log.records == []


@pytest.mark.anyio
async def test_the_guard_finds_numbers_and_short_names() -> None:
    """A card as a JSON number and a name of three letters are found; the same letters in a longer word are not."""
    for body, value in ((b'{"seed": 4242424242424242}', "4242424242424242"), (said("Ask Eva."), "Eva")):
        gate = Checkpoint()
        with pytest.raises(EgressRefused):
            await gate.send(CLOUD, allowing(CLOUD), body, [value])
    gate = Checkpoint()
    await gate.send(CLOUD, allowing(CLOUD), said("An Evaluation"), ["Eva"])
    assert len(gate.sent) == 1


@pytest.mark.anyio
async def test_local_targets_get_everything() -> None:
    """What must not leave may stay: a local target gets the values themselves."""
    gate = Checkpoint()
    await gate.send(HERE, allowing(HERE), said(f"I am {NAME}"), [NAME])
    assert len(gate.sent) == 1


# ---- a redactor that fails


class Blind(Pseudonymiser):
    """Says what had to be hidden, and hides nothing."""

    def redact(
        self, tree: JsonObject, findings: Sequence[Finding], tenant: str, grammar: Grammar | None = None
    ) -> Redaction:
        done = super().redact(tree, findings, tenant, grammar)
        return Redaction(tree, done.mapping, done.hidden)


class Forgetful(Pseudonymiser):
    """Hides all but the last finding, and does not know of that one."""

    def redact(
        self, tree: JsonObject, findings: Sequence[Finding], tenant: str, grammar: Grammar | None = None
    ) -> Redaction:
        return super().redact(tree, findings[:-1], tenant, grammar)


class Idle(Pseudonymiser):
    """Does nothing and says so."""

    def redact(
        self, tree: JsonObject, findings: Sequence[Finding], tenant: str, grammar: Grammar | None = None
    ) -> Redaction:
        return Redaction(tree, RestoreMap({}), ())


class Careless(Pseudonymiser):
    """Hides one place of a value, and leaves it at another."""

    def redact(
        self, tree: JsonObject, findings: Sequence[Finding], tenant: str, grammar: Grammar | None = None
    ) -> Redaction:
        done = super().redact(tree, findings, tenant, grammar)
        return Redaction({**done.tree, "user": f"crm/{EMAIL}"}, done.mapping, done.hidden)


FAILING = {"blind": Blind(KEY), "forgetful": Forgetful(KEY), "idle": Idle(KEY), "careless": Careless(KEY)}


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", FAILING)
async def test_what_could_not_be_hidden_is_answered_here(fault: str, stream: bool) -> None:
    """When the redactor misses a value, the policy is asked again with that fact, and the answer is a local one."""
    cloud, here = RecordingProvider(), RecordingProvider()
    assembly = Assembly(REDACT_EVERYTHING, {CLOUD: cloud, HERE: here}, redactor=FAILING[fault])
    text = f"{NAME} has the address {EMAIL}"
    assert text in content_of(await assembly.ask(text, stream=stream))
    assert cloud.calls == []
    assert len(here.calls) == 1
    (sent,) = (record for record in assembly.log.records if record.kind is RecordKind.INTENT)
    assert sent.target == "here"
    assert sent.redaction_incomplete
    assert "if_unsure.redaction_incomplete" in sent.because


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAILING)
async def test_what_could_not_be_hidden_is_refused(fault: str) -> None:
    """Where the policy says block, or no local model may answer, the request goes nowhere."""
    for policy, targets in (
        (REDACT_EVERYTHING.replace("redaction_incomplete: local_only", "redaction_incomplete: block"), (CLOUD, HERE)),
        (REDACT_EVERYTHING, (CLOUD, OTHER)),
    ):
        providers = {target: RecordingProvider() for target in targets}
        assembly = Assembly(policy, providers, redactor=FAILING[fault])
        with pytest.raises(GatewayError) as caught:
            await assembly.ask(f"{NAME} has the address {EMAIL}")
        assert caught.value.code in (Code.BLOCKED, Code.NO_TARGET)
        assert exposed(str(caught.value)) == []
        assert [call for provider in providers.values() for call in provider.calls] == []
        kinds = [record.kind for record in assembly.log.records]
        assert kinds[-1] is RecordKind.REFUSAL
        assert RecordKind.INTENT not in kinds


@pytest.mark.anyio
async def test_a_good_redactor_passes() -> None:
    """The same request with the real redactor goes to the cloud, without the values."""
    cloud = RecordingProvider()
    assembly = Assembly(REDACT_EVERYTHING, {CLOUD: cloud, HERE: RecordingProvider()})
    text = f"{NAME} has the address {EMAIL}"
    assert text in content_of(await assembly.ask(text))
    assert len(cloud.calls) == 1
    assert exposed(cloud.bodies) == []


@pytest.mark.anyio
async def test_a_finding_at_no_place_is_an_error() -> None:
    """A finding that the redactor cannot reach in the tree is not passed over in silence."""
    span = Span(0, len(NAME), "PERSON", 100)
    with pytest.raises(ValueError, match="place"):
        Pseudonymiser(KEY).redact({"a": NAME}, [Finding(("b",), span)], "acme")
    with pytest.raises(ValueError, match="place"):
        Pseudonymiser(KEY).redact({"a": {"b": NAME}}, [Finding(("a",), span)], "acme")


# ---- more than one try


def passing(status: int) -> ProviderError:
    return ProviderError(Code.TARGET_UNAVAILABLE, "Busy.", status=status, retry_after=0.0)


@pytest.mark.anyio
async def test_each_try_passes_the_guard() -> None:
    """Retries and fallbacks get their own permit each, for bytes without the values; the last resort is local."""
    cloud = RecordingProvider(*(passing(429) for _ in range(3)))
    other = RecordingProvider(*(passing(429) for _ in range(3)))
    here = RecordingProvider()
    assembly = Assembly(REDACT_EVERYTHING, {CLOUD: cloud, OTHER: other, HERE: here})
    assert EVERYTHING in content_of(await assembly.ask(EVERYTHING))
    assert (len(cloud.calls), len(other.calls), len(here.calls)) == (3, 3, 1)
    assert exposed(cloud.bodies + other.bodies, (NAME, EMAIL, CARD)) == []
    for call in cloud.calls + other.calls:
        assert call.permit.covers(call.target, hashlib.sha256(call.body).digest())
        assert call.traceparent is None
    intents = [record for record in assembly.log.records if record.kind is RecordKind.INTENT]
    assert [record.attempt for record in intents] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.anyio
async def test_a_spent_budget_opens_no_other_way_out() -> None:
    """When the money for clouds is gone, the decision made anew sends the request to a local model only."""
    cloud, here = RecordingProvider(), RecordingProvider()
    assembly = Assembly(REDACT_EVERYTHING, {CLOUD: cloud, HERE: here}, ledger=OpenPurse(spent_out=True))
    assert EVERYTHING in content_of(await assembly.ask(EVERYTHING))
    assert cloud.calls == []
    assert len(here.calls) == 1


# ---- the whole, over the network


@pytest.fixture(scope="module")
def gateway(cloud: Cloud, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedGateway]:
    """Two clouds that work, two that fail, and a local model; everything is hidden and sent."""
    setup = Setup(
        tmp_path_factory.mktemp("promise2"),
        [
            cloud_target("first", cloud.base_url),
            cloud_target("second", cloud.base_url),
            cloud_target("down", cloud.base_url, model="scripted-500"),
            cloud_target("busy", cloud.base_url, model="scripted-429"),
            local_target(file=str(tiny_model), context_tokens="512", max_output_tokens="8"),
        ],
        {
            "clouds": "{targets: [first, second], rank: listed}",
            "failing": "{targets: [down, busy, local], rank: listed}",
        },
        REDACT_EVERYTHING,
    )
    with forked_gateway(setup) as running:
        yield running


FAULTS = ("500", "429", "503", "reset", "reset-early", "malformed", "empty", "truncated", "redirect", "error-event")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_brings_a_value_out(gateway: ForkedGateway, cloud: Cloud, fault: str, stream: bool) -> None:
    """Whatever a provider does, each request that arrives is without the values, and the same every time."""
    cloud.forget()
    cloud.script(fault, retry_after=0.01)
    gateway.chat(EVERYTHING, model="clouds", stream=stream)
    bodies = cloud.bodies()
    assert len(bodies) >= 1
    assert exposed(json.dumps(cloud.received())) == []
    assert len({json.dumps(json.loads(body)["messages"]) for body in bodies}) == 1


def test_the_last_resort_is_local(gateway: ForkedGateway, cloud: Cloud) -> None:
    """When every cloud fails for good, the local model answers; what the clouds got was without the values."""
    cloud.forget()
    answer = gateway.chat(EVERYTHING, model="failing", max_tokens=2)
    assert answer.headers["x-bailiwick-target"] == "local"
    assert len(cloud.bodies()) >= 2
    assert exposed(cloud.bodies()) == []
