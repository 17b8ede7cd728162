"""The entities that the detector can find, known without loading it."""

from __future__ import annotations

from gateway.settings.recognizers import RegistrySettings

ENTITIES = RegistrySettings().entities()
"""What is found when the settings say nothing about recognisers."""


def entities(settings: RegistrySettings) -> frozenset[str]:
    """What is found with these settings, company files included. Costs microseconds."""
    return settings.entities()
