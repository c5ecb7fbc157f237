"""The classical networks: torch's RNN, GRU and LSTM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from qrnn.config.models import ClassicalConfig, GRUConfig, LSTMConfig, RNNConfig
from qrnn.devices import DeviceOptions
from qrnn.errors import ConfigError
from qrnn.utils.checks import flag, probability, whole
from qrnn.utils.registry import unknown_name
from qrnn.utils.rows import Rows
from qrnn.utils.tensors import check_finite, checked_lengths

KINDS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@dataclass(frozen=True)
class ClassicalState(Rows):
    """The state of torch's networks.

    Attributes:
        z: the last outputs (B, R): forward at each sequence's end, backward at its start.
        hidden: h, or h and c, each (layers directions, B, H).
    """

    z: torch.Tensor
    hidden: tuple[torch.Tensor, ...]

    def detach(self) -> ClassicalState:
        """Return the state detached from the autograd graph (truncated backpropagation)."""
        return ClassicalState(self.z.detach(), tuple(h.detach() for h in self.hidden))

    def select(self, rows: torch.Tensor) -> ClassicalState:
        """Return the states of some sequences, by their indices (K,); one may be repeated."""
        return ClassicalState(self.z[rows], tuple(h[:, rows] for h in self.hidden))


class Classical(nn.Module):
    """A recurrent network of torch, with the conventions of this framework.

    The forget gate of an LSTM is initialised with bias 1. With torch's, about 0, it forgets half of
    its cell state at each step: Jozefowicz, Zaremba, Sutskever, An Empirical Exploration of
    Recurrent Network Architectures, ICML 2015. It is also TensorFlow's default, and thus that of
    the published LSTM baselines for orthogonal networks.

    Args:
        kind: `rnn`, `gru` or `lstm`.
        input_size: number of input features D.
        hidden_size: units H per layer and direction.
        num_layers: number of stacked layers.
        bidirectional: whether each layer has a second direction.
        dropout: dropout probability between layers.

    Shape:
        x (B, T, D), z (B, T, R) with R = H, or 2H if bidirectional.

    Raises:
        ConfigError: a size or probability is out of range, or dropout is used with one layer.
    """

    def __init__(
        self,
        kind: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = ClassicalConfig.dropout,
    ):
        super().__init__()
        if kind not in KINDS:
            raise unknown_name("kind", kind, KINDS)
        input_size, hidden_size = (
            whole("input_size", input_size, 1),
            whole("hidden_size", hidden_size, 1),
        )
        num_layers, dropout = whole("num_layers", num_layers, 1), probability("dropout", dropout)
        if dropout and num_layers == 1:
            raise ConfigError(
                f"dropout acts between layers, got dropout={dropout} with num_layers=1: add a "
                f"layer, or use head_dropout"
            )
        self.directions = 2 if flag("bidirectional", bidirectional) else 1
        self.output_size = self.directions * hidden_size
        self.rnn = KINDS[kind](
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout,
        )
        if kind == "lstm":
            forget = slice(hidden_size, 2 * hidden_size)  # torch's order: i, f, g, o
            with torch.no_grad():
                for name, bias in self.rnn.named_parameters():
                    if "bias" in name:  # torch has two biases, which are added
                        bias[forget] = 1.0 if "bias_ih" in name else 0.0

    def forward(
        self,
        x: torch.Tensor,
        state: ClassicalState | None = None,
        lengths: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ClassicalState]:
        """Run the network on sequences.

        Args:
            x: inputs (B, T, D).
            state: state of the same sequences from an earlier call; None: zeros.
            lengths: (B,) number of steps of each sequence, at least 1.

        Returns:
            z (B, T, R), 0 after a sequence's end, and the state after its last step.

        Raises:
            ConfigError: x, the state or the lengths do not match.
        """
        x, lengths = self._checked(x, state, lengths)
        given: Any = None  # torch expects h, or (h, c)
        if state is not None:
            given = state.hidden if len(state.hidden) > 1 else state.hidden[0]
        if lengths is None:
            z, hidden = self.rnn(x, given)
        else:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            out, hidden = self.rnn(packed, given)
            assert isinstance(out, PackedSequence)
            z, _ = pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])
        if isinstance(hidden, torch.Tensor):
            hidden = (hidden,)
        last = torch.cat(tuple(hidden[0][-self.directions :]), 1)
        return z, ClassicalState(last, tuple(hidden))

    def _checked(
        self, x: torch.Tensor, state: ClassicalState | None, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return x and the lengths for packing, on the CPU; None if all lengths are T."""
        size = self.rnn.input_size
        if x.ndim != 3 or 0 in x.shape[:2] or x.shape[2] != size:
            raise ConfigError(
                f"x must have shape (B, T, {size}) with at least one sequence and step, got "
                f"{tuple(x.shape)}"
            )
        batch, steps = x.shape[:2]
        if state is not None:
            self._check_state(state, batch)
        if lengths is not None:
            lengths = checked_lengths(lengths, batch, steps).cpu()
            if (lengths == steps).all():
                lengths = None
        if lengths is None:
            check_finite(x, batch_first=True)
            return x, None
        padding = torch.arange(steps) >= lengths[:, None]
        x = x.masked_fill(padding.to(x.device)[:, :, None], 0)
        check_finite(x, batch_first=True)
        return x, lengths

    def _check_state(self, state: ClassicalState, batch: int) -> None:
        """Raise an error unless a state is from this network, for this number of sequences."""
        layers = self.directions * self.rnn.num_layers
        shapes = [(layers, batch, self.rnn.hidden_size)] * (1 + isinstance(self.rnn, nn.LSTM))
        found = [tuple(h.shape) for h in state.hidden] if isinstance(state, ClassicalState) else []
        if found != shapes:
            given = ", ".join(map(str, found)) or type(state).__name__
            raise ConfigError(
                f"state must be from this network's last call, of {batch} sequences, with h"
                f"{' and c' * (len(shapes) - 1)} {shapes[0]}, got {given}: start from None"
            )


def _build(config: ClassicalConfig, input_size: int) -> Classical:
    return Classical(
        config.name,
        input_size,
        config.hidden_size,
        config.num_layers,
        config.bidirectional,
        config.dropout,
    )


def rnn(config: RNNConfig, input_size: int, device: DeviceOptions) -> Classical:
    """Build an Elman network with tanh; it has no circuit, and ignores the device."""
    return _build(config, input_size)


def gru(config: GRUConfig, input_size: int, device: DeviceOptions) -> Classical:
    """Build a gated recurrent unit; it has no circuit, and ignores the device."""
    return _build(config, input_size)


def lstm(config: LSTMConfig, input_size: int, device: DeviceOptions) -> Classical:
    """Build an LSTM; it has no circuit, and ignores the device."""
    return _build(config, input_size)
