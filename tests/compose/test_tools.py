"""The parts that the command line borrows."""

from __future__ import annotations

from pathlib import Path

from gateway.compose import open_key_store
from gateway.settings import load_settings
from support.live import Setup, cloud_target


def test_keys_are_made_where_the_gateway_looks(tmp_path: Path) -> None:
    """The table of keys is the one of the settings' storage."""
    setup = Setup(tmp_path, [cloud_target("a", "http://127.0.0.1:9/v1")], {"auto": "{targets: [a]}"})
    settings = load_settings(setup.write(), environ={})
    with open_key_store(settings) as keys:
        made, _ = keys.create(tenant="acme", app="bot")
    assert (tmp_path / "state" / "identity.db").exists()
    with open_key_store(settings) as keys:
        assert [key.id for key in keys.list()] == [made]
