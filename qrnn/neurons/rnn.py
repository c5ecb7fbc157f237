"""The quantum-neuron cell applied to whole sequences, with the conventions of `QRNN`."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.utils.rnn import PackedSequence

from qrnn.cell.layouts import over_time
from qrnn.cell.on_device import OnDevice
from qrnn.cell.state import CellState
from qrnn.errors import ConfigError
from qrnn.neurons.cell import QuantumNeuronCell
from qrnn.utils.checks import flag

Tokens = torch.Tensor | PackedSequence


class QuantumNeuronRNN(OnDevice):
    """A `QuantumNeuronCell` applied along time.

    There is only one layer and one direction: the cell's outputs are token probabilities, not
    features, and its targets are the next tokens.

    Args:
        workspace: number of workspace qubits w.
        in_out: number of in/out qubits io.
        batch_first: whether sequences are (B, T) instead of (T, B).
        **cell_options: see `QuantumNeuronCell`.

    Shape:
        x (T, B) integers, or (T,) for one sequence, or a PackedSequence; log p has an additional
        last axis of size 2^io.

    Raises:
        ConfigError: see `QuantumNeuronCell`.

    Examples:
        >>> rnn = QuantumNeuronRNN(4, 2, batch_first=True)
        >>> tokens = torch.randint(4, (8, 11))
        >>> log_p, state = rnn(tokens[:, :-1], tokens[:, 1:])
        >>> loss = torch.nn.functional.nll_loss(log_p.flatten(0, 1), tokens[:, 1:].flatten())
    """

    def __init__(self, workspace: int, in_out: int, *, batch_first: bool = False, **cell_options):
        super().__init__()
        self.batch_first = flag("batch_first", batch_first)
        self.cell = QuantumNeuronCell(workspace, in_out, **cell_options)

    @property
    def output_size(self) -> int:
        """Number of classes 2^io."""
        return self.cell.n_readouts

    def forward(
        self,
        x: Tokens,
        targets: Tokens | None = None,
        state: CellState | None = None,
        lengths: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tokens, CellState]:
        """Run the network on sequences.

        Args:
            x: inputs; see the class for shapes.
            targets: the outcomes to project on, in the layout of x; None: samples of p, available
                as `cell.outcomes` (T, B).
            state: state of the same sequences from an earlier call; None: the start state.
            lengths: (B,) number of steps of each sequence, at least 1; later steps are padding,
                which does not change the state; its log p is 0.
            generator: random number generator of the samples; None: torch's default.

        Returns:
            log p of all steps, and the state after each sequence's last step.

        Raises:
            ConfigError: x or targets have the wrong shape or values, or lengths do not match.
            DeviceError: no shots remain, on a device with shots.
            NumericsError: a target has probability 0, or parameters are not finite.
        """
        columns = [x] if targets is None else [x, targets]
        first = columns[-1]
        if isinstance(x, PackedSequence) != isinstance(first, PackedSequence):
            raise ConfigError("targets must be a PackedSequence if, and only if, x is one")
        parts = [c.data if isinstance(c, PackedSequence) else c for c in columns]
        if parts[0].shape != parts[-1].shape:
            raise ConfigError(
                f"targets must have the shape {tuple(parts[0].shape)} of x, got "
                f"{tuple(parts[-1].shape)}"
            )
        stacked = torch.stack(parts, -1)
        both: Tokens = stacked
        if isinstance(x, PackedSequence):
            both = PackedSequence(stacked, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        steps = partial(self._steps, generator=generator)
        return over_time(steps, both, state, lengths, self.batch_first)

    def _steps(
        self,
        both: torch.Tensor,
        state: CellState | None,
        lengths: torch.Tensor | None,
        active: torch.Tensor | None,
        generator: torch.Generator | None,
    ) -> tuple[torch.Tensor, CellState]:
        """Run the cell on x, stacked with the targets if there are any (T, B, 1 or 2)."""
        targets = both[:, :, 1] if both.shape[2] == 2 else None
        return self.cell.sequence(both[:, :, 0], state, active, targets, generator)
