"""The cell over whole sequences, with the conventions of `torch.nn.RNN`."""

from __future__ import annotations

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from qrnn.cell import OnDevice, QRNNCell, QRNNState
from qrnn.errors import ConfigError


class QRNN(OnDevice):
    """A `QRNNCell` applied along time.

    Args:
        input_size: number of input features D.
        n_qubits: number of qubits n.
        batch_first: sequences are (B, T, D) instead of (T, B, D).
        **cell_options: see `QRNNCell`.

    Shape:
        x (T, B, D), or (T, D) for one sequence, or a PackedSequence; z has R in the place of D.

    Example:
        >>> rnn = QRNN(8, n_qubits=4, batch_first=True)
        >>> z, state = rnn(torch.rand(2, 5, 8))
        >>> z.shape
        torch.Size([2, 5, 12])
    """

    def __init__(
        self, input_size: int, n_qubits: int, *, batch_first: bool = False, **cell_options
    ):
        super().__init__()
        self.cell = QRNNCell(input_size, n_qubits, **cell_options)
        self.batch_first = batch_first

    def forward(
        self,
        x: torch.Tensor | PackedSequence,
        state: QRNNState | None = None,
        lengths: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor | PackedSequence, QRNNState]:
        """Run sequences through the cell.

        Args:
            x: inputs; see the class for shapes.
            state: of the same sequences, from an earlier call; None: |0...0>.
            lengths: (B,) number of steps of each sequence, at least 1; the steps behind do not
                move the state, and their z is 0.

        Returns:
            z of all steps, and the state behind each sequence's last step.

        Raises:
            ConfigError: x of the wrong shape, or lengths that do not fit it.
        """
        if isinstance(x, PackedSequence):
            return self._packed(x, state, lengths)
        if x.ndim == 2:
            z, state = self._steps(x[:, None], state, lengths)
            return z[:, 0], state
        if x.ndim != 3:
            raise ConfigError(f"x must have 2 or 3 dimensions, got shape {tuple(x.shape)}")
        z, state = self._steps(x.transpose(0, 1) if self.batch_first else x, state, lengths)
        return (z.transpose(0, 1) if self.batch_first else z), state

    def _packed(
        self, x: PackedSequence, state: QRNNState | None, lengths: torch.Tensor | None
    ) -> tuple[PackedSequence, QRNNState]:
        if lengths is not None:
            raise ConfigError("lengths must be left out with a PackedSequence, which has its own")
        padded, lengths = pad_packed_sequence(x)
        z, state = self._steps(padded, state, lengths)
        packed = pack_padded_sequence(z, lengths, enforce_sorted=False)
        # pack_padded_sequence would sort again; the order of x is kept.
        return (
            PackedSequence(packed.data, x.batch_sizes, x.sorted_indices, x.unsorted_indices),
            state,
        )

    def _steps(
        self, x: torch.Tensor, state: QRNNState | None, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, QRNNState]:
        """Run x (T, B, D); return z (T, B, R) and the last state."""
        steps, batch = x.shape[:2]
        if steps < 1 or batch < 1:
            raise ConfigError(
                f"x must have at least one step and one sequence, got shape {tuple(x.shape)}"
            )
        active = None
        if lengths is not None:
            lengths = torch.as_tensor(lengths, device=x.device)
            if lengths.shape != (batch,) or lengths.min() < 1 or lengths.max() > steps:
                raise ConfigError(
                    f"lengths must be {batch} numbers of 1..{steps}, got {lengths.tolist()}"
                )
            active = torch.arange(steps, device=x.device)[:, None] < lengths
            # Whatever pads a sequence, NaN even, must reach neither values nor gradients.
            x = x.masked_fill(~active[:, :, None], 0)
        out, state = self.cell.sequence(x, state, active)
        if active is not None:
            out = out.masked_fill(~active[:, :, None], 0)
        return out, state
