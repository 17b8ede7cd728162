"""How good the detector is: findings beside labelled text, counted in the ways that are usual in the field."""

from __future__ import annotations

from gateway.inspection.evaluation.names import BUILT_IN, DROPPED, Names
from gateway.inspection.evaluation.report import Report
from gateway.inspection.evaluation.run import THRESHOLD, Options, evaluate
from gateway.inspection.evaluation.samples import Label, Sample, read_samples

__all__ = [
    "BUILT_IN",
    "DROPPED",
    "THRESHOLD",
    "Label",
    "Names",
    "Options",
    "Report",
    "Sample",
    "evaluate",
    "read_samples",
]
