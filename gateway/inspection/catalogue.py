"""The entities that the detector can find, known without loading it."""

from __future__ import annotations

from gateway.settings.recognizers import RegistrySettings

ENTITIES = RegistrySettings().entities()
"""What is found when the settings say nothing about recognisers."""
