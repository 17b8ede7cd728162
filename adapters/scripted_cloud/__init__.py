"""A cloud that follows a script: speaks OpenAI's chat completions, shows what it received, and fails on demand.

For trying the gateway without an account, and for its tests. `python -m adapters.scripted_cloud` runs it as a process
of its own; `ScriptedCloud` runs it inside a test. It shares no code with the gateway, so that the two cannot be wrong
in the same way.
"""

from __future__ import annotations

from adapters.scripted_cloud.cloud import Counters, Received, ScriptedCloud

__all__ = ["Counters", "Received", "ScriptedCloud"]
