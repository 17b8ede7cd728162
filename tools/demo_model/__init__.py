"""Builds the small demo model that ships with the repository: corpus, training, export, evaluation."""
