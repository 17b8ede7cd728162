"""The platform team's file, ``bailiwick.yaml``: read once, strictly, into frozen values (docs/settings.md).

Paths in the file are relative to it. A setting whose name ends in ``_env`` names an environment variable, so that no
secret stands in the file.
"""

from __future__ import annotations

from gateway.settings.reading import load_settings
from gateway.settings.recognizers import RegistrySettings
from gateway.settings.values import (
    ChannelSettings,
    ConversationSettings,
    InspectionSettings,
    KnownNames,
    LabelTerms,
    LlamaCppSettings,
    LocalModelSettings,
    LoraSettings,
    ModelServerSettings,
    OpenAISettings,
    PolicySignatures,
    ServerSettings,
    Settings,
    StorageSettings,
    TargetSettings,
    TelemetrySettings,
    TimeoutSettings,
)

__all__ = [
    "ChannelSettings",
    "ConversationSettings",
    "InspectionSettings",
    "KnownNames",
    "LabelTerms",
    "LlamaCppSettings",
    "LocalModelSettings",
    "LoraSettings",
    "ModelServerSettings",
    "OpenAISettings",
    "PolicySignatures",
    "RegistrySettings",
    "ServerSettings",
    "Settings",
    "StorageSettings",
    "TargetSettings",
    "TelemetrySettings",
    "TimeoutSettings",
    "load_settings",
]
