"""The audit log: tamper-evident, append-only, without content."""

from gateway.audit.mac import LogMac
from gateway.audit.store import AuditStore
from gateway.audit.verify import Verification, verify

__all__ = ["AuditStore", "LogMac", "Verification", "verify"]
