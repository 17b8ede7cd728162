"""Hints can only make an outcome stricter, and one that cannot be read is an error."""

from __future__ import annotations

import pytest

from gateway.domain.decision import Level
from gateway.domain.errors import Code, GatewayError
from gateway.domain.request import Hints
from gateway.http.hints import read_hints
from support.assembly import CALLER


def read(**headers: str) -> Hints:
    return read_hints({name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}, CALLER)


def test_without_headers_there_are_none() -> None:
    """The usual case."""
    assert read() == Hints()


def test_all_of_them() -> None:
    """Level in any case, money in dollars rounded up to a nano-dollar, seconds to a millisecond, the user as text."""
    hints = read(
        x_bailiwick_user="müller",
        x_bailiwick_min_level=" Restricted ",
        x_bailiwick_max_cost="0.0000000001",
        x_bailiwick_max_latency="1.23456",
        x_bailiwick_app="support-bot",
        x_bailiwick_labels="Patient, contract-draft,patient ,a.b_1",
        x_bailiwick_conversation=" Gespräch 7 ",
    )
    labels = ("a.b_1", "contract-draft", "patient")
    assert hints == Hints("müller", Level.RESTRICTED, 1, 1.235, labels, "Gespräch 7")  # type: ignore[arg-type]


def test_a_user_is_cut_and_may_be_any_bytes() -> None:
    """It is only ever hashed."""
    assert len(read(x_bailiwick_user="x" * 1000).user) == 256
    assert read_hints({b"x-bailiwick-user": b"\xff\xfe"}, CALLER).user


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("x_bailiwick_min_level", ("", "secret", "3", "public,restricted")),
        ("x_bailiwick_max_cost", ("", "-1", "NaN", "inf", "1e99", "1,5", "$1", "0x1")),
        ("x_bailiwick_max_latency", ("", "0", "-1", "nan", "86400", "1s")),
        (
            "x_bailiwick_labels",
            ("", "a,,b", "a,", "-a", "a b", "ä", "a;b", "x" * 65, ",".join(f"l{n}" for n in range(17)), "K\u212a"),
        ),
        ("x_bailiwick_conversation", ("", "  ", "x" * 257)),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_the_header(header: str, values: tuple[str, ...]) -> None:
    """Ignoring it would be looser than was asked for."""
    for value in values:
        with pytest.raises(GatewayError) as caught:
            read(**{header: value})
        assert caught.value.code is Code.INVALID_REQUEST
        assert caught.value.param == header.replace("_", "-")
        assert not value or value not in caught.value.public


def test_an_app_is_asserted_and_not_chosen() -> None:
    """With another app's name the call was made with the wrong key."""
    with pytest.raises(GatewayError) as caught:
        read(x_bailiwick_app="hr-assistant")
    assert caught.value.code is Code.FORBIDDEN
    assert "hr-assistant" not in caught.value.public


def test_labels_have_one_order() -> None:
    """Sixteen are the most, each of 64 characters; however they were written, equal sets are equal hints."""
    names = [f"label-{number:02}" for number in range(16)]
    assert read(x_bailiwick_labels=",".join(names)).labels == tuple(names)
    assert read(x_bailiwick_labels=" , ".join(reversed([*names, *names])).upper()) == Hints(labels=tuple(names))
    assert read(x_bailiwick_labels="x" * 64).labels == ("x" * 64,)
