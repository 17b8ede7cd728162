"""Approvals: who may let a request go that the policy holds back, and that each approval is used once."""

from gateway.approvals.desk import ApprovalDesk
from gateway.approvals.store import SqlApprovals
from gateway.approvals.values import Approval, Status, Word

__all__ = ["Approval", "ApprovalDesk", "SqlApprovals", "Status", "Word"]
