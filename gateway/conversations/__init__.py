"""Conversations: what they have come to, kept under keyed hashes, in a database or in Redis."""
