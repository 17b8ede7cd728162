"""The network in torch. `gateway/inspection/tagger/network.py` computes the same with numpy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gateway.inspection.tagger.features import ROWS


class Tagger(nn.Module):
    """Sum of embedding rows, then convolutions over the words, each with a skip connection but the first.

    `shape` is (embedding width, hidden width); `windows` is (words, distance between them) of each convolution.
    """

    def __init__(
        self, labels: int, shape: tuple[int, int], windows: tuple[tuple[int, int], ...], dropout: float
    ) -> None:
        super().__init__()
        width, hidden = shape
        self.embedding = nn.Parameter(torch.randn(ROWS, width) * 0.1)
        self.bias = nn.Parameter(torch.zeros(width))
        self.layers = nn.ModuleList()
        for index, (words, distance) in enumerate(windows):
            self.layers.append(
                nn.Conv1d(
                    width if index == 0 else hidden, hidden, words, padding=words // 2 * distance, dilation=distance
                )
            )
        self.output = nn.Linear(hidden, labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, unique_rows: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Scores of each label. `unique_rows` (words, rows); `words` (texts, places) are numbers of those words; `mask`
        is 1 where there is a word."""
        vectors = torch.relu(nn.functional.embedding_bag(unique_rows, self.embedding, mode="sum") + self.bias)
        here = mask.unsqueeze(1)
        state = self.dropout(nn.functional.embedding(words, vectors)).transpose(1, 2) * here
        for index, layer in enumerate(self.layers):
            change = torch.relu(layer(state)) * here
            state = self.dropout(change if index == 0 else state + change)
        return self.output(state.transpose(1, 2))
