"""Analysis of policies: what holds in every situation, not in examples. Complete, and with counter-examples."""
