"""Trains the tagger of gateway/inspection/tagger; see README.md."""
