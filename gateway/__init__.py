"""Bailiwick: an inference gateway that keeps every prompt inside the jurisdiction its policy allows."""

__version__ = "0.1.0"
