"""The language for editors: JSON Schema (draft 2020-12) of policy files and of test files, with a sentence on each key.

An editor that knows the schema completes keys and marks slips while somebody types. It is a help, not the judge: what
names what (a data type, a rule, a target) only ``bailiwick policy check`` can tell.
"""

from __future__ import annotations

import json

from gateway.domain.tree import JsonObject
from gateway.policy.reference.policy import schema_of_policies
from gateway.policy.reference.tests import schema_of_tests

__all__ = ["as_text", "schema_of_policies", "schema_of_tests"]


def as_text(schema: JsonObject) -> str:
    """The schema as it is shipped: the same bytes each time."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
