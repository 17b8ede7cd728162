"""The words for what cannot be evaluated, and for what has to be said beside the figures."""

from __future__ import annotations

from typing import Final

REASONS: Final = {
    "no_facts": "nothing was decided when they were recorded, so there are no facts (such as an unknown model)",
    "unreadable": "their record cannot be read",
    "unknown_model": "the model asked for is not configured now, so nobody knows which targets could answer",
    "target_gone": "they were sent to a target that is not configured now",
    "other_tenant": "the policy (or the one compared with) is not for their tenant",
    "user_unknown": "a policy names users, and the key that gives users' names to the recorded hashes is not at hand",
    "unknown_word": "their record has a word that this version does not know",
}
"""Why requests are not evaluated."""

NOTES: Final = {
    "limits_not_kept": "were decided by a policy that is not in the archive. Its limits are unknown: late answers "
    "before are not counted, and what was hidden is compared by the action only",
    "decided_otherwise": "come out otherwise than recorded when their own policy decides them again. Regions, labels "
    "or targets have changed since; their change is not only the policy's",
    "permitted_gone": "had a target permitted that their model no longer has; it is left out of the comparison",
    "budget_spent": "met a spent budget. That is used as it was; whether other limits would have left money is unknown",
    "redaction_incomplete": "had a value that could not be hidden completely. That is used as it was",
    "approved": "had been approved. The approval is taken to hold, whoever would have to give it now",
    "cost_over_cap": "would cost more than the new limit for one request, by their recorded tokens",
    "reserved_over_cap": "had more money set aside than the new limit for one request: answers may be cut shorter, or "
    "a target passed over",
    "days_over_budget": "days of an app would cost more than its new limit; what is then refused is unknown",
    "audit_mode": "would be decided otherwise if what is in audit mode in the new policy were enforced",
    "unfinished": "were sent, and no end of it is recorded: their tokens and costs are unknown",
}
"""What the figures do not tell. Each follows a number, of requests if it names nothing else."""
