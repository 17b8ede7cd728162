"""Keys, tokens and passwords."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from gateway.inspection.recognizers.base import TextRecognizer
from gateway.inspection.recognizers.credentials import (
    ApiKeyRecognizer,
    JwtRecognizer,
    PrivateKeyRecognizer,
)
from gateway.inspection.recognizers.issuers import ISSUED
from gateway.inspection.recognizers.passwords import SecretRecognizer

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


def test_many_issuers() -> None:
    """Keys of more than a hundred issuers are known, and each row's own form is found where it stands alone."""
    assert len({row.issuer for row in ISSUED}) > 100
    recognizer = ApiKeyRecognizer()
    for row in ISSUED:
        for fixed in row.fixed.split("|"):
            key = sample(row.before) + fixed + sample(row.rest)
            assert any(key.endswith(value) for value in values(recognizer, f'x = "{key}"')), row.issuer


def sample(pattern: str) -> str:
    """A text that matches the pattern of a row, as random as keys are."""
    rng = random.Random(1)
    return "".join(_sampled(re._parser.parse(pattern), rng))  # type: ignore[attr-defined]


def _sampled(tree: Iterable[Any], rng: random.Random) -> Iterator[str]:
    for kind, value in tree:
        name = str(kind)
        if name == "LITERAL":
            yield chr(value)
        elif name == "IN":
            members = re.compile(_class_of(value))
            yield rng.choice([c for c in string.ascii_letters + string.digits + string.punctuation if members.match(c)])
        elif name == "MAX_REPEAT":
            least, most, inner = value
            for _ in range(max(least, min(most, 1))):
                yield from _sampled(inner, rng)
        elif name == "SUBPATTERN":
            yield from _sampled(value[3], rng)
        elif name == "BRANCH":
            yield from _sampled(value[1][0], rng)


def _class_of(items: Iterable[Any]) -> str:
    parts = {"CATEGORY_WORD": r"\w", "CATEGORY_SPACE": r"\s", "CATEGORY_DIGIT": r"\d"}
    found = ""
    for kind, value in items:
        if str(kind) == "LITERAL":
            found += re.escape(chr(value))
        elif str(kind) == "RANGE":
            found += f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
        else:
            found += parts[str(value)]
    return f"[{found}]"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('api_key = "' + A1 * 3 + '"', A1 * 3),
        ("client-secret: " + A1 * 3, A1 * 3),
        ('"x-api-key": "9f86d081884c7d659a2feaa0c55ad015"', "9f86d081884c7d659a2feaa0c55ad015"),
        ("the token is " + A1 * 2, A1 * 2),
        ("SECRET_KEY='k3yV4lu3W1thD1g1ts'", "k3yV4lu3W1thD1g1ts"),
    ],
)
def test_called_a_key(text: str, key: str) -> None:
    """A random value that is called a key, token or secret is one."""
    assert values(ApiKeyRecognizer(), text) == {key}


@pytest.mark.parametrize(
    "text",
    [
        "token = get_user_token_from_request_v2, secret=settings.OAUTH2_CLIENT_SECRET, key: some/path/to/file2.json",
        'cache-key: 9f86d081884c7d659a2feaa0c55ad015, "token": "9f86d081884c7d659a2feaa0c55ad015b2f4a1c0"',
        "access_token=abcdefghijklmnop1234567, token: 550e8400-e29b-41d4-a716-446655440000, secret = xxxxxxxxxxxx1a",
        "primary key 1234567890123456, keyboard=Logitech-K120-2019, tokenize(text_2_words_and_more)",
    ],
)
def test_not_called_a_key(text: str) -> None:
    """Names, paths, digests, ids and stand-ins are no keys."""
    assert values(ApiKeyRecognizer(), text) == set()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("curl -u admin:s3cr3tPw https://x", "s3cr3tPw"),
        ("sshpass -p 'hunter2x' ssh a@b", "hunter2x"),
        ('{"auths": {"r": {"auth": "dXNlcjpwYXNzd29yZA=="}}}', "dXNlcjpwYXNzd29yZA=="),
        ("machine api.x login bob password s3cr3tPw", "s3cr3tPw"),
        ("<password>hunter2x</password>", "hunter2x"),
        ("Server=db;Uid=sa;Password=P@ssw0rd99;", "P@ssw0rd99"),
        ("redis://:r3dispw@host:6379", "r3dispw"),
        ("PIN: 4821", "4821"),
        ("mot de passe : soleil88", "soleil88"),
        ("La contraseña es girasol88", "girasol88"),
        ("Het wachtwoord is zonnebloem88", "zonnebloem88"),
        ("hasło: slonecznik88", "slonecznik88"),
    ],
)
def test_more_passwords(text: str, secret: str) -> None:
    """On command lines, in configuration files of many kinds, and in other languages."""
    assert secret in values(SecretRecognizer(), text)


def test_other_private_keys() -> None:
    """PuTTY's files and the private part of a JSON Web Key."""
    putty = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAAIHNlY3JldA==\n"
    assert values(PrivateKeyRecognizer(), putty) == {putty}
    part = "a1B2c3D4e5" * 4
    assert values(PrivateKeyRecognizer(), '{"kty":"EC","d":"' + part + '"}') == {part}


def test_offsets_survive_odd_capitals() -> None:
    """A capital that becomes two characters in lower case does not move what is found behind it."""
    assert values(SecretRecognizer(), "\u0130\u0130 password: tr0ub4dor") == {"tr0ub4dor"}
