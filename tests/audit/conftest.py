"""Fixtures of the audit tests."""

from __future__ import annotations

from support.postgres import database_url

__all__ = ["database_url"]
