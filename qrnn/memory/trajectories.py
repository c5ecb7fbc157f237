"""The gate program of a noisy circuit as trajectories of pure states, by Pauli frames.

A trajectory is a circuit with random Pauli words in it. The state is P |psi>, where the word P, the
*frame*, is known and the kernels carry |psi>. A Clifford gate turns P into another word. A rotation
is the same for P |psi> and |psi>, except that its angle has the opposite sign where the words of
the two anticommute; so has a readout. So a trajectory takes the gates of the noiseless circuit.

A frame after a gate is a sum of bits (mod 2) of the frame before, and so are the signs: all of a
step are one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pennylane.operation import Operator

from qrnn.circuit.channels import CHANNELS, KINDS, CircuitNoise, Damping, JointDepolarizing
from qrnn.circuit.gates import GATES, Primitive, Rotation
from qrnn.circuit.pauli_errors import Location, PauliErrors, probabilities
from qrnn.circuit.pauli_rotations import PauliRotation, pauli_rotations
from qrnn.circuit.step import StepCircuit
from qrnn.errors import DeviceError
from qrnn.memory.kernels.program import Program, program_of


@dataclass(frozen=True)
class TrajectoryProgram:
    """One step of the fused device with trajectories.

    Attributes:
        program: the kernels' gate program.
        columns: for each of its S angle slots, the index of the gate parameter.
        factors: for each slot, the factor of that parameter; 0 for a constant.
        offsets: for each slot, a constant to add, in the kernels' unit.
        errors: the random words of a step, E bits.
        parities: (2n + E, S + R + 2n): by which bits, of the frame before the step and of the
            errors, the angles and readouts change signs, and the frame after the step. The bits of
            a frame are X and Z on each wire.
        shrink: (R,) factors of the readouts, by readout errors.
    """

    program: Program
    columns: list[int]
    factors: list[float]
    offsets: list[float]
    errors: PauliErrors
    parities: np.ndarray
    shrink: np.ndarray


class _Words:
    """The Pauli words that bits of the frame and errors become on their way through a step."""

    def __init__(self, n_wires: int):
        self.n = n_wires
        self.bits = np.eye(2 * n_wires, dtype=np.uint8).reshape(-1, n_wires, 2)

    def anticommute(self, letters: Mapping[int, str]) -> np.ndarray:
        """Return for each word whether it anticommutes with a word, given by its letters."""
        odd = np.zeros(len(self.bits), np.uint8)
        for wire, letter in letters.items():
            odd ^= (letter in "YZ") * self.bits[:, wire, 0] ^ (letter in "XY") * self.bits[
                :, wire, 1
            ]
        return odd

    def turn(self, rotation: PauliRotation) -> None:
        """Apply a rotation by quarter turns."""
        if rotation.quarter_turns in (1, 3):
            odd = self.anticommute(rotation.letters)
            for wire, letter in rotation.letters.items():
                self.bits[:, wire] ^= odd[:, None] * np.array(
                    [letter in "XY", letter in "YZ"], np.uint8
                )

    def append(self, wires: tuple[int, ...]) -> None:
        """Append the words X and Z on each wire: the bits of an error."""
        new = np.zeros((2 * len(wires), self.n, 2), np.uint8)
        for i, wire in enumerate(wires):
            new[2 * i, wire, 0] = new[2 * i + 1, wire, 1] = 1
        self.bits = np.concatenate([self.bits, new])


class _Compiler:
    """Collects the primitives of the kernels, the errors, and what these do."""

    def __init__(self, n_wires: int):
        self.words = _Words(n_wires)
        self.primitives: list[tuple[Primitive, int]] = []
        self.slots: list[tuple[int, float, float]] = []
        self.signs: list[np.ndarray] = []
        self.locations: list[Location] = []
        self.open: dict[int, Location] = {}  # by wire, until the next gate

    def add(self, primitive: Primitive, first: int) -> None:
        """Append a primitive of a gate; `first` is the column of the gate's parameter."""
        rotations = pauli_rotations(primitive)
        if all(rotation.quarter_turns is not None for rotation in rotations):
            for rotation in rotations:
                self.words.turn(rotation)
            if rotations:
                self.primitives.append((primitive, 0))
            return
        for rotation in rotations:
            letters, factor = rotation.letters, rotation.factor
            self.primitives.append(
                (Rotation("".join(letters.values()), tuple(letters)), len(self.slots))
            )
            self.slots.append((first if factor else 0, factor, rotation.angle))
            self.signs.append(self.words.anticommute(letters))

    def noise(self, channel: Operator) -> None:
        """Append a channel, or add it to the last one on its wires."""
        wires, found = tuple(channel.wires), probabilities(channel)
        before = self.open.get(wires[0])
        if before is not None and all(self.open.get(wire) is before for wire in wires):
            before.add(wires, found)
            return
        self.locations.append(Location(wires, found))
        self.words.append(wires)
        self.open.update(dict.fromkeys(wires, self.locations[-1]))


def compile_trajectories(circuit: StepCircuit, noise: CircuitNoise) -> TrajectoryProgram:
    """Translate a step circuit and its noise into a gate program and its random signs.

    Raises:
        DeviceError: the circuit has `Damping`, whose strength the controller sets.
    """
    n = circuit.n_wires
    compiler = _Compiler(n)
    first = 0
    for gate in circuit.gates:
        if isinstance(gate, Damping):
            raise DeviceError(
                "device.trajectories must be left out with Damping, whose strength has a gradient: "
                "density matrices take up to 12 coupled qubits"
            )
        if isinstance(gate, JointDepolarizing) or type(gate) in CHANNELS:
            compiler.noise(gate)
        else:
            for wire in gate.wires:
                compiler.open.pop(wire, None)
            for primitive in GATES[gate.name](gate):
                compiler.add(primitive, first)
            for channel in noise.after(gate):
                compiler.noise(KINDS[channel.kind].operator(channel.strength, channel.wire))
        first += len(gate.data)

    words, program = compiler.words, program_of(circuit, compiler.primitives)
    size = len(words.bits)
    signs = [np.pad(compiler.signs[i], (0, size - len(compiler.signs[i]))) for i in program.columns]
    reads = [
        words.anticommute({wire: p for wire, p in enumerate(word) if p != "I"})
        for word in circuit.read
    ]
    slots = [compiler.slots[i] for i in program.columns]
    letters = np.array([n - word.count("I") for word in circuit.read])
    return TrajectoryProgram(
        program=program,
        columns=[column for column, _, _ in slots],
        factors=[slot[1] * unit for slot, unit in zip(slots, program.factors, strict=True)],
        offsets=[slot[2] * unit for slot, unit in zip(slots, program.factors, strict=True)],
        errors=PauliErrors(compiler.locations),
        parities=np.column_stack([*signs, *reads, words.bits.reshape(size, 2 * n)]),
        shrink=(1 - 2 * noise.flip) ** letters,
    )
