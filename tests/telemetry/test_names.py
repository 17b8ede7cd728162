"""The table of names agrees with the documentation and with the conventions."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes
from opentelemetry.semconv.schemas import Schemas

from gateway.telemetry import metrics, names
from gateway.telemetry.servers import SERVERS

DOC = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text("utf-8")


@pytest.mark.parametrize("name", [*names.STEPS, *names.ATTRIBUTES])
def test_every_span_and_attribute_is_documented(name: str) -> None:
    """Who looks at a trace finds each name explained in docs/telemetry.md."""
    assert f"`{name}`" in DOC


FAMILIES = {**metrics.COUNTERS, **metrics.WATCHED, **metrics.GAUGES, **metrics.HISTOGRAMS, **SERVERS}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_metric_is_documented_with_its_labels(name: str) -> None:
    """Who writes an alert finds each metric and its labels in docs/telemetry.md."""
    row = next((line for line in DOC.splitlines() if line.startswith(f"| `{metrics.PREFIX}{name}`")), "")
    assert row
    for label in FAMILIES[name][1]:
        assert f"`{label}`" in row


def test_names_from_the_conventions_are_in_the_installed_conventions() -> None:
    """A name that claims to be standard is, in the version that we say we follow."""
    standard = {
        value
        for module in (gen_ai_attributes, error_attributes, http_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    ours = {name for name in names.ATTRIBUTES if not name.startswith("bailiwick.")}
    assert ours <= standard
    assert names.SCHEMA_URL in {schema.value for schema in Schemas}
    assert names.SCHEMA_URL.rpartition("/")[2] in DOC


def test_every_constant_is_in_its_table() -> None:
    """A name that a step may use cannot be missing from the table that is checked."""
    constants = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    assert constants - {names.SCHEMA_URL} == names.STEPS.keys() | names.ATTRIBUTES.keys()
