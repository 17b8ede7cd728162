"""What every command knows: where the settings are, and through them where the state is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway.settings import Settings
    from gateway.settings.recognizers import RegistrySettings

DEFAULT_CONFIG = Path("bailiwick.yaml")
DEFAULT_DATA = Path(".state")


@dataclass
class CliContext:
    """`config` is what the user named, or None; `data_override` wins over the settings' folder."""

    config: Path | None = None
    data_override: Path | None = None

    def settings(self) -> Settings:
        """The settings, read and checked. Raises `ConfigurationError`."""
        path = self._config_path
        if path is None:
            raise ConfigurationError(
                f"no settings file: there is no {DEFAULT_CONFIG} in this folder; name one with --config"
            )
        from gateway.settings import load_settings

        return load_settings(path, data_override=self.data_override)

    def registry(self) -> RegistrySettings:
        """The recognisers of the settings, or those that run without a settings file."""
        from gateway.settings.recognizers import RegistrySettings

        return RegistrySettings() if self._config_path is None else self.settings().inspection.registry

    @property
    def audit_url(self) -> str:
        return self._storage_url("audit")

    @property
    def identity_url(self) -> str:
        return self._storage_url("identity")

    @property
    def approvals_url(self) -> str:
        return self._storage_url("approvals")

    @property
    def spans_url(self) -> str:
        return self._storage_url("spans")

    @cached_property
    def _config_path(self) -> Path | None:
        if self.config is not None:
            return self.config
        return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None

    def _storage_url(self, store: str) -> str:
        if self._config_path is not None:
            return self.settings().storage.url(store)
        return f"sqlite:///{self.data_override or DEFAULT_DATA}/{store}.db"
