"""Soft attention over the outputs of an encoder."""

from __future__ import annotations

import torch
from torch import nn

from qrnn.utils.checks import whole
from qrnn.utils.registry import unknown_name

ATTENTIONS = ("dot", "additive")


class Attention(nn.Module):
    """Weights over the encoder's steps, and their weighted mean.

        dot:       score(q, k) = q . W k          (Luong et al., arXiv 1508.04025, "general")
        additive:  score(q, k) = v . tanh(W q + U k)       (Bahdanau et al., arXiv 1409.0473)

    Args:
        query_size: number of decoder outputs Q.
        key_size: number of encoder outputs K.
        kind: `dot` or `additive`.

    Shape:
        queries (B, U, Q), keys (B, S, K); contexts (B, U, K), weights (B, U, S).

    Raises:
        ConfigError: the kind is unknown.
    """

    def __init__(self, query_size: int, key_size: int, kind: str = "additive"):
        super().__init__()
        if kind not in ATTENTIONS:
            raise unknown_name("attention", kind, ATTENTIONS)
        query_size, key_size = whole("query_size", query_size, 1), whole("key_size", key_size, 1)
        self.keys = nn.Linear(key_size, query_size, bias=False)
        self.queries = nn.Linear(query_size, query_size) if kind == "additive" else None
        self.score = nn.Linear(query_size, 1, bias=False) if kind == "additive" else None

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return contexts and weights; steps beyond a sequence's length (B,) have weight 0."""
        mapped = self.keys(keys)
        if self.queries is not None and self.score is not None:
            summed = self.queries(queries)[:, :, None] + mapped[:, None]  # (B, U, S, Q)
            scores = self.score(torch.tanh(summed))[..., 0]
        else:
            scores = queries @ mapped.transpose(1, 2)
        if lengths is not None:
            padding = torch.arange(keys.shape[1], device=keys.device) >= lengths[:, None]
            scores = scores.masked_fill(padding[:, None], -torch.inf)
        weights = scores.softmax(2)
        return weights @ keys, weights
