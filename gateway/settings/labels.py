"""What providers have agreed to: the labels of a target, some with evidence and a last day."""

from __future__ import annotations

from gateway.documents import Node
from gateway.settings.values import LabelTerms


def read_labels(node: Node) -> tuple[frozenset[str], tuple[LabelTerms, ...]]:
    """The names of all labels that hold for ever, and the terms of those that have any written down. A label is a text,
    or a mapping with `name`, `evidence` and perhaps `expires`."""
    lasting: set[str] = set()
    terms: dict[str, LabelTerms] = {}
    for item in [node] if node.kind in ("text", "mapping") else node.sequence(allow_empty=True):
        stated = _terms(item) if item.kind == "mapping" else LabelTerms(item.text())
        if not stated.name:
            continue
        if stated.name in lasting or stated.name in terms:
            item.fail(f"'{stated.name}' is listed twice")
        if stated.expires is None:
            lasting.add(stated.name)
        if stated.evidence:
            terms[stated.name] = stated
    return frozenset(lasting), tuple(terms.values())


def _terms(node: Node) -> LabelTerms:
    found = node.mapping(("name", "evidence", "expires"), ("name", "evidence"))
    return LabelTerms(
        name=found["name"].text(),
        evidence=found["evidence"].text(),
        expires=found["expires"].date() if "expires" in found else None,
    )
