"""E-mail addresses."""

from __future__ import annotations

import re

import tldextract
from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import EmailRecognizer


class MailRecognizer(EmailRecognizer):
    """Presidio's, without the network, and with addresses of domains that are not in the public suffix list.

    Presidio asks a global object that downloads the list at the first address; this one reads the copy that the
    tldextract package carries. An internal domain (``.local``, ``.corp``) keeps the pattern's score instead of none.
    And an address does not begin with what is before it in code (``author_email='anna@…``).
    """

    _ADDRESS = r"\b\w[\w.!#$%&*+/?^`{|}~'-]{0,127}@\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)+\b"

    _suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    _PLAUSIBLE = re.compile(r"[^\W\d_]{2,24}|xn--[\w-]{2,59}")

    def __init__(self) -> None:
        super().__init__(patterns=[Pattern("Mail address", self._ADDRESS, 0.5)], name="MailRecognizer")

    def validate_result(self, pattern_text: str) -> bool | None:
        """True for a public domain, None (undecided) for another plausible one."""
        domain = pattern_text.rpartition("@")[2]
        if self._suffixes(domain).fqdn:
            return True
        return None if self._PLAUSIBLE.fullmatch(domain.rpartition(".")[2]) else False
