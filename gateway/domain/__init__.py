"""Frozen values, errors and ports: the words that every other package speaks. Standard library only."""
