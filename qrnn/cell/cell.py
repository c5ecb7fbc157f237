"""The hybrid recurrent cell: controller -> circuit -> memory -> readouts, one step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from pennylane.qnn import TorchLayer
from torch import nn
from typing_extensions import override

from qrnn.cell.checks import check_angles, check_controller, checked_inputs
from qrnn.cell.on_device import HoldsQuantumLayer, OnDevice
from qrnn.cell.torch_names import refuse_torchs
from qrnn.circuit.ansatz import Ansatz, QuantumFunction, build_ansatz
from qrnn.circuit.forgetting import with_forgetting
from qrnn.circuit.observables import pauli_words
from qrnn.circuit.readout_noise import ReadoutNoise
from qrnn.circuit.step import StepCircuit
from qrnn.circuit.threads import one_at_a_time
from qrnn.config.models import HybridConfig
from qrnn.controllers import Controller
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.errors import ConfigError, NumericsError
from qrnn.memory.base import Memory, has_hooks, is_patched
from qrnn.utils.autograd import in_full_precision
from qrnn.utils.checks import at_least_zero, flag, whole
from qrnn.utils.limits import check_memory
from qrnn.utils.rows import Rows


@dataclass(frozen=True)
class QRNNState(Rows):
    """The hidden state of B sequences, to pass to the next call.

    `state[rows]` is the state of some of them, for a beam search or a batch that shrinks: a slice,
    whole numbers (one may be repeated) or a mask. Gradients flow back through it.

    Attributes:
        z: the last readouts (B, R).
        carried: the quantum state, in the format of the memory strategy.
        memory: the device's memory strategy.
        step: number of steps so far.
    """

    z: torch.Tensor
    carried: Any
    memory: Memory
    step: int = 0

    def detach(self) -> QRNNState:
        """Return the state detached from the autograd graph (truncated backpropagation)."""
        carried = self.memory.detach(self.carried)
        return QRNNState(self.z.detach(), carried, self.memory, self.step)

    def select(self, rows: torch.Tensor) -> QRNNState:
        """Return the states of some sequences, by their indices (K,); one may be repeated."""
        return replace(self, z=self.z[rows], carried=self.memory.select(self.carried, rows))

    def amplitudes(self) -> torch.Tensor:
        """Return complex amplitudes (B, 2^n), or density matrices (B, 2^n, 2^n).

        Raises:
            DeviceError: the device gives no access to the state.
        """
        return self.memory.amplitudes(self.carried)


class QRNNCell(HoldsQuantumLayer, OnDevice):
    """A recurrent cell whose hidden state is a quantum state.

        theta_t = bias + controller([x_t ; z_(t-1)])
        |psi_t> = U(theta_t) |psi_(t-1)>
        z_t     = <psi_t| O_r |psi_t>,  r = 1..R

    with |psi_0> = |0...0> and z_0 its readouts. Source: Xu, Hybrid Quantum-Classical Recurrent
    Neural Networks, arXiv 2510.25557.

    Args:
        input_size: number of input features D.
        n_qubits: number of qubits n.
        ansatz: U: a registered name (`rotations`, `strongly_entangling`, ...), or a quantum
            function of `(angles, wires)` together with `n_angles`.
        n_angles: number of angles P of a quantum function.
        circuits: number of equal circuits side by side, on n / circuits qubits each, with angles
            of their own; one controller reads all of them. Their states are never entangled, so
            that density matrices have 4^(n / circuits) numbers for each circuit. `n_angles` and
            the options of the ansatz are those of one circuit.
        readout: `"XYZ"` (R = 3n), `"Z"`, `"ZZ"`, `"XYZ+XX+ZZ"`, or a list of Pauli words.
        controller: `"linear"`, `"relu"`, `"gelu"`, `"glu"`, or a module from (B, D + R) to (B, P).
        width: units per hidden layer of the controller.
        depth: number of hidden layers of the controller.
        dropout: dropout probability after each hidden layer.
        feedback: whether the controller reads the last readouts; if False, its input is (B, D).
        feedback_readout: the readout set that the controller reads, R' of the R readouts; `readout`
            must begin with it, and the controller's input is (B, D + R'). None: all readouts.
        bias_range: the bias is initialised uniformly in [-bias_range, bias_range], radians. Near 0,
            blank inputs hardly change the state; at pi, each of these steps is the same random
            unitary, whose many frequencies distinguish equal inputs at different steps.
        forget: how the state is damped before each step: `"gate"`: by a strength of each qubit that
            the controller gives; `"constant"`: by one that is trained; `"reset"`: half of the
            qubits are reset; see `qrnn.circuit.forgetting`. None: not at all.
        readout_mode: `"expval"`: expectation values, which do not disturb the state; `"measure"`:
            mid-circuit measurements through an ancilla, which do; see `qrnn.circuit.mid_circuit`.
        readout_angle: angle of the ancilla's controlled RY, radians in (0, pi]; mode `"measure"`
            only.
        readout_shots: during training, add the noise of this many shots to exact readouts.
        readout_depolarizing: during training, shrink exact readouts by this fraction.
        device: name of a device, its options, or an open device.
        **ansatz_options: options of a registered ansatz, e.g. `layers=2, entangler="CRX"`.

    Shape:
        x (B, D), z (B, R), in the dtype of the parameters. z is in [-1, 1], except for means of
        measured outcomes, which are unbiased but can lie outside.

    Raises:
        ConfigError: a name is unknown or a value out of range.
        DeviceError: the device is not installed or too small.
    """

    @one_at_a_time  # of two threads, one would have parameters of the other's dtype
    def __init__(
        self,
        input_size: int,
        n_qubits: int,
        *,
        ansatz: str | QuantumFunction | Ansatz = HybridConfig.ansatz,
        n_angles: int | None = None,
        circuits: int = HybridConfig.circuits,
        readout: str | Sequence[str] = HybridConfig.readout,
        forget: str | None = HybridConfig.forget,
        readout_mode: str = HybridConfig.readout_mode,
        readout_angle: float | None = None,
        controller: str | nn.Module = HybridConfig.controller,
        width: int = HybridConfig.width,
        depth: int = HybridConfig.depth,
        dropout: float = HybridConfig.dropout,
        feedback: bool = HybridConfig.feedback,
        feedback_readout: str | Sequence[str] | None = None,
        bias_range: float = HybridConfig.bias_range,
        readout_shots: int | None = None,
        readout_depolarizing: float = HybridConfig.readout_depolarizing,
        device: str | DeviceOptions | Device = DeviceOptions.name,
        **ansatz_options,
    ):
        super().__init__()
        refuse_torchs({"ansatz": ansatz, "device": device, **ansatz_options})
        self.input_size = input_size = whole("input_size", input_size, 1)
        bias_range = at_least_zero("bias_range", bias_range, " radians")
        self.device = open_device(device)
        self.device.check_wires(
            whole("n_qubits", n_qubits, 1)
        )  # before anything of that size is allocated
        built = build_ansatz(ansatz, n_qubits, n_angles, circuits, **ansatz_options)
        self.circuit = StepCircuit(
            with_forgetting(built, forget, circuits),
            readout,
            readout_mode,
            readout_angle,
        )
        if self.circuit.weights.names:
            self.ansatz = self.circuit.weights
        self.n_readouts = len(self.circuit.words)
        self.n_fed_back = n_fed_back(self.circuit, flag("feedback", feedback), feedback_readout)
        if isinstance(controller, str):
            controller = Controller(
                input_size,
                self.n_fed_back,
                self.circuit.n_angles,
                controller,
                width,
                depth,
                dropout,
            )
        check_controller(controller, input_size, self.n_fed_back, self.circuit.n_angles)
        self.controller = controller
        self.readout_noise = ReadoutNoise(readout_shots, readout_depolarizing)
        self.quantum = TorchLayer(
            self.device.qnode(self.circuit),
            {"bias": (self.circuit.n_angles,)},
            init_method=lambda bias: torch.empty(bias.shape).uniform_(-bias_range, bias_range),
        )
        self.memory = self.device.memory(self.circuit, self.quantum)

    @override
    def read_by(self, readout_mode: str | None, readout_angle: float | None) -> None:
        self.circuit = self.circuit.read_by(readout_mode, readout_angle)

    def start(self, batch: int, like: torch.Tensor) -> QRNNState:
        """Return the start state of `batch` sequences, with the dtype and device of `like`.

        Raises:
            ConfigError: the dtype is not float32 or float64, or the state does not fit into memory.
        """
        if like.dtype not in (torch.float32, torch.float64):
            raise ConfigError(
                f"x must be float32 or float64, like the cell's parameters, got {like.dtype}: use "
                f".to(torch.float32)"
            )
        size = self.memory.size(batch, like)
        check_memory(f"the state of {batch} sequences", size, "lower batch_size or n_qubits")
        z = self.circuit.start_readout().to(like).expand(batch, -1)
        return QRNNState(z, self.memory.start(batch, like), self.memory)

    @in_full_precision
    def forward(
        self,
        x: torch.Tensor,
        state: QRNNState | None = None,
        active: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, QRNNState]:
        """Advance by one step.

        Args:
            x: inputs (B, D).
            state: the state that the last call returned; None: |0...0>.
            active: (B,) bool; inactive sequences keep their state and readouts. None: all are
                active.

        Returns:
            z (B, R), and the new state.

        Raises:
            ConfigError: x is not (B, D) in the dtype of the parameters, active is not (B,) bool,
                the state belongs to another batch, device or dtype, or the controller does not
                return (B, P) in the dtype of x.
            NumericsError: angles are not finite; the step is named.
        """
        active = checked_inputs(x, active, ("B", self.input_size), self.quantum.bias)
        state = self._checked(state, x)
        controls = self.controller(torch.cat([x, state.z[:, : self.n_fed_back]], 1))
        check_angles(controls, x, self.circuit.n_angles, self.n_fed_back)
        if not torch.isfinite(controls).all():
            raise not_finite(state.step)
        z, carried = self.memory.step(state.carried, controls, active)
        if self.device.exact:  # sampled devices have real noise
            z = self.readout_noise(z, self.circuit.outcomes)
        if active is not None:
            z = torch.where(active[:, None], z, state.z)
        return z, QRNNState(z, carried, self.memory, state.step + 1)

    @in_full_precision
    def sequence(
        self, x: torch.Tensor, state: QRNNState | None = None, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, QRNNState]:
        """Advance by T steps, like T calls of the cell, but in one call if the device can.

        Args:
            x: inputs (T, B, D).
            state: the state that the last call returned; None: |0...0>.
            active: (T, B) bool; None: all sequences are active.

        Returns:
            z (T, B, R), and the new state.

        Raises:
            ConfigError: see `forward`.
            NumericsError: angles are not finite; the step is named.
        """
        active = checked_inputs(x, active, ("T", "B", self.input_size), self.quantum.bias)
        mine = type(self).forward is QRNNCell.forward and not is_patched(self)
        if mine and not is_patched(self.readout_noise) and not has_hooks(self, self.readout_noise):
            state = self._checked(state, x[0])
            done = self.memory.sequence(
                self.controller,
                x,
                state.carried,
                state.z,
                active,
                self.readout_noise,
                self.n_fed_back,
            )
            if done is not None:
                z, carried = done
                if not torch.isfinite(z[-1]).all():  # NaN persists until the last step
                    finite = torch.isfinite(z.detach()).all(2).all(1)
                    raise not_finite(state.step + int((~finite).nonzero()[0]))
                last = z[-1].clone()  # a change of z in place leaves the state as it is
                return z, QRNNState(last, carried, self.memory, state.step + len(x))
        out = []
        for t in range(len(x)):
            now = None if active is None or active[t].all() else active[t]
            z_t, state = self(x[t], state, now)
            out.append(z_t)
        assert state is not None
        return torch.stack(out), state

    def _checked(self, state: QRNNState | None, x: torch.Tensor) -> QRNNState:
        """Return the initial state, checked, for inputs (B, D)."""
        if has_hooks(*self.quantum.modules()) or is_patched(self.quantum):
            raise ConfigError(
                "cell.quantum must be without hooks and with its own forward, which the circuit "
                "does not call: use torch.nn.utils.parametrize instead of prune and the like"
            )
        if state is None:
            return self.start(len(x), x)
        if not isinstance(state, QRNNState):
            raise ConfigError(
                f"state must be from this cell's last call, got {type(state).__name__}: start from "
                f"None"
            )
        if state.z.dtype != x.dtype:
            raise ConfigError(
                f"state must be {x.dtype}, like x, got {state.z.dtype}: start from None, or use "
                f"the cell in one precision"
            )
        if (
            state.z.shape != (len(x), self.n_readouts)
            or state.memory.n_wires != self.circuit.n_wires
            or type(state.memory) is not type(self.memory)
        ):
            raise ConfigError(
                f"state must be from this cell's last call: {len(x)} sequences of "
                f"{self.circuit.n_wires} qubits on {self.device.name}, got {len(state.z)} of "
                f"{state.memory.n_wires} in {type(state.memory).__name__}"
            )
        if other := self.memory.differs_from(state.memory):
            raise ConfigError(
                f"state must be from this cell's last call, got one from a cell with {other}: "
                f"start from None"
            )
        return state

    def draw(self, **options) -> str:
        """Return the step circuit as text; see `StepCircuit.draw`."""
        return self.circuit.draw(**options)

    def specs(self) -> dict[str, Any]:
        """Return the resources of one step; see `StepCircuit.specs`."""
        return self.circuit.specs()

    def extra_repr(self) -> str:
        """Return the sizes, for `print(cell)`."""
        return (
            f"{self.input_size}, n_qubits={self.circuit.n_wires}, "
            f"n_angles={self.circuit.n_angles}, "
            f"n_readouts={self.n_readouts}, device={self.device.name!r}"
        )


def n_fed_back(circuit: StepCircuit, feedback: bool, readout: str | Sequence[str] | None) -> int:
    """Return the number of readouts that are fed back, for arguments of the cell.

    Raises:
        ConfigError: the feedback readouts are not the first readouts, or feedback is off.
    """
    if readout is None:
        return len(circuit.words) if feedback else 0
    if not feedback:
        raise ConfigError(f"feedback_readout needs feedback=True, got {readout!r}: leave it out")
    words = pauli_words(readout, circuit.n_wires, circuit.ansatz.pairs, "feedback_readout")
    if words != circuit.words[: len(words)]:
        raise ConfigError(
            f"feedback_readout must be the first of readout ({' '.join(circuit.words[:3])} ...), "
            f"got {readout!r}: list its readouts first in readout"
        )
    return len(words)


def not_finite(step: int) -> NumericsError:
    """Return the error for angles that are not finite at a step."""
    return NumericsError(
        f"angles must be finite, got NaN or infinity at step {step}: lower the learning rate, clip "
        f"the gradient, or check the input for NaN"
    )
