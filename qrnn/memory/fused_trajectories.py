"""The fused strategy with noise as trajectories: pure states with random Pauli words.

Each sequence has K states, which run as K sequences of the kernels, with signed angles. Readouts
are means over them, and so is what the controller reads at the next step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from pennylane.qnn import TorchLayer
from typing_extensions import override

from qrnn.circuit.channels import CircuitNoise
from qrnn.circuit.pauli_errors import GOLDEN, mixed
from qrnn.circuit.step import StepCircuit
from qrnn.memory.fused import FusedState, PureStates
from qrnn.memory.fused_density import check_shown
from qrnn.memory.kernels.program import Program
from qrnn.memory.slots import Slots
from qrnn.memory.trajectories import compile_trajectories
from qrnn.utils.limits import check_memory


class Draws:
    """The seeds of sequences, one after the other, so that they do not depend on the batch size.

    Args:
        seed: seed of all; None: drawn from NumPy's global generator.
        index: tells the memories of a device apart.
    """

    def __init__(self, seed: int | None, index: int = 0):
        if seed is None:
            seed = int(np.random.randint(2**32, dtype=np.uint64))
        self._rng = np.random.default_rng(seed)
        self._offset = np.uint64(index * GOLDEN % 2**64)

    def seeds(self, batch: int) -> np.ndarray:
        """Return the seeds of the next sequences (B,), uint64."""
        drawn = self._rng.integers(2**64, size=batch, dtype=np.uint64)
        return mixed(drawn + self._offset)


# Bytes of the states that run together, on a CPU: from 32 MB on, each new one takes fresh pages
# from the system, which costs as much time as the kernels.
GROUP = 2**24


@dataclass(frozen=True)
class TrajectoryState:
    """K trajectories of each of B sequences.

    Attributes:
        pure: the states of the kernels, B K sequences in groups.
        frame: bits of the Pauli words (B K, 2n), X and Z on each wire: a trajectory's state is its
            word times its state of the kernels.
        seeds: of the sequences (B,), uint64.
        steps: number of steps so far (B,), uint64.
        readouts: the last readouts of each trajectory (B, K, R); None at the start.
    """

    pure: tuple[FusedState, ...]
    frame: torch.Tensor
    seeds: np.ndarray
    steps: np.ndarray
    readouts: torch.Tensor | None = None

    @property
    def standard_error(self) -> torch.Tensor | None:
        """Standard error of the last readouts (B, R), for the angles of that step.

        These depend on earlier readouts, whose errors are not contained. NaN for one trajectory.
        """
        if self.readouts is None:
            return None
        return self.readouts.std(1) / self.readouts.shape[1] ** 0.5


class FusedTrajectories(PureStates):
    """The state as K pure states with random Pauli errors, advanced by the noiseless kernels.

    Gradients are exact for the errors that were drawn. The mean of K readouts is fed back and
    enters the loss, whose bias falls like 1 / K.

    Args:
        circuit: the step circuit.
        layer: the quantum layer.
        noise: the noise of the gates and readouts.
        trajectories: number of trajectories K of a sequence.
        draws: gives the seeds of sequences.

    Raises:
        DeviceError: the circuit has `Damping`, or the inputs' torch device has no kernels.
        ConfigError: one sequence does not fit into this machine's memory.
    """

    def __init__(
        self,
        circuit: StepCircuit,
        layer: TorchLayer,
        noise: CircuitNoise,
        trajectories: int,
        draws: Draws,
    ):
        self.noise, self.copies, self.draws = noise, trajectories, draws
        super().__init__(circuit, layer)
        self.origin["another number of trajectories"] = (trajectories,)

    @override
    def compile(self) -> Program:
        self.paths = paths = compile_trajectories(self.circuit, self.noise)
        self.slots = Slots(paths.columns, paths.factors, paths.offsets)
        self._parities = torch.tensor(paths.parities, dtype=torch.float32, device="cpu")
        self._shrink = torch.tensor(paths.shrink, dtype=torch.float64, device="cpu")
        return paths.program

    @override
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "copies": self.copies}

    @override
    def size(self, batch: int, like: torch.Tensor) -> float:
        return super().size(batch * self.copies, like)

    @override
    def start(self, batch: int, like: torch.Tensor) -> TrajectoryState:
        kernels = self.kernels(like.device)
        return TrajectoryState(
            tuple(FusedState.of(kernels.start(n, like), n) for n in self.groups(batch, like)),
            self._parities.new_zeros(batch * self.copies, 2 * self.n_wires).to(like.device),
            self.draws.seeds(batch),
            np.zeros(batch, np.uint64),
        )

    def groups(self, batch: int, like: torch.Tensor) -> list[int]:
        """Return how many of the states of `batch` sequences run together, for each group."""
        count = batch * self.copies
        most = max(16, GROUP // int(super().size(1, like))) if like.device.type == "cpu" else count
        return [min(most, count - first) for first in range(0, max(1, count), most)]

    @override
    def step(
        self, state: TrajectoryState, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, TrajectoryState]:
        batch, copies = len(controls), self.copies
        angles = self.slots.angles(self.circuit.parameters(controls + self.layer.bias))
        signs, read, frame = self.signs(state)
        angles = (angles[:, None] * signs.to(angles).view(batch, copies, -1)).flatten(0, 1)
        steps, all_active = state.steps + np.uint64(1), None
        if active is not None:
            all_active = active.repeat_interleave(copies)
            frame = torch.where(all_active[:, None], frame, state.frame)
            steps = np.where(active.cpu().numpy(), steps, state.steps)
        sizes = [one.batch for one in state.pure]
        masks = [None] * len(sizes) if all_active is None else all_active.split(sizes)
        each = [
            self.advance(*one) for one in zip(state.pure, angles.split(sizes), masks, strict=True)
        ]
        z, pure = torch.cat([one for one, _ in each]), tuple(one for _, one in each)
        z = z * (read.to(z) * self._shrink.to(z))
        z = self.circuit.values(z).view(batch, copies, -1)
        return z.mean(1), TrajectoryState(pure, frame, state.seeds, steps, z.detach())

    def signs(self, state: TrajectoryState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw the errors of a step.

        Returns:
            the signs of the angles (B K, S) and of the readouts (B K, R), and the frame after the
            step (B K, 2n).
        """
        table = self._parities.to(state.frame.device)
        found = self.paths.errors.sample(state.seeds, state.steps, self.copies)
        samples, bits = (torch.from_numpy(index).to(table.device) for index in found)
        sums = state.frame @ table[: 2 * self.n_wires]  # of some thousand bits: exact in float32
        sums.index_add_(0, samples, table[2 * self.n_wires + bits])
        sizes = [len(self.paths.columns), len(self.circuit.read), 2 * self.n_wires]
        angles, readouts, frame = sums.remainder_(2).split(sizes, 1)
        return 1 - 2 * angles, 1 - 2 * readouts, frame

    @override
    def detach(self, state: TrajectoryState) -> TrajectoryState:
        return replace(state, pure=tuple(FusedState.of(one.raw, one.batch) for one in state.pure))

    @override
    def select(self, state: TrajectoryState, rows: torch.Tensor) -> TrajectoryState:
        """A sequence keeps its seed: it draws what it would have drawn, in each of its copies."""
        kernels = self.kernels(state.frame.device)
        each = (
            rows[:, None] * self.copies + torch.arange(self.copies, device=rows.device)
        ).flatten()
        psi = torch.cat([kernels.amplitudes(one.psi, one.batch) for one in state.pure])[each]
        sizes, of = self.groups(len(rows), state.pure[0].raw), rows.cpu().numpy()
        return TrajectoryState(
            tuple(FusedState.taken(kernels.pack(one), len(one)) for one in psi.split(sizes)),
            state.frame[each],
            state.seeds[of],
            state.steps[of],
            None if state.readouts is None else state.readouts[rows],
        )

    @override
    def amplitudes(self, state: TrajectoryState) -> torch.Tensor:
        """Return the means of the trajectories' density matrices (B, 2^n, 2^n).

        Raises:
            DeviceError: a density matrix of so many qubits is too large.
        """
        check_shown(self.n_wires)
        batch, size = len(state.seeds), 2**self.n_wires
        check_memory(f"{batch} density matrices", 16.0 * batch * size**2, "use fewer qubits")
        kernels = self.kernels(state.frame.device)
        psi = torch.cat([kernels.amplitudes(one.psi, one.batch) for one in state.pure])
        # Wire 0 is the most significant bit; a word acts as X...X Z...Z, up to its phase.
        values = 2 ** torch.arange(self.n_wires - 1, -1, -1, device=psi.device)
        x, z = (state.frame[:, i::2].long() @ values for i in (0, 1))
        numbers = torch.arange(size, device=psi.device)
        odd = torch.zeros(len(psi), size, dtype=torch.long, device=psi.device)
        for bit in values:
            odd ^= ((z[:, None] & numbers & bit) > 0).long()
        psi = (psi * (1 - 2 * odd)).gather(1, numbers ^ x[:, None])
        psi = psi.view(batch, self.copies, size)
        return torch.einsum("bki,bkj->bij", psi, psi.conj()) / self.copies
