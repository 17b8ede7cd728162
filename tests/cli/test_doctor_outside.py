"""gateway.cli.doctor_outside: labels that end soon, and channels that do not answer, are warnings."""

from __future__ import annotations

import socket
from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.cli.checks import Check, State
from gateway.cli.doctor_outside import channel_check, label_checks
from gateway.settings import ChannelSettings, TargetSettings, load_settings
from support.live import Setup, cloud_target

TODAY = date(2027, 1, 1)


def target(folder: Path, labels: str) -> TargetSettings:
    """As it is in a settings file."""
    setup = Setup(folder, [cloud_target("a", "https://a.example/v1", labels=labels)], {"auto": "{targets: [a]}"})
    return load_settings(setup.write(), environ={}).targets[0]


def checked(folder: Path, labels: str, today: date = TODAY) -> list[Check]:
    return list(label_checks(target(folder, labels), today))


def test_labels_are_told_with_their_evidence(tmp_path: Path) -> None:
    """Each label of which something is written down, with where it is written; plain ones are not checked."""
    assert checked(tmp_path, "[zero-retention]") == []
    (check,) = checked(
        tmp_path, "[eu, {name: baa, evidence: contract 2026-14, expires: 2027-12-31}, {name: dpa, evidence: annex B}]"
    )
    assert check == Check("labels a", State.OK, "baa (contract 2026-14) until 2027-12-31; dpa (annex B)")


@pytest.mark.parametrize(
    ("left", "state", "said"),
    [
        (31, State.OK, "until 2027-02-01"),
        (30, State.WARNING, "until 2027-01-31, 30 days left"),
        (0, State.WARNING, "until 2027-01-01, 0 days left"),
        (-1, State.WARNING, "EXPIRED on 2026-12-31"),
    ],
)
def test_a_label_that_ends_soon_is_a_warning(tmp_path: Path, left: int, state: State, said: str) -> None:
    """From thirty days before its last day on, and after it."""
    (check,) = checked(tmp_path, f"[{{name: baa, evidence: c, expires: {TODAY + timedelta(days=left)}}}]")
    assert (check.state, said in check.detail) == (state, True), check


def test_channels_are_connected_to_and_told_nothing() -> None:
    """The host is told and the rest of the URL is not, since it may be a secret."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"http://127.0.0.1:{port}/T0/s3cret"
        (check,) = channel_check(ChannelSettings("chat", url, headers={"x-token": "s3cret"}))
        assert check == Check("channel chat", State.OK, f"127.0.0.1:{port}, with a secret")
        server.settimeout(5)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(1) == b""
    (away,) = channel_check(ChannelSettings("chat", url))
    assert away.state is State.WARNING
    assert "s3cret" not in away.detail
