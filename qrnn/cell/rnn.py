"""The cell applied to whole sequences, with the conventions of `torch.nn.RNN`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from qrnn.cell.cell import OnDevice, QRNNCell, QRNNState
from qrnn.cell.sizes import n_qubits_of
from qrnn.config.models import HybridConfig
from qrnn.devices import open_device
from qrnn.errors import ConfigError
from qrnn.utils.checks import flag, probability, whole
from qrnn.utils.rows import Rows
from qrnn.utils.tensors import check_finite, checked_lengths


@dataclass(frozen=True)
class QRNNStates(Rows):
    """The hidden states of a network of several cells.

    Attributes:
        cells: the state of each cell, layer by layer, forward before backward.
        directions: number of cells per layer.
    """

    cells: tuple[QRNNState, ...]
    directions: int

    @property
    def z(self) -> torch.Tensor:
        """The last readouts of the last layer (B, directions R)."""
        return torch.cat([state.z for state in self.cells[-self.directions :]], 1)

    def detach(self) -> QRNNStates:
        """Return the states detached from the autograd graph (truncated backpropagation)."""
        return QRNNStates(tuple(state.detach() for state in self.cells), self.directions)

    def select(self, rows: torch.Tensor) -> QRNNStates:
        """Return the states of some sequences, by their indices (K,); one may be repeated."""
        return QRNNStates(tuple(state.select(rows) for state in self.cells), self.directions)


Together = Callable[[Sequence[Callable[[], Any]]], list[Any]]
"""Runs calls that do not depend on each other; see `Device.together`."""


def one_by_one(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Return what calls return."""
    return [call() for call in calls]


class StackedCells(OnDevice):
    """Cells in layers and directions, applied along time.

    Args:
        build: returns a cell for a number of input features; it has `sequence` and `n_readouts`.
        input_size: number of input features D.
        num_layers: number of layers; each reads the outputs of the one below.
        bidirectional: whether each layer has a second cell, which reads the sequence backwards.
        batch_first: whether sequences are (B, T, D) instead of (T, B, D).
        dropout: dropout probability of the outputs of each layer but the last.

    Raises:
        ConfigError: there is no layer, or dropout with a single one.
    """

    dropout = 0.0  # of modules that an older version saved

    def __init__(
        self,
        build: Callable[[int], nn.Module],
        input_size: int,
        num_layers: int,
        bidirectional: bool,
        batch_first: bool,
        dropout: float = 0.0,
    ):
        super().__init__()
        num_layers = whole("num_layers", num_layers, 1)
        self.directions = 2 if flag("bidirectional", bidirectional) else 1
        self.batch_first = flag("batch_first", batch_first)
        self.dropout = probability("dropout", dropout)
        if self.dropout and num_layers == 1:
            raise ConfigError(
                f"dropout acts between layers, as in torch.nn.RNN, got dropout={dropout} with "
                f"num_layers=1: add a layer, or use controller_dropout"
            )
        self.cells = nn.ModuleList()
        for _ in range(num_layers):
            for _ in range(self.directions):
                self.cells.append(build(input_size))
            input_size = self.output_size

    @property
    def cell(self) -> QRNNCell:
        """The first cell, often the only one."""
        return self.cells[0]  # type: ignore[return-value]

    @property
    def input_size(self) -> int:
        """Number of input features D."""
        return self.cell.input_size

    @property
    def hidden_size(self) -> int:
        """Number of outputs of a layer in one direction, as in `torch.nn.RNN`: its readouts R."""
        return self.cell.n_readouts

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.cells) // self.directions

    @property
    def bidirectional(self) -> bool:
        """Whether each layer has a second cell, which reads the sequence backwards."""
        return self.directions == 2

    @property
    def output_size(self) -> int:
        """Number of outputs of a layer, over both directions."""
        return self.directions * self.hidden_size

    def extra_repr(self) -> str:
        """Return the options, for `print(rnn)`."""
        shown = [f"input_size={self.input_size}", f"hidden_size={self.hidden_size}"]
        defaults = {"num_layers": 1, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        given = {name: getattr(self, name) for name in defaults}
        shown += [f"{name}={value}" for name, value in given.items() if value != defaults[name]]
        return ", ".join(shown)

    def forward(
        self,
        input: torch.Tensor | PackedSequence | None = None,
        hx: QRNNState | QRNNStates | None = None,
        lengths: torch.Tensor | None = None,
        *,
        x: torch.Tensor | PackedSequence | None = None,
        state: QRNNState | QRNNStates | None = None,
    ) -> tuple[torch.Tensor | PackedSequence, QRNNState | QRNNStates]:
        """Run the network on sequences.

        Args:
            input: inputs; see the class for shapes.
            hx: state of the same sequences from an earlier call; None: |0...0>.
            lengths: (B,) number of steps of each sequence, at least 1; later steps are padding,
                which does not change the state; its z is 0.
            x: another name of `input`.
            state: another name of `hx`.

        Returns:
            z of all steps, and the state after each sequence's last step.

        Raises:
            ConfigError: the input has the wrong shape, or lengths do not match it.
        """
        sequences = either("input", input, "x", x)
        if sequences is None:
            raise ConfigError("input must be a tensor or a PackedSequence, got None")
        begun = either("hx", hx, "state", state)
        return over_time(self._steps, sequences, begun, lengths, self.batch_first)

    def _steps(
        self,
        x: torch.Tensor,
        state: QRNNState | QRNNStates | None,
        lengths: torch.Tensor | None,
        active: torch.Tensor | None,
    ) -> tuple[torch.Tensor, QRNNState | QRNNStates]:
        """Run x (T, B, D) through all layers; return z (T, B, R) and the last state."""
        if state is None:
            states: list[QRNNState | None] = [None] * len(self.cells)
        else:
            states = list(state.cells) if isinstance(state, QRNNStates) else [state]
        if len(states) != len(self.cells):
            raise ConfigError(
                f"state must be from this network's {len(self.cells)} cells, got {len(states)}"
            )
        device = getattr(self.cell, "device", None)
        if device is not None and device.spec.submits_jobs and not torch.is_grad_enabled():
            together = device.together
            if self.directions == 1 and len(self.cells) > 1:
                return self._in_waves(x, states, active, together)
        else:
            together = one_by_one
        after = []
        for first in range(0, len(self.cells), self.directions):
            if first:
                x = self._between(x)
                if active is not None:  # mask the padding for the next layer
                    x = x.masked_fill(~active[:, :, None], 0)
            inputs = [x] if self.directions == 1 else [x, backwards(x, lengths)]
            calls = [
                partial(self._sequence, first + k, one, states[first + k], active)
                for k, one in enumerate(inputs)
            ]
            found = together(calls)
            after += [state for _, state in found]
            z = found[0][0]
            if self.directions == 2:
                z = torch.cat([z, backwards(found[1][0], lengths)], 2)
            x = z
        return x, after[0] if len(after) == 1 else QRNNStates(tuple(after), self.directions)

    def _between(self, z: torch.Tensor) -> torch.Tensor:
        """Return the inputs of a layer for the outputs of the one below."""
        return nn.functional.dropout(z, self.dropout, self.training) if self.dropout else z

    def _sequence(self, cell: int, *arguments: Any) -> tuple[torch.Tensor, QRNNState]:
        return self.cells[cell].sequence(*arguments)  # type: ignore[operator]

    def _in_waves(
        self,
        x: torch.Tensor,
        states: list[QRNNState | None],
        active: torch.Tensor | None,
        together: Together,
    ) -> tuple[torch.Tensor, QRNNStates]:
        """Run L layers at the same time, each a step behind the one below: T + L - 1 rounds.

        Args:
            x: inputs (T, B, D).
            states: of each layer.
            active: (T, B) bool, or None.
            together: see `Device.together`.
        """
        z: list[list[torch.Tensor]] = [list(x.unbind()), *([] for _ in self.cells)]
        for wave in range(len(x) + len(self.cells) - 1):
            layers = [k for k in range(len(self.cells)) if 0 <= wave - k < len(x)]
            calls = []
            for k in layers:
                t = wave - k
                now = None if active is None else active[t : t + 1]
                below = self._between(z[k][t][None]) if k else z[k][t][None]
                if k and now is not None:
                    below = below.masked_fill(~now[:, :, None], 0)
                calls.append(partial(self._sequence, k, below, states[k], now))
            for k, (found, state) in zip(layers, together(calls), strict=True):
                z[k + 1].append(found[0])
                states[k] = state
        after = tuple(state for state in states if state is not None)
        return torch.stack(z[-1]), QRNNStates(after, 1)


class QRNN(StackedCells):
    """`QRNNCell`s applied along time, with the names of `torch.nn.RNN`.

    Only the second argument differs: by position, it is the number of qubits, which sets the size
    of the quantum state. `hidden_size`, by keyword, is what it is in torch, the number of outputs
    of a layer in one direction, here of readouts: three for each qubit with `readout="XYZ"`.

    Args:
        input_size: number of input features D.
        n_qubits: number of qubits n of each cell; None: that of `hidden_size` readouts.
        hidden_size: number of readouts R of each cell; None: that of `n_qubits` qubits. If both
            are given, they must fit.
        num_layers: number of layers; each reads the readouts of the one below.
        bidirectional: whether each layer has a second cell, which reads the sequence backwards.
        batch_first: whether sequences are (B, T, D) instead of (T, B, D).
        dropout: dropout probability of the readouts between layers.
        controller_dropout: dropout probability in the controllers; `dropout` of `QRNNCell`.
        **cell_options: see `QRNNCell`.

    Shape:
        x (T, B, D), or (T, D) for one sequence, or a PackedSequence; z has the same shape with
        `output_size` (R, or 2R if bidirectional) instead of D.

    Raises:
        ConfigError: there is no layer, dropout with a single one, or no number of qubits has
            `hidden_size` readouts; see also `QRNNCell`.

    Examples:
        >>> rnn = QRNN(8, n_qubits=4, batch_first=True)
        >>> z, state = rnn(torch.rand(2, 5, 8))
        >>> z.shape
        torch.Size([2, 5, 12])
        >>> QRNN(8, hidden_size=12).cell.circuit.n_wires
        4
    """

    def __init__(
        self,
        input_size: int,
        n_qubits: int | None = None,
        *,
        hidden_size: int | None = None,
        num_layers: int = 1,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        controller_dropout: float = HybridConfig.dropout,
        **cell_options,
    ):
        if "device" in cell_options:  # opened once for all cells
            cell_options["device"] = open_device(cell_options["device"])
        n = n_qubits_of(n_qubits, hidden_size, cell_options)

        def build(size: int) -> QRNNCell:
            return QRNNCell(size, n, dropout=controller_dropout, **cell_options)

        super().__init__(build, input_size, num_layers, bidirectional, batch_first, dropout)
        if hidden_size is not None and hidden_size != self.hidden_size:
            raise ConfigError(
                f"hidden_size must be the number of readouts, {self.hidden_size} of {n} qubits, "
                f"got {hidden_size}: give hidden_size or n_qubits alone"
            )


def either(name: str, value: Any, other: str, given: Any) -> Any:
    """Return an argument that has two names.

    Raises:
        ConfigError: it was given by both.
    """
    if value is not None and given is not None:
        raise ConfigError(f"{other} must be left out if {name} is given: it is the same argument")
    return given if value is None else value


def over_time(
    steps: Callable[..., tuple[torch.Tensor, Any]],
    x: torch.Tensor | PackedSequence,
    state: Any,
    lengths: torch.Tensor | None,
    batch_first: bool,
) -> tuple[torch.Tensor | PackedSequence, Any]:
    """Run a network on sequences in any layout that `torch.nn.RNN` supports.

    Args:
        steps: function of x (T, B, D), state, lengths and active (T, B), the last two both None or
            neither; returns z (T, B, R) and the last state.
        x: (T, B, D), (B, T, D) if `batch_first`, (T, D) for one sequence, or a PackedSequence.
        state: passed to `steps`.
        lengths: (B,) number of steps of each sequence, or None.
        batch_first: whether x is (B, T, D).

    Returns:
        z in the layout of x, 0 after a sequence's end, and the last state.

    Raises:
        ConfigError: x has the wrong shape, or lengths do not match it.
    """
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise ConfigError("lengths must be left out with a PackedSequence, which includes them")
        padded, lengths = pad_packed_sequence(x)
        z, state = padded_steps(steps, padded, state, lengths)
        return packed_as(x, z, lengths), state
    if x.ndim == 2:
        z, state = padded_steps(steps, x[:, None], state, lengths)
        return z[:, 0], state
    if x.ndim != 3:
        raise ConfigError(f"x must have 2 or 3 dimensions, got shape {tuple(x.shape)}")
    z, state = padded_steps(steps, x.transpose(0, 1) if batch_first else x, state, lengths)
    return (z.transpose(0, 1) if batch_first else z), state


def packed_as(x: PackedSequence, z: torch.Tensor, lengths: torch.Tensor) -> PackedSequence:
    """Return z (T, B, R) packed in the order of x; lengths (B,) are those of x, on the CPU."""
    # Not sorted again: sequences of equal length could end up in another order than in x.
    if x.sorted_indices is not None:
        z, lengths = z.index_select(1, x.sorted_indices), lengths[x.sorted_indices.cpu()]
    data = pack_padded_sequence(z, lengths).data
    return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices)


def padded_steps(
    steps: Callable[..., tuple[torch.Tensor, Any]],
    x: torch.Tensor,
    state: Any,
    lengths: torch.Tensor | None,
) -> tuple[torch.Tensor, Any]:
    """Run `steps` over x (T, B, D) and lengths (B,) or None; see `over_time`."""
    n_steps, batch = x.shape[:2]
    if n_steps < 1 or batch < 1:
        raise ConfigError(
            f"x must have at least one step and one sequence, got shape {tuple(x.shape)}"
        )
    if lengths is None:
        check_finite(x)
        return steps(x, state, None, None)
    lengths = checked_lengths(lengths, batch, n_steps).to(x.device)
    padding = torch.arange(n_steps, device=x.device)[:, None] >= lengths
    # Padding, even NaN, must affect neither values nor gradients.
    x = x.masked_fill(padding[:, :, None], 0)
    check_finite(x)
    z, state = steps(x, state, lengths, ~padding)
    return z.masked_fill(padding[:, :, None], 0), state


def backwards(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Reverse sequences (T, B, D) in time; padding stays at the end."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(len(x), device=x.device)[:, None]
    source = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x.take_along_dim(source[:, :, None], 0)
