"""The setting `policy_signatures`: whose signatures a policy needs."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.documents import DocumentError
from gateway.settings import PolicySignatures, load_settings

ALICE, BOB = ("ed25519:" + base64.b64encode(bytes([number] * 32)).decode() for number in (1, 2))
REST = """
targets:
  - {id: t, adapter: openai, zone: local, region: r, model: m, base_url: "http://127.0.0.1/v1",
     context_tokens: 99, max_output_tokens: 9}
models:
  auto: {targets: [t]}
"""


def signatures(folder: Path, text: str) -> PolicySignatures | None:
    path = folder / "bailiwick.yaml"
    path.write_text(f"schema: 1\npolicy: policies\n{text}{REST}")
    return load_settings(path, environ={}).policy_signatures


def test_nobody_need_sign_unless_it_is_said(tmp_path: Path) -> None:
    """Without the setting no signature is asked for."""
    assert signatures(tmp_path, "") is None


def test_who_is_trusted_and_how_many_are_needed(tmp_path: Path) -> None:
    """One is enough unless more are asked for."""
    text = f'policy_signatures: {{trusted: {{alice: "{ALICE}", bob.b: "{BOB}"}}%s}}\n'
    assert signatures(tmp_path, text % "") == PolicySignatures({"alice": ALICE, "bob.b": BOB}, 1)
    assert signatures(tmp_path, text % ", needed: 2") == PolicySignatures({"alice": ALICE, "bob.b": BOB}, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected at least one"),
        ("{needed: 1}", "missing key 'trusted'"),
        ("{trusted: {}}", "expected at least one"),
        ("{trusted: {alice: nonsense}}", "expected a public key such as 'ed25519:…'"),
        (f'{{trusted: {{alice: "{ALICE[:-4]}"}}}}', "expected a public key"),
        (f'{{trusted: {{alice: "{ALICE[8:]}"}}}}', "expected a public key"),
        (f'{{trusted: {{alice: "{ALICE[:-2]}F="}}}}', "expected a public key"),
        (f'{{trusted: {{"al ice": "{ALICE}"}}}}', "'al ice' cannot name a signer"),
        (f'{{trusted: {{alice: "{ALICE}", bob: "{ALICE}"}}}}', "this is the key of alice too: two signers must be two"),
        (f'{{trusted: {{alice: "{ALICE}"}}, needed: 2}}', "2 signers are needed and only 1 are trusted"),
        (f'{{trusted: {{alice: "{ALICE}"}}, needed: 0}}', "0 is less than 1"),
        (f'{{trusted: {{alice: "{ALICE}"}}, need: 1}}', "unknown key 'need'"),
    ],
)
def test_faults(tmp_path: Path, text: str, message: str) -> None:
    """What could let one person count as two, or nobody as somebody, is an error in its place."""
    with pytest.raises(DocumentError, match=r"bailiwick\.yaml:3:") as refused:
        signatures(tmp_path, f"policy_signatures: {text}\n")
    assert message in str(refused.value)
