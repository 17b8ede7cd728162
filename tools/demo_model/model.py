"""The network: a small llama, with the shapes and the rotation of positions that llama.cpp expects."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The sizes of a model. Widths are multiples of 32, the block size of Q8_0."""

    vocabulary: int = 2048
    width: int = 160
    layers: int = 4
    heads: int = 5
    feed_forward: int = 448
    context: int = 2048
    norm_epsilon: float = 1e-5
    rope_base: float = 10_000.0

    @property
    def head_width(self) -> int:
        """The width of one attention head."""
        return self.width // self.heads


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and beside a residual."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, hidden = shape.width, shape.feed_forward
        self.heads, self.head_width = shape.heads, shape.head_width
        self.attn_norm = nn.RMSNorm(width, eps=shape.norm_epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, width, bias=False)
        self.attn_v = nn.Linear(width, width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps=shape.norm_epsilon)
        self.ffn_gate = nn.Linear(width, hidden, bias=False)
        self.ffn_up = nn.Linear(width, hidden, bias=False)
        self.ffn_down = nn.Linear(hidden, width, bias=False)

    def _rotate(self, projected: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        # Neighbours form the pairs, as in llama.cpp's "llama" architecture: the export needs no permutation.
        batch, length, _ = projected.shape
        pairs = projected.view(batch, length, self.heads, self.head_width // 2, 2)
        even, odd = pairs[..., 0], pairs[..., 1]
        rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1)
        return rotated.flatten(3).transpose(1, 2)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """`hidden` after this block; `cos` and `sin` are the rotations of its positions."""
        batch, length, width = hidden.shape
        normed = self.attn_norm(hidden)
        query = self._rotate(self.attn_q(normed), cos, sin)
        key = self._rotate(self.attn_k(normed), cos, sin)
        value = self.attn_v(normed).view(batch, length, self.heads, self.head_width).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.attn_output(mixed.transpose(1, 2).reshape(batch, length, width))
        normed = self.ffn_norm(hidden)
        return hidden + self.ffn_down(functional.silu(self.ffn_gate(normed)) * self.ffn_up(normed))


class DemoModel(nn.Module):
    """The whole model; the output matrix is the embedding matrix."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        half = torch.arange(0, shape.head_width, 2).float() / shape.head_width
        angles = torch.outer(torch.arange(shape.context).float(), shape.rope_base**-half)
        self.register_buffer("cos", angles.cos()[None, :, None, :], persistent=False)
        self.register_buffer("sin", angles.sin()[None, :, None, :], persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                into_residual = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * shape.layers) if into_residual else 0.02)

    def hidden(self, tokens: Tensor) -> Tensor:
        """The last hidden states, `[batch, length, width]`, from which `logits` makes predictions."""
        hidden = self.token_embd(tokens)
        length = tokens.shape[1]
        for block in self.blk:
            hidden = block(hidden, self.cos[:, :length], self.sin[:, :length])
        return self.output_norm(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """One score for each token of the vocabulary, for each row of `hidden`."""
        return hidden @ self.token_embd.weight.T
