"""Sequence to sequence: an encoder and a decoder with attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn
from typing_extensions import override

from qrnn.data import IGNORED, Batch, Labels, detokenise
from qrnn.errors import ConfigError
from qrnn.models.attention import Attention
from qrnn.models.base import Answer, Model, Recurrent
from qrnn.models.cells import cells_of, device_of
from qrnn.networks import Network, State, n_parameters
from qrnn.utils.checks import probability, real, whole
from qrnn.utils.tensors import checked_lengths

PAD, BOS, EOS = 0, 2, 3  # indices of the special tokens in a target vocabulary


class Source(NamedTuple):
    """The encoder's result for source sequences.

    Attributes:
        z: keys of the attention (B, S, K): the encoder's outputs, concatenated with the embeddings
            if these skip the network.
        state: the encoder's last state, if the decoder starts from it.
        lengths: number of steps of each sequence (B,), or None.
    """

    z: torch.Tensor
    state: State | None
    lengths: torch.Tensor | None


class Translator(Model):
    """Translates source tokens to target tokens.

    The encoder reads the source. The decoder starts from the encoder's last state, including the
    hidden quantum state, and reads the target shifted by one token (teacher forcing). Its outputs
    q_t attend to the encoder's outputs: c_t = sum_s a_ts z_s, and

        logits_t = head(tanh(combine([c_t ; q_t])))

    as in Luong et al., arXiv 1508.04025, but without feeding the context back, so that the decoder
    runs over the whole target at once. With a bidirectional encoder, whose state does not fit, the
    decoder starts from its own initial state.

    Args:
        encoder: recurrent network over source embeddings.
        decoder: recurrent network over target embeddings, in one direction.
        source: embedding of source tokens.
        target: embedding of target tokens.
        n_classes: number of target tokens.
        attention: `dot` or `additive`.
        dropout: dropout probability before the head.
        width: output units of `combine`; None: as many as c_t and q_t have together.
        norm: whether a LayerNorm of c_t and q_t comes before `combine`.
        skip: size E of the embeddings if they are concatenated to q_t and z_s, as [z_s ; e_s]; 0:
            they are not.
        hands_over: whether the decoder starts from the encoder's state.
    """

    translates: ClassVar[bool] = True

    def __init__(
        self,
        encoder: Network,
        decoder: Network,
        source: nn.Module,
        target: nn.Module,
        n_classes: int,
        *,
        attention: str = "additive",
        dropout: float = 0.0,
        width: int | None = None,
        norm: bool = False,
        skip: int = 0,
        hands_over: bool = True,
    ):
        super().__init__()
        self.objective = Labels(n_classes)
        self.encoder: Any = encoder
        self.decoder: Any = decoder
        self.source, self.target = source, target
        self.skip = skip = whole("skip", skip, 0)
        width = None if width is None else whole("width", width, 1)
        n_classes = whole("n_classes", n_classes, 1)
        sizes = decoder.output_size + skip, encoder.output_size + skip
        self.attention = Attention(*sizes, attention)
        size = sum(sizes)
        mix = nn.Linear(size, width or size)
        self.combine = nn.Sequential(nn.LayerNorm(size), mix) if norm else mix
        self.dropout = nn.Dropout(probability("dropout", dropout))
        self.head = nn.Linear(width or size, n_classes)
        self.hands_over = hands_over

    @override
    def networks(self) -> list[Recurrent]:
        return [
            Recurrent("encoder", self.encoder, self.source),
            Recurrent("decoder", self.decoder, self.target),
        ]

    @override
    def cell_steps(self, batch: Batch) -> int:
        encoder, decoder = len(cells_of(self.encoder)), len(cells_of(self.decoder))
        return encoder * batch.x.shape[1] + decoder * batch.y.shape[1]

    @override
    def sentences(
        self, batch: Batch, vocabulary: Sequence[str], *, longest: bool = False
    ) -> list[str]:
        """See `Model`; on IBM devices, no sentence is longer than the longest target."""
        options = {"max_steps": batch.y.shape[1]} if self._in_jobs else {}
        found, _ = self.translate(batch.x, batch.lengths, ends=not longest, **options)
        return [detokenise(vocabulary[token] for token in one) for one in found]

    @property
    def _in_jobs(self) -> bool:
        """Whether each call of the decoder is a job of an IBM device."""
        device = device_of(self.decoder)
        return device is not None and device.spec.submits_jobs

    @override
    def recurrent_parameters(self) -> int:
        return n_parameters(self.encoder) + n_parameters(self.decoder)

    def encode(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> Source:
        """Run the encoder on source tokens (B, S)."""
        if lengths is not None:
            lengths = checked_lengths(lengths, *x.shape).to(x.device)
        embedded = self.source(x)
        z, state = self.encoder(embedded, None, lengths)
        return Source(self._with_skip(z, embedded), state if self.hands_over else None, lengths)

    def decode(
        self, source: Source, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, State]:
        """Return logits (B, U, V), attention weights (B, U, S), the decoder's outputs and state.

        Args:
            source: the encoder's result for the same sequences.
            tokens: target tokens so far (B, U), the first one `BOS`.
        """
        queries, q, state = self._queries(tokens, source.state)
        return *self._attend(source, queries), q, state

    def _queries(
        self, tokens: torch.Tensor, state: State | None
    ) -> tuple[torch.Tensor, torch.Tensor, State]:
        """Return queries (B, U, Q), the decoder's outputs and its state after tokens (B, U)."""
        embedded = self.target(tokens)
        q, state = self.decoder(embedded, state)
        return self._with_skip(q, embedded), q, state

    def _attend(self, source: Source, queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (B, U, V) and attention weights (B, U, S) of queries."""
        context, weights = self.attention(queries, source.z, source.lengths)
        mixed = torch.tanh(self.combine(torch.cat([context, queries], 2)))
        return self.head(self.dropout(mixed)), weights

    def _with_skip(self, outputs: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        return torch.cat([outputs, embedded], 2) if self.skip else outputs

    @override
    def answer(self, batch: Batch, state: State | None = None) -> Answer:
        """Return the logits of the next token, with teacher forcing."""
        given = batch.y.masked_fill(batch.y == IGNORED, PAD)
        tokens = torch.cat([torch.full_like(given[:, :1], BOS), given[:, :-1]], 1)
        logits, _, q, state = self.decode(self.encode(batch.x, batch.lengths), tokens)
        return Answer(logits, q, state)

    @override
    def real_steps(self, batch: Batch) -> torch.Tensor:
        return (batch.y != IGNORED).cpu()  # z is the decoder's

    @torch.no_grad()
    def translate(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor | None = None,
        *,
        beam: int = 5,
        max_steps: int = 60,
        length_penalty: float = 1.0,
        ends: bool = True,
    ) -> tuple[list[list[int]], list[torch.Tensor]]:
        """Return the most likely target of each source sequence, found by beam search.

        Each round is one step of all candidates that have not ended; their states are copied.

        Args:
            x: source tokens (B, S).
            lengths: number of steps of each sequence (B,); None: S.
            beam: number of candidates per sequence; 1 is greedy search.
            max_steps: largest number of target tokens.
            length_penalty: candidates are ranked by log probability / length^length_penalty.
                Candidates without `EOS` after `max_steps` count only if all lack it.
            ends: whether candidates may end before `max_steps`; False: for an estimate of the cost.

        Returns:
            The tokens of each target without `EOS`, and its attention weights (U, S).
        """
        beam, max_steps = whole("beam", beam, 1), whole("max_steps", max_steps, 1)
        length_penalty = real("length_penalty", length_penalty)
        rows = len(x)
        if lengths is not None:
            lengths = checked_lengths(lengths, *x.shape).to(x.device)
        decoder = _Candidates(self, self.encode(x, lengths), beam)
        tokens = torch.full((rows * beam, 1), BOS, device=x.device)
        # All candidates start equal, so only the first is active.
        scores = torch.full((rows, beam), -torch.inf, device=x.device)
        scores[:, 0] = 0.0
        ended = torch.zeros(rows, beam, dtype=torch.bool, device=x.device)
        for _ in range(max_steps):
            logits = decoder.logits(tokens).double()
            logits[:, [PAD, BOS] if ends else [PAD, BOS, EOS]] = -torch.inf  # never a target
            gains = logits.log_softmax(1).view(rows, beam, -1)
            gains[ended] = -torch.inf
            gains[..., PAD][ended] = 0.0  # finished candidates keep their score
            n_tokens = gains.shape[2]
            scores, best = (scores[:, :, None] + gains).flatten(1).topk(beam)
            parent, token = best // n_tokens, best % n_tokens
            tokens = tokens.view(rows, beam, -1).take_along_dim(parent[:, :, None], 1)
            tokens = torch.cat([tokens, token[:, :, None]], 2).flatten(0, 1)
            ended = ended.take_along_dim(parent, 1) | (token == EOS)
            first = torch.arange(rows, device=x.device)[:, None] * beam
            decoder.keep((first + parent).flatten(), ended.flatten())
            if ended.all():
                break
        n_steps = (tokens[:, 1:] != PAD).sum(1).view(rows, beam)
        # An endless repetition has a high mean score, so it counts only if nothing else ended.
        out = ended.any(1, keepdim=True) & ~ended
        chosen = (scores / n_steps**length_penalty).masked_fill(out, -torch.inf).argmax(1)
        kept = torch.arange(rows, device=x.device) * beam + chosen
        weights = decoder.weights()[kept]
        targets, maps = [], []
        for row, one in enumerate(tokens[kept, 1:].tolist()):
            target = [token for token in one if token not in (PAD, EOS)]
            targets.append(target)
            n_source = x.shape[1] if lengths is None else int(lengths[row])
            maps.append(weights[row, : len(target), :n_source])
        return targets, maps


class _Candidates:
    """The decoder in a beam search: each round is one step of all candidates that have not ended.

    Args:
        model: the translator.
        source: the encoder's result for each sequence.
        beam: number of candidates per sequence.
    """

    def __init__(self, model: Translator, source: Source, beam: int):
        n, device = len(source.z), source.z.device
        self.model = model
        # All candidates of a sequence start equal: one row each, until the first `keep`.
        self._state, self._rows = source.state, torch.arange(n, device=device) * beam
        self._of = torch.arange(n, device=device).repeat_interleave(beam)  # row of each candidate
        lengths = None if source.lengths is None else source.lengths[self._of]
        self._source = Source(source.z[self._of], None, lengths)
        self._queries: list[torch.Tensor] = []  # of each step, (N, 1, Q)

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, V) after tokens (N, U) of all candidates."""
        queries, _, self._state = self.model._queries(tokens[self._rows, -1:], self._state)
        self._queries.append(queries[self._of])
        return self.model._attend(self._source, self._queries[-1])[0][:, -1]

    def keep(self, parents: torch.Tensor, ended: torch.Tensor) -> None:
        """Continue with other candidates.

        Args:
            parents: index of each one's parent among the candidates before (N,).
            ended: which need no more logits (N,).
        """
        self._queries = [one[parents] for one in self._queries]
        if ended.all():
            return
        self._rows = (~ended).nonzero().flatten()
        assert self._state is not None
        if not hasattr(self._state, "select"):  # of a network of the user's own
            raise ConfigError(
                f"a translation must have a decoder whose state has `select(rows)`, got "
                f"{type(self._state).__name__}: see qrnn.networks.State"
            )
        self._state = self._state.select(self._of[parents[self._rows]])
        self._of = torch.zeros_like(self._of)  # of those that have ended: any row
        self._of[self._rows] = torch.arange(len(self._rows), device=ended.device)

    def weights(self) -> torch.Tensor:
        """Return the attention weights (N, U, S)."""
        return self.model._attend(self._source, torch.cat(self._queries, 1))[1]
