"""Fixtures of the identity tests."""

from __future__ import annotations

from support.postgres import database_url

__all__ = ["database_url"]
