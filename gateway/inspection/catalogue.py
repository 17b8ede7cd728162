"""The entities that the built-in detector finds, known without loading it."""

from __future__ import annotations

ENTITIES = frozenset(
    {
        *("API_KEY", "CREDIT_CARD", "CRYPTO", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "JWT", "LOCATION"),
        *("MAC_ADDRESS", "PERSON", "PHONE_NUMBER", "PRIVATE_KEY", "SECRET", "UK_NHS", "UK_NINO", "US_BANK_NUMBER"),
        *("US_ITIN", "US_PASSPORT", "US_SSN"),
    }
)
