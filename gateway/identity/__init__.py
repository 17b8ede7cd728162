"""Who calls: API keys, and the gateway's own secret."""

from gateway.identity.keys import ApiKey, KeyTable, UnknownKey
from gateway.identity.secrets import derive, load_secret
from gateway.identity.store import SqlKeyStore

__all__ = ["ApiKey", "KeyTable", "SqlKeyStore", "UnknownKey", "derive", "load_secret"]
