"""The rules of one grammar, and how much they ask of llama.cpp. Pure.

llama.cpp follows all readings of what is written so far side by side, and for each token it tries every candidate of
the vocabulary against every reading. So alternatives share the rule of their common beginning wherever they are texts,
and how many readings may be open at once is counted and bounded.
"""

from __future__ import annotations

from adapters.llama_cpp.gbnf import PRIMITIVES, json_text, quoted
from adapters.llama_cpp.schema_join import error

MAX_RULES = 8000
MAX_GRAMMAR_BYTES = 256 * 1024
MAX_OPEN = 256
"""Readings that may be open at once: each costs milliseconds a token with a large vocabulary."""


class Rules:
    """Rules by name. Methods that make one raise `BadRequest`, naming `where`, when a limit is reached."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}
        self._open: dict[str, tuple[str, int]] = {}  # of a rule: how it begins, and how many readings it leaves open
        self._constants: dict[str, dict[str, str]] = {}  # of an expression that is one of several texts: these

    def text(self, root_rule: str, where: str) -> str:
        """The whole grammar."""
        grammar = "\n".join(
            [f"root ::= {root_rule}"]
            + [f"{name} ::= {rule}" for name, rule in self._rules.items()]
            + [f"{name} ::= {rule}" for name, rule in PRIMITIVES.items()]
        )
        if len(grammar) > MAX_GRAMMAR_BYTES:
            raise error(where, f"needs a grammar of more than {MAX_GRAMMAR_BYTES // 1024} kB")
        return grammar

    def reserved(self, where: str) -> str:
        """The name of a rule that is written later."""
        return self.rule("", where)

    def rule(self, text: str, where: str) -> str:
        """The name of a new rule."""
        if len(self._rules) >= MAX_RULES:
            raise error(where, f"needs more than {MAX_RULES} grammar rules")
        name = f"r{len(self._rules)}"
        self._rules[name] = text
        return name

    def write(self, name: str, shape: str) -> None:
        """Make a reserved rule the same as another expression."""
        self._rules[name] = shape
        if shape in self._open:
            self._open[name] = self._open[shape]

    def one_of(self, texts: dict[str, str], where: str) -> str:
        """An expression for one of `texts` and what follows it, as a tree of their common beginnings."""
        ordered = sorted(texts)
        if len(ordered) == 1:
            return f"{quoted(ordered[0])} {texts[ordered[0]]}".rstrip()
        root = self.reserved(where)
        todo = [(root, 0, len(ordered), 0)]
        while todo:
            # The texts before `high` begin alike; the rule is for what follows their first `cut` characters.
            rule, low, high, cut = todo.pop()
            alternatives = []
            while low < high:
                first = ordered[low]
                end = low + 1
                while end < high and first[cut:] and ordered[end][cut] == first[cut]:
                    end += 1
                if end - low == 1:
                    alternatives.append(f"{quoted(first[cut:])} {texts[first]}".rstrip())
                else:
                    alike = _alike(first, ordered[end - 1])
                    rest = self.reserved(where)
                    todo.append((rest, low, end, alike))
                    alternatives.append(f"{quoted(first[cut:alike])} {rest}")
                low = end
            self._rules[rule] = " | ".join(alternatives)
        return root

    def constant(self, values: list[object], where: str) -> str:
        """An expression for the JSON text of one of `values`."""
        texts = dict.fromkeys(map(json_text, values), "")
        shape = self.one_of(texts, where)
        self._constants[shape] = texts
        return shape

    def either(self, shapes: list[str], where: str) -> str:
        """A rule for one of `shapes`. Those that begin alike stay open side by side, with all that is open in them."""
        constants = [shape for shape in shapes if shape in self._constants]
        if len(constants) > 1:
            texts = {text: "" for shape in constants for text in self._constants[shape]}
            shapes = [*(shape for shape in shapes if shape not in self._constants), self.one_of(texts, where)]
        if len(shapes) > MAX_OPEN:
            raise error(where, f"has more than {MAX_OPEN} alternatives")
        known = [self._open.get(shape, (shape, 1)) for shape in shapes]
        widest = len(shapes)
        for begin, _ in known:
            alike = (count for other, count in known if other.startswith(begin) or begin.startswith(other))
            widest = max(widest, sum(alike))
        begin = known[0][0] if len(known) == 1 else ""
        return self.opening(begin, widest, " | ".join(shapes), where)

    def opening(self, begin: str, count: int, text: str, where: str) -> str:
        """A rule that begins with `begin` and leaves at most `count` readings open."""
        if count > MAX_OPEN:
            why = "optional members in a row, alternatives that begin alike"
            raise error(where, f"leaves more than {MAX_OPEN} readings of an answer open ({why})")
        name = self.rule(text, where)
        self._open[name] = begin, count
        return name

    def readings(self, shape: str) -> int:
        """How many readings an expression leaves open at most. What it refers to in a circle is not counted."""
        return self._open.get(shape, ("", 1))[1]


def _alike(one: str, other: str) -> int:
    """How many characters the two have in common at their beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
