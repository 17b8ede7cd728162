"""Reading configuration files: strict, located YAML 1.2.

A file is a tree of `Node`s that know their line and column. Their accessors check types and *collect* problems
instead of stopping at the first, so that a person sees everything that is wrong at once, each with its place and,
where there is one, the word that was probably meant:

    root = parse(text, "policy.yaml")
    fields = root.mapping(("name", "size"), required=("name",))
    name = fields["name"].text()
    root.problems.check()          # raises DocumentError with all problems

An accessor that has reported a problem returns a harmless stand-in (an empty text, zero, the first word), so that
reading goes on; the document must not be used before `Problems.check` has passed.

Stricter than YAML on purpose: what two readers could understand differently (duplicate keys, anchors, aliases,
tags, merge keys, directives, several documents, characters that change the direction of text) is an error. Scalars
follow the core schema of YAML 1.2.2, section 10.3.2: ``NO`` is the text NO.
"""

from __future__ import annotations

from gateway.documents.node import Node
from gateway.documents.problems import DocumentError, Problem, Problems, nearest
from gateway.documents.reading import MAX_BYTES, MAX_DEPTH, contents, parse, read

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "DocumentError",
    "Node",
    "Problem",
    "Problems",
    "contents",
    "nearest",
    "parse",
    "read",
]
