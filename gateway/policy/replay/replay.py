"""Feed it records, then ask for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gateway.policy.replay.judge import Judge, Refused
from gateway.policy.replay.question import Question
from gateway.policy.replay.report import NotEvaluated, Report, build
from gateway.policy.replay.requests import Joiner, Request
from gateway.policy.replay.tally import Tally


class Replay:
    """One replay. Memory does not grow with the number of records, but with that of distinct situations, apps and
    targets, and the first is bounded."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._joiner = Joiner(question.since, question.until)
        self._judge = Judge(question)
        self._tally = Tally(question)
        self._refused: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    @property
    def records(self) -> int:
        """Records that were taken in."""
        return self._joiner.records

    def feed(self, bodies: Iterable[bytes]) -> None:
        """Take in records, in the order of the log."""
        add = self._joiner.add
        for body in bodies:
            request = add(body)
            if request is not None:
                self._decide(request)

    def report(self) -> Report:
        """The end: what was found. Nothing can be fed after it."""
        for request in self._joiner.rest():
            self._decide(request)
        self._tally.fold(self._judge.forget())
        self._tally.finish()
        refused = tuple(
            NotEvaluated(reason, count, self._examples[reason]) for reason, count in self._refused.most_common()
        )
        return build(self._tally, self._joiner, refused)

    def _decide(self, request: Request) -> None:
        verdict = self._judge.verdict(request)
        if isinstance(verdict, Refused):
            self._refused[verdict.reason] += 1
            self._examples.setdefault(verdict.reason, request.decision)
            return
        self._tally.add(request, verdict)
        if self._judge.full:
            self._tally.fold(self._judge.forget())
