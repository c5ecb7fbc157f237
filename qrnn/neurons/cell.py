"""The quantum-neuron cell: from tokens to probabilities of the next token."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pennylane as qml
import torch
from pennylane.tape import QuantumScript
from torch import nn
from typing_extensions import override

from qrnn.cell.on_device import HasCircuits, OnDevice
from qrnn.cell.state import CellState, describe_state
from qrnn.circuit.threads import LastCall, one_at_a_time
from qrnn.config.models import QuantumNeuronConfig
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.errors import ConfigError, DeviceError, NumericsError
from qrnn.neurons.circuit import apply_step
from qrnn.neurons.definition import Definition, Weights
from qrnn.neurons.recurrence import Recurrence
from qrnn.neurons.replayed import Replay
from qrnn.neurons.transfer import Transfer, transfer
from qrnn.utils.autograd import in_full_precision
from qrnn.utils.checks import whole


class QuantumNeuronCell(HasCircuits, OnDevice):
    """A recurrent cell of quantum neurons, whose nonlinearity is postselection.

    The hidden state is held by w workspace qubits; io in/out qubits hold the input and the output:

        1. flip the in/out qubits from 0 to the bits of x_t
        2. input stage: a neuron on each workspace qubit
        3. `stages` times: RY on each workspace qubit, then a neuron on each
        4. undo the flips
        5. output stage: a neuron on each in/out qubit
        6. p_t = the probabilities of the in/out qubits' 2^io values
        7. project the in/out qubits on an outcome y_t, the target or a sample, and reset them

    See `Definition` for the neurons' equations. Source: Bausch, Recurrent Quantum Neural Networks,
    NeurIPS 2020, arXiv 2006.14619. On device `fused` a step is a matrix (`qrnn.neurons.transfer`);
    other devices run the circuit itself (`qrnn.neurons.circuit`), sequence by sequence.

    Args:
        workspace: number of workspace qubits w.
        in_out: number of in/out qubits io.
        stages: number of stages between input and output.
        order: order k of the neurons, which is also the number of ancillas.
        degree: size d of the largest control subset with its own parameter.
        theta_mean: initial mean of theta, radians. At 0, as in the paper, every neuron makes a
            quarter turn, from which training on a hundred steps does not recover; near -pi/2, turns
            and gradients are small. -1 suits long sequences.
        device: name of a device, its options, or an open device.

    Attributes:
        theta: one per neuron (w (1 + stages) + io,), radians: input stage, stages, output stage.
        phi: one per neuron and control subset, radians; see `Definition.subsets`.
        rotation: one per stage and workspace qubit (stages, w), radians.
        outcomes: y_t of the last call (T, B).
        kept: fraction of shots in the last call (T, B), float64, that pass all projections from the
            sequence's start to the measurement of step t; NaN for inactive sequences. Exact on
            `fused`, measured on devices with shots, None on other exact devices.

    Shape:
        x (T, B), integers 0..2^io-1; the first in/out wire is the most significant bit.
        log p (T, B, 2^io), in the dtype of the parameters.

    Raises:
        ConfigError: a size is out of range.
        DeviceError: the device is not installed, too small or cannot postselect.
    """

    subsets: torch.Tensor

    def __init__(
        self,
        workspace: int,
        in_out: int,
        *,
        stages: int = QuantumNeuronConfig.stages,
        order: int = QuantumNeuronConfig.order,
        degree: int = QuantumNeuronConfig.degree,
        theta_mean: float = QuantumNeuronConfig.theta_mean,
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

    @override
    def use(self, device: Device) -> None:
        if device.options.noise is not None:
            raise ConfigError(
                f"device.noise must be left out for quantum neurons, got {device.options.noise!r}: "
                f"study noise on an IBM backend or a copy of one"
            )
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
            DeviceError: device `fused` has no PennyLane device.
        """
        if self.replay is None:
            raise DeviceError("device fused runs no circuits: use .on('default.qubit') or another")
        return self.replay.plugin

    def tapes(
        self, x: torch.Tensor, targets: torch.Tensor, active: torch.Tensor
    ) -> list[QuantumScript]:
        """Return the circuits of a call with these targets from the start; arguments are (T, B).

        Raises:
            DeviceError: device `fused` runs no circuits.
        """
        if self.replay is None:
            raise DeviceError("device fused runs no circuits: use .on('default.qubit') or another")
        return self.replay.tapes(self.weights, x, targets, active)

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values that, with the parameters, define the circuits."""
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

        On `fused` it carries the workspace's amplitudes (B, 2^w), real and normalised, and the
        logarithm of the fraction of shots kept (B,); on other devices the tokens and outcomes so
        far (B, t). z is log p of the last step; before the first step it is uniform.
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
        """Advance by one step; like `sequence`, with arguments (B,) and log p (B, 2^io)."""
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
            state: the state that the last call returned; None: the start state.
            active: (T, B) bool; inactive sequences keep their state and log p. None: all are
                active.
            targets: outcomes on which in/out is projected after each step (T, B), integers; None:
                samples of p.
            generator: random number generator of the samples; None: torch's default.

        Returns:
            log p (T, B, 2^io), and the new state.

        Raises:
            ConfigError: x or targets have the wrong shape or values, or the state is from another
                batch or device.
            DeviceError: no shots remain.
            NumericsError: a target has probability 0, or parameters are not finite.
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
        if targets is None:  # drawn step by step, so that split sequences draw the same numbers
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
        last = log_p[-1].clone()  # a change of log_p in place leaves the state as it is
        return log_p, CellState(last, carried, self.definition)

    @one_at_a_time
    def draw(self, value: int = 0, **options) -> str:
        """Return the circuit of one step as text.

        Args:
            value: the input, 0..2^io-1.
            **options: options of `qml.draw`.
        """
        value = whole("value", value, 0, self.n_readouts - 1)
        numbers: list[Any] = [part.detach().cpu().numpy() for part in self.weights]

        def step():
            apply_step(self.definition, Weights(*numbers), value)
            return qml.probs(wires=list(self.definition.io_wires))

        return qml.draw(step, **options)()

    def _fused(self, x, state, active, targets, draws):
        """Return log p and what is carried, computed by the transfer matrices."""
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
        """Raise an error if tokens have the wrong shape, dtype or values."""
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
        """Return the initial state, checked."""
        if state is None:
            return self.start(batch)
        if not isinstance(state, CellState):
            raise ConfigError(
                f"state must be from this cell's last call, got {describe_state(state)}: "
                f"start from None"
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
                f"state must be from this cell's last call, {batch} sequences of "
                f"{self.definition.workspace} workspace qubits on {self.device.name}, got one of "
                f"{len(state.z)} sequences or from another cell, device or precision"
            )
        return state

    def _not_finite(self, log_p, outcomes, active) -> NumericsError:
        """Return the error for a state that is not finite; it names the first such step."""
        reached = log_p.gather(2, outcomes[..., None])[..., 0]
        bad = ~torch.isfinite(reached)
        if active is not None:
            bad &= active
        step = int(bad.any(1).nonzero()[0]) if bad.any() else 0
        return NumericsError(
            f"targets must have a probability above 0, got 0 or NaN at step {step}: lower the "
            f"learning rate, clip the gradient, or use .to(torch.float64)"
        )

    def extra_repr(self) -> str:
        """Return the sizes, for `print(cell)`."""
        d = self.definition
        return (
            f"{d.workspace}, {d.in_out}, stages={d.stages}, order={d.order}, degree={d.degree}, "
            f"device={self.device.name!r}"
        )


def hold_inactive(z: torch.Tensor, active: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return z (T, B, R), at inactive steps the value of the last active one.

    Args:
        z: values of all steps.
        active: (T, B) bool.
        before: value before the first step (B, R).
    """
    steps = torch.arange(1, len(z) + 1, device=z.device)[:, None]
    last = (steps * active).cummax(0).values
    return torch.cat([before[None], z]).take_along_dim(last[:, :, None], 0)
