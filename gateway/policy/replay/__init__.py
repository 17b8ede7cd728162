"""What another policy would have made of the requests that the audit log knows.

Works on recorded facts, which hold no content. Reads nothing by itself: it is fed with the bodies of audit records.
"""

from __future__ import annotations

from gateway.policy.replay.question import Question
from gateway.policy.replay.recorded import DayBudget, RecordedDecision, explain_record, facts_record
from gateway.policy.replay.replay import Replay
from gateway.policy.replay.report import Report
from gateway.policy.replay.words import as_lines, as_markdown

__all__ = [
    "DayBudget",
    "Question",
    "RecordedDecision",
    "Replay",
    "Report",
    "as_lines",
    "as_markdown",
    "explain_record",
    "facts_record",
]
