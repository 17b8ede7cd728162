"""IP addresses."""

from __future__ import annotations

import pytest

from gateway.inspection.recognizers.addresses import IpRecognizer

RECOGNIZER = IpRecognizer()


def found(text: str) -> list[str]:
    return [text[start:end] for start, end, score in RECOGNIZER.hits(text) if score >= 0.5]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "10.1.2.3",
            "192.168.0.1/24",
            "255.255.255.255",
            "::1",
            "2001:db8::ff00:42:8329",
            "2001:db8::1/64",
            "fe80::1%eth0",
        ),
        *("684D:1111:222:3333:4444:5555:6:77", "::ffff:192.168.1.1", "2001:db8:0:0:0:0:0:1"),
    ],
)
def test_found(address: str) -> None:
    """Both versions, with prefix length and zone, in URLs and brackets."""
    assert found(f"from {address}, port 8") == [address]
    assert found(f"[{address}]") == [address]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1.3.6.1.5.5.7.3.1",
            "version 1.2.3.4",
            "Chrome/120.0.99.109",
            "v1.2.3.4",
            "pip==1.2.3.4",
            "300.1.1.1",
            "10:30:15",
        ),
        *("std::vector", "a::b", "00:1A:2B:3C:4D:5E", "1.2.3", "::", "Foo::bar2", "x[1::2]"),
    ],
)
def test_not_found(text: str) -> None:
    """Object identifiers, versions, times, hardware addresses and scopes in code."""
    assert found(text) == []
