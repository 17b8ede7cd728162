"""The chat format of the demo model, in two forms that must agree: a Python function and a Jinja template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
PAD = "<|pad|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END, PAD)

Message = Mapping[str, str]

# What an OpenAI-style request may hold: content as a string, as a list of parts, or null beside tool calls;
# roles that the model has never seen. "developer" is today's name for "system"; "function" was a tool result.
# A turn without text (an assistant turn that only calls tools) is left out: the model never saw an empty one.
# "<|" in content is broken up: llama.cpp would read a special token there, and content could forge a turn.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- set role = message['role'] -%}"
    "{%- if role == 'developer' -%}{%- set role = 'system' -%}"
    "{%- elif role not in ['system', 'user', 'assistant'] -%}{%- set role = 'tool' -%}{%- endif -%}"
    "{%- set content = message['content'] -%}"
    "{%- set found = namespace(text='') -%}"
    "{%- if content is string -%}{%- set found.text = content -%}"
    "{%- elif content is mapping -%}{%- set found.text = content['text'] or '' -%}"
    "{%- elif content is iterable -%}"
    "{%- for part in content -%}"
    "{%- if part is string -%}{%- set piece = part -%}"
    "{%- elif part is mapping and part['text'] is string -%}{%- set piece = part['text'] -%}"
    "{%- else -%}{%- set piece = '' -%}{%- endif -%}"
    "{%- if piece -%}"
    "{%- set found.text = found.text + ('\\n' if found.text else '') + piece -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{%- set text = found.text | trim | replace('<|', '< |') -%}"
    "{%- if text -%}{{- '<|im_start|>' + role + '\\n' + text + '<|im_end|>\\n' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def render(messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
    """The text the model reads for `messages`: what `CHAT_TEMPLATE` gives for the same plain messages."""
    turns = [
        f"{TURN_START}{message['role']}\n{message['content'].strip().replace('<|', '< |')}{TURN_END}\n"
        for message in messages
    ]
    return "".join(turns) + (f"{TURN_START}assistant\n" if add_generation_prompt else "")
