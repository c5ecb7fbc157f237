"""The quantum-neuron cell: tokens in, probabilities of the next token out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pennylane as qml
import torch
from pennylane.tape import QuantumScript
from torch import nn

from qrnn.cell.cell import OnDevice
from qrnn.cell.state import CellState, describe_state
from qrnn.circuit.threads import LastCall, one_at_a_time
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.errors import ConfigError, DeviceError, NumericsError
from qrnn.neurons.circuit import apply_step
from qrnn.neurons.definition import Definition, Weights
from qrnn.neurons.recurrence import Recurrence
from qrnn.neurons.replayed import Replay
from qrnn.neurons.transfer import Transfer, transfer
from qrnn.utils.autograd import in_full_precision
from qrnn.utils.checks import whole
from qrnn.utils.defaults import default_of


class QuantumNeuronCell(OnDevice):
    """A recurrent cell of quantum neurons, whose nonlinearity is postselection.

    The hidden state are w workspace qubits; io in/out qubits take the input and give the output:

        1. flip the in/out qubits, which are 0, to the bits of x_t
        2. input stage: a neuron on each workspace qubit
        3. `stages` times: RY on each workspace qubit, then a neuron on each
        4. undo the flips
        5. output stage: a neuron on each in/out qubit
        6. p_t = the probabilities of the in/out qubits' 2^io values
        7. project them on an outcome y_t, the target or a sample, and reset them

    `Definition` has the neurons' equations. Source: Bausch, Recurrent Quantum Neural Networks,
    NeurIPS 2020, arXiv 2006.14619. On device `fused` a step is a matrix (`qrnn.neurons.transfer`);
    on other devices the circuit itself runs (`qrnn.neurons.circuit`), sequence by sequence.

    Args:
        workspace: number of workspace qubits w.
        in_out: number of in/out qubits io.
        stages: number of stages between input and output.
        order: k of the neurons; k ancillas.
        degree: size d of the largest set of qubits that has a parameter of its own.
        theta_mean: mean of theta at the start, radians. At 0, as in the paper, every neuron turns
            its target by a quarter, which a hundred steps do not come back from; towards -pi/2 by
            little, with little gradient. -1 suits long sequences.
        device: name of a device, or its options.

    Attributes:
        theta: of each neuron (w (1 + stages) + io,), radians: input stage, stages, output stage.
        phi: of each neuron and control subset, radians; see `Definition.subsets`.
        rotation: of each stage and workspace qubit (stages, w), radians.
        outcomes: y_t of the last call (T, B).
        kept: of the last call (T, B) float64: the share of shots that all projections before the
            reading of step t keep, from the sequence's start on; nan where it is not active. On
            `fused` in theory, on a device with shots as it was; None on other exact devices.

    Shape:
        x (T, B), integers 0..2^io-1, the first in/out wire being the most significant bit;
        log p (T, B, 2^io), in the dtype of the parameters.

    Raises:
        ConfigError: a size below its minimum.
        DeviceError: the device is not installed, too small or cannot postselect.
    """

    subsets: torch.Tensor

    def __init__(
        self,
        workspace: int,
        in_out: int,
        *,
        stages: int = Definition.stages,
        order: int = Definition.order,
        degree: int = Definition.degree,
        theta_mean: float = default_of(Definition.start_weights, "theta_mean"),
        device: str | DeviceOptions | Device = DeviceOptions.name,
    ):
        super().__init__()
        self.definition = Definition(workspace, in_out, stages, order, degree)
        start = self.definition.start_weights(theta_mean)
        self.theta = nn.Parameter(start.theta)
        self.phi = nn.Parameter(start.phi)
        self.rotation = nn.Parameter(start.rotation)
        self.register_buffer("subsets", self.definition.subset_matrix(), persistent=False)
        self.n_readouts = self.definition.classes
        self.use(open_device(device))

    def use(self, device: Device) -> None:
        """Run on a device from now on."""
        self.device = device
        fused = device.strategy == "fused"
        self.replay = None if fused else Replay(self.definition, device)
        self.last = LastCall()

    @property
    def outcomes(self) -> torch.Tensor | None:
        """See the class; of this thread's last call."""
        return self.last.outcomes

    @property
    def kept(self) -> torch.Tensor | None:
        """See the class; of this thread's last call."""
        return self.last.kept

    @property
    def plugin(self) -> qml.devices.Device:
        """The PennyLane device that the circuits run on.

        Raises:
            DeviceError: device `fused`, which has none.
        """
        if self.replay is None:
            raise DeviceError("device fused runs no circuits: use .on('default.qubit') or another")
        return self.replay.plugin

    def tapes(
        self, x: torch.Tensor, targets: torch.Tensor, active: torch.Tensor
    ) -> list[QuantumScript]:
        """Return the circuits that a call with targets from the start runs; all (T, B).

        Raises:
            DeviceError: device `fused`, which runs none.
        """
        if self.replay is None:
            raise DeviceError("device fused runs no circuits: use .on('default.qubit') or another")
        return self.replay.tapes(self.weights, x, targets, active)

    @property
    def recipe(self) -> dict[str, Any]:
        """What its circuits are, as plain values: the parameters say the rest."""
        return asdict(self.definition)

    @property
    def weights(self) -> Weights:
        """The parameters."""
        return Weights(self.theta, self.phi, self.rotation)

    def transfer(self) -> Transfer:
        """Return the matrices of a step, differentiable; see `qrnn.neurons.transfer`."""
        return transfer(self.definition, self.weights, self.subsets)

    def start(self, batch: int) -> CellState:
        """Return the start state of `batch` sequences.

        Carried are, on `fused`, the workspace's amplitudes (B, 2^w), real and normalised, and the
        logarithm of the share of shots kept (B,); on other devices the tokens and outcomes so far
        (B, t). z is log p of the last step; before the first, all values are as likely.
        """
        p = self.theta.new_full((batch, self.n_readouts), 1 / self.n_readouts)
        if self.replay is not None:
            none = torch.empty(batch, 0, dtype=torch.long)
            return CellState(p.log(), (none, none), self.definition)
        psi = self.theta.new_zeros(batch, 2**self.definition.workspace)
        psi[:, 0] = 1
        carried = (psi, psi.new_zeros(batch, dtype=torch.float64))
        return CellState(p.log(), carried, self.definition)

    def forward(
        self,
        x: torch.Tensor,
        state: CellState | None = None,
        active: torch.Tensor | None = None,
        target: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, CellState]:
        """Advance by one step; arguments (B,) and log p (B, 2^io) are else as of `sequence`."""
        if x.ndim != 1:
            raise ConfigError(f"x must have shape (B,), got {tuple(x.shape)}")
        log_p, state = self.sequence(
            x[None],
            state,
            None if active is None else active[None],
            None if target is None else target[None],
            generator,
        )
        return log_p[0], state

    @in_full_precision
    def sequence(
        self,
        x: torch.Tensor,
        state: CellState | None = None,
        active: torch.Tensor | None = None,
        targets: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, CellState]:
        """Advance by T steps.

        Args:
            x: inputs (T, B), integers 0..2^io-1.
            state: as the last call returned it; None: the start.
            active: (T, B) bool; a sequence that is not active keeps its state and its log p.
            targets: the outcomes that in/out is projected on behind each step (T, B), integers;
                None: samples of p.
            generator: chooses the samples; None: torch's own.

        Returns:
            log p (T, B, 2^io), and the new state.

        Raises:
            ConfigError: x or targets of another shape or with other values, or a state of another
                batch or device.
            DeviceError: no shot is left.
            NumericsError: a target of probability 0, or parameters that are not finite.
        """
        self._check(x, "x", x)
        if targets is not None:
            self._check(targets, "targets", x)
        if active is not None and active.shape != x.shape:
            raise ConfigError(
                f"active must have the shape {tuple(x.shape)} of x, got {tuple(active.shape)}"
            )
        state = self._checked(state, x.shape[1])
        draws = None
        if targets is None:  # step by step, so that sequences cut in two draw as in one call
            where = x.device if generator is None else generator.device
            draws = torch.stack(
                [torch.rand(x.shape[1], generator=generator, device=where) for _ in x]
            ).to(self.theta)
        if self.replay is None:
            log_p, carried = self._fused(x, state, active, targets, draws)
        else:
            moving = torch.ones_like(x, dtype=torch.bool) if active is None else active
            log_p, carried, self.last.outcomes, self.last.kept = self.replay.sequence(
                self.weights, x, state.carried, moving, targets, draws
            )
        if active is not None:
            log_p = hold_inactive(log_p, active, state.z)
        return log_p, CellState(log_p[-1], carried, self.definition)

    @one_at_a_time
    def draw(self, value: int = 0, **options) -> str:
        """Return the circuit of one step as text.

        Args:
            value: the input, 0..2^io-1.
            **options: of `qml.draw`.
        """
        value = whole("value", value, 0, self.n_readouts - 1)
        numbers: list[Any] = [part.detach().cpu().numpy() for part in self.weights]

        def step():
            apply_step(self.definition, Weights(*numbers), value)
            return qml.probs(wires=list(self.definition.io_wires))

        return qml.draw(step, **options)()

    def _fused(self, x, state, active, targets, draws):
        """Return log p and what is carried, by the transfer matrices."""
        psi, log_kept = state.carried
        matrices, log_scale = self.transfer()
        log_p, psi, outcomes, log_norm = Recurrence.apply(matrices, psi, x, targets, draws, active)
        if not torch.isfinite(psi.detach()).all():
            raise self._not_finite(log_p.detach(), outcomes, active)
        with torch.no_grad():
            reading = log_norm.double() + 2 * log_scale[x]
            whole = reading + log_p.gather(2, outcomes[..., None])[..., 0]
            if active is not None:
                reading = reading.masked_fill(~active, torch.nan)
                whole = whole.masked_fill(~active, 0)
            total = log_kept + whole.cumsum(0)
            self.last.kept = (total - whole + reading).exp()
            self.last.outcomes = outcomes
        return log_p, (psi, total[-1])

    def _check(self, values: torch.Tensor, name: str, x: torch.Tensor) -> None:
        """Raise the error for tokens that are none."""
        if x.ndim != 2 or not x.numel() or values.shape != x.shape:
            raise ConfigError(
                f"{name} must have shape {'(T, B)' if name == 'x' else tuple(x.shape)}, at least "
                f"one step of one sequence, got {tuple(values.shape)}"
            )
        if values.dtype != torch.long or values.min() < 0 or values.max() >= self.n_readouts:
            raise ConfigError(
                f"{name} must be integers (torch.long) of 0..{self.n_readouts - 1}, got "
                f"{values.dtype} of {values.min().item()}..{values.max().item()}: raise in_out, or "
                f"encode them"
            )

    def _checked(self, state: CellState | None, batch: int) -> CellState:
        """Return the state to start from."""
        if state is None:
            return self.start(batch)
        if not isinstance(state, CellState):
            raise ConfigError(
                f"state must be from this cell's last call, got {describe_state(state)}: start from "
                f"None"
            )
        mine = self.start(batch).carried[0]
        first = state.carried[0] if state.carried else state.z
        if (
            state.z.shape != (batch, self.n_readouts)
            or first.dtype != mine.dtype
            or state.origin not in (None, self.definition)
            or (mine.is_floating_point() and first.shape != mine.shape)
        ):
            raise ConfigError(
                f"state must be of this cell's last call, {batch} sequences of "
                f"{self.definition.workspace} workspace qubits on {self.device.name}, got one of "
                f"{len(state.z)} sequences or of another cell, device or precision"
            )
        return state

    def _not_finite(self, log_p, outcomes, active) -> NumericsError:
        """Return the error for a state that is not finite, at its first step."""
        reached = log_p.gather(2, outcomes[..., None])[..., 0]
        bad = ~torch.isfinite(reached)
        if active is not None:
            bad &= active
        step = int(bad.any(1).nonzero()[0]) if bad.any() else 0
        return NumericsError(
            f"targets must have a probability above 0, got 0 or no number at step {step}: lower "
            f"the learning rate, clip the gradient, or use .to(torch.float64)"
        )

    def extra_repr(self) -> str:
        """Sizes, for `print(cell)`."""
        d = self.definition
        return (
            f"{d.workspace}, {d.in_out}, stages={d.stages}, order={d.order}, degree={d.degree}, "
            f"device={self.device.name!r}"
        )


def hold_inactive(z: torch.Tensor, active: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return z (T, B, R) with the last active step's in the place of each that is not active.

    Args:
        z: of all steps.
        active: (T, B) bool.
        before: z of the step before the first (B, R).
    """
    steps = torch.arange(1, len(z) + 1, device=z.device)[:, None]
    last = (steps * active).cummax(0).values
    return torch.cat([before[None], z]).take_along_dim(last[:, :, None], 0)
