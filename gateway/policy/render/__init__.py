"""A policy in plain language, for people who sign it: `page_of` says what it means, `as_text` and `as_html` print it.

The page is made of the policy's meaning and of nothing else (no clock, no file name), so two files that mean the same
give the same page. Every value of a policy is in it.
"""

from __future__ import annotations

from gateway.policy.render.html import as_html
from gateway.policy.render.page import Page
from gateway.policy.render.sections import page_of
from gateway.policy.render.text import as_text

__all__ = ["Page", "as_html", "as_text", "page_of"]
