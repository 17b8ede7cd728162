"""From settings to a running gateway: the only package that names concrete classes of every other."""

from gateway.compose.gateway import run_gateway
from gateway.compose.targets import targets_of
from gateway.compose.tools import open_key_store, scan_texts

__all__ = ["open_key_store", "run_gateway", "scan_texts", "targets_of"]
