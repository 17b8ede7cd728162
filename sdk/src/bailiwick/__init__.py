"""OpenAI's Python client, with what the Bailiwick gateway adds: decisions, hints, explanations.

from bailiwick import Bailiwick

client = Bailiwick(base_url="http://127.0.0.1:8484/v1", api_key="bk_…")
answer = client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hello"}])
print(answer.choices[0].message.content, answer.decision)
"""

from bailiwick.client import AsyncBailiwick, Bailiwick
from bailiwick.decision import Decision, decision_of
from bailiwick.explanation import Explanation, Found, Reason, Target
from bailiwick.hints import Hints, Level
from bailiwick.types import (
    AsyncChatCompletionStream,
    AsyncStream,
    ChatCompletion,
    ChatCompletionStream,
    CreateEmbeddingResponse,
    ParsedChatCompletion,
    Stream,
)

__version__ = "0.1.0"

__all__ = [
    "AsyncBailiwick",
    "AsyncChatCompletionStream",
    "AsyncStream",
    "Bailiwick",
    "ChatCompletion",
    "ChatCompletionStream",
    "CreateEmbeddingResponse",
    "Decision",
    "Explanation",
    "Found",
    "Hints",
    "Level",
    "ParsedChatCompletion",
    "Reason",
    "Stream",
    "Target",
    "decision_of",
]
