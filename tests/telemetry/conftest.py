"""Fixtures for the telemetry tests."""

from support.postgres import database_url

__all__ = ["database_url"]
