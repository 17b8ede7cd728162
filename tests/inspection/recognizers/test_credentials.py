"""Keys, tokens and passwords."""

from __future__ import annotations

import pytest

from gateway.inspection.recognizers.base import TextRecognizer
from gateway.inspection.recognizers.credentials import (
    ApiKeyRecognizer,
    JwtRecognizer,
    PrivateKeyRecognizer,
    SecretRecognizer,
)

A1 = "a1B2c3D4e5"


def values(recognizer: TextRecognizer, text: str) -> set[str]:
    return {text[start:end] for start, end, _ in recognizer.hits(text)}


@pytest.mark.parametrize(
    "key",
    [
        *("sk-" + A1 * 3, "sk-proj-" + A1 * 4, "sk-ant-api03-" + A1 * 5, "sk_live_" + A1 * 2, "rk_test_" + A1 * 2),
        *(
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_" + (A1 * 4)[:36],
            "github_pat_" + A1 * 6,
            "glpat-" + A1 * 2,
            "npm_" + (A1 * 4)[:36],
        ),
        *("xoxb-123456789012-" + A1, "AIza" + (A1 * 4)[:35], "hf_" + A1 * 3, "SG." + A1 * 2 + "ab." + A1 * 4 + "abc"),
        *("dop_v1_" + "0a" * 32, "AC" + "0f" * 16, "12345678:AA" + (A1 * 4)[:33], "gsk_" + A1 * 5, "dapi" + "0a" * 16),
    ],
)
def test_issued_keys(key: str) -> None:
    """Keys are known by what their issuers put in front."""
    assert values(ApiKeyRecognizer(), f"use {key} for it") == {key}


def test_named_keys() -> None:
    """A long random string that is called a key is one; a word or a path is not."""
    recognizer = ApiKeyRecognizer()
    assert values(recognizer, 'api_key = "9fK2mQ8xL4pR7tV1wZ3y"') == {"9fK2mQ8xL4pR7tV1wZ3y"}
    assert values(recognizer, "the token is 9fK2mQ8xL4pR7tV1wZ3y") == {"9fK2mQ8xL4pR7tV1wZ3y"}
    assert values(recognizer, "token: aaaaaaaaaaaaaaaaaaaa, secret = get_secret_from_environment") == set()


def test_private_keys() -> None:
    """A key block is found whole, and also where its end is missing or its line ends are escapes."""
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 4
    block = f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----"
    recognizer = PrivateKeyRecognizer()
    assert values(recognizer, f"here: {block} bye") == {block}
    escaped = block.replace("\n", "\\n")
    assert values(recognizer, f"x {escaped} y") == {escaped}
    cut = block[:100]
    assert values(recognizer, cut) == {cut}
    assert values(recognizer, "-----BEGIN PUBLIC KEY-----") == set()


def test_tokens() -> None:
    """A JSON Web Token is found, in an authorization header too."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJlLXZhbHVl"
    assert values(JwtRecognizer(), f"Authorization: Bearer {token}") == {token}
    assert token in values(SecretRecognizer(), f"Authorization: Bearer {token}")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgres://app:s3cr3t-pw@db.local/x", "s3cr3t-pw"),
        ("my password is hunter2!", "hunter2"),
        ('password: "correct horse"', "correct horse"),
        ("PASSWORD=tr0ub4dor&3", "tr0ub4dor&3"),
        ("Das Passwort ist geheim77", "geheim77"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ),
    ],
)
def test_passwords(text: str, secret: str) -> None:
    """Passwords are found by the word before them, and in connection URLs."""
    assert secret in values(SecretRecognizer(), text)


@pytest.mark.parametrize(
    "text",
    [
        "password: str, password = request.form['password'], password=os.environ['X']",
        "My password is wrong and the password is expired. Forgot password? Password: required",
        "postgres://user:password@localhost/db and https://example.org:8080/a@b",
        "password=<your password>, pwd: ${PWD}, password: ********, the opinion is: great",
    ],
)
def test_no_passwords(text: str) -> None:
    """Code, prose and placeholders are no passwords."""
    assert values(SecretRecognizer(), text) == set()
