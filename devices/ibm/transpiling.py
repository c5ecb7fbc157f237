"""Transpile each structure once per backend and process, with one layout per cell.

A replayed recurrent circuit grows by one step at a time. The layout chosen for the first circuit is
kept for the longer ones, so that these are only translated and routed, in time linear in their
length, and the cell uses the same physical qubits at every time step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qrnn.devices.ibm import limits
from qrnn.devices.ibm.circuits import FINAL, MID_CIRCUIT, build
from qrnn.devices.ibm.idle import with_delays
from qrnn.devices.ibm.schedule import coherence, duration
from qrnn.devices.ibm.translate import Structure
from qrnn.errors import DeviceError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import ClassicalRegister
    from qiskit.transpiler import PassManager, Target

# Transpiled circuits cached per backend; the oldest is dropped first.
CACHE_SIZE = 1024

_CACHE: WeakKeyDictionary[Any, dict[tuple, Compiled]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Compiled:
    """A structure in a backend's own gates and qubits.

    Attributes:
        circuit: the ISA circuit; its classical registers are those of `build`.
        columns: for each parameter of `circuit`, in Qiskit's order, its column in the rows of
            parameter values. Shorter than the rows where the transpiler dropped an angle.
        layout: physical qubit of each wire at the start of the circuit.
        read: physical qubit of each final bit.
        seconds: length of one execution, in seconds.
        coherence: shortest T2 of its qubits, in seconds; infinite where the backend states none.
    """

    circuit: QuantumCircuit
    columns: tuple[int, ...]
    layout: tuple[int, ...]
    read: tuple[int, ...]
    seconds: float
    coherence: float

    @property
    def two_qubit_gates(self) -> int:
        """Number of gates on more than one qubit."""
        return self.circuit.num_nonlocal_gates()

    def check_limits(self) -> None:
        """Check the limits of IBM's job validation.

        Raises:
            DeviceError: the circuit has too many gates.
        """
        counts = self.circuit.count_ops()
        dynamic = "if_else" in counts
        most = limits.MAX_TWO_QUBIT_GATES_DYNAMIC if dynamic else limits.MAX_TWO_QUBIT_GATES
        for what, given, allowed in (
            ("two-qubit gates", self.two_qubit_gates, most),
            ("SX gates", counts.get("sx", 0), limits.MAX_SX_GATES),
            ("RZ gates", counts.get("rz", 0), limits.MAX_RZ_GATES),
        ):
            if given > allowed:
                raise DeviceError(
                    f"A circuit must have at most {allowed:,} {what} on IBM hardware, but this one "
                    f"has {given:,}: use fewer time steps or a smaller ansatz"
                )

    def check_coherence(self, backend: str) -> None:
        """Check that a circuit ends before its qubits lose their phase.

        Args:
            backend: name of the backend, for the message.

        Raises:
            DeviceError: the circuit is longer than the shortest T2 of its qubits.
        """
        if self.seconds > self.coherence:
            raise DeviceError(
                "A circuit with measured readouts must end within the shortest T2 of its qubits, "
                f"{1e6 * self.coherence:.0f} us on {backend}, but takes {1e6 * self.seconds:.0f} "
                "us: use readout_mode=expval or fewer time steps, or set device.force_measure=true "
                "to run it anyway"
            )


@dataclass(frozen=True)
class Layout:
    """A layout that was chosen for a structure.

    Attributes:
        n: number of its wires.
        pairs: the wires that it couples.
        qubits: physical qubit of each wire.
    """

    n: int
    pairs: frozenset[tuple[int, ...]]
    qubits: tuple[int, ...]


class Transpiler:
    """Transpiles structures for one backend, reusing layouts.

    A layout is chosen for the qubits that a structure couples. It is reused for every later
    structure with the same number of qubits and no other couplings.

    Args:
        backend: a Qiskit backend.
        optimization_level: 0..3, Qiskit's.
        seed: seed of layout and routing; None: 0, so that an estimate is for the circuits that run,
            and a resumed run has the same circuits.
        initial_layout: physical qubit of each wire; None: chosen by Qiskit.
        delays: whether waiting qubits get delays, which have errors on simulated backends.
    """

    def __init__(
        self,
        backend: Any,
        optimization_level: int,
        seed: int | None,
        initial_layout: Sequence[int] | None,
        delays: bool = False,
    ):
        self.backend = backend
        self.optimization_level = optimization_level
        self.seed = seed
        self.initial_layout = None if initial_layout is None else tuple(initial_layout)
        self.delays = delays
        self._layouts: list[Layout] = []
        self._managers: dict[tuple[int, ...] | None, PassManager] = {}

    def copy(self) -> Transpiler:
        """Return a transpiler with the same settings and layouts, which chooses its own further."""
        other = Transpiler(
            self.backend, self.optimization_level, self.seed, self.initial_layout, self.delays
        )
        other._layouts = list(self._layouts)
        return other

    @property
    def layouts(self) -> list[Any]:
        """The layouts that were chosen, as JSON values; setting them repeats the choice.

        A resumed run sets those of its ledger: after a calibration, Qiskit may choose other qubits.
        """
        return [[one.n, sorted(one.pairs), one.qubits] for one in self._layouts]

    @layouts.setter
    def layouts(self, found: Sequence[Any]) -> None:
        self._layouts = [
            Layout(n, frozenset(map(tuple, pairs)), tuple(qubits)) for n, pairs, qubits in found
        ]

    @property
    def layout(self) -> tuple[int, ...] | None:
        """The layout that was given or first chosen; None: none is chosen yet."""
        chosen = self._layouts[0].qubits if self._layouts else None
        return self.initial_layout or chosen

    def __call__(self, structure: Structure) -> Compiled:
        """Return the transpiled structure, from the cache if possible.

        Raises:
            DeviceError: the backend lacks an instruction that the structure needs, or Qiskit cannot
                transpile it.
        """
        layout = structure.pinned or self.initial_layout or self._known_layout(structure)
        cache = _CACHE.setdefault(self.backend, {})
        key = (structure, self.optimization_level, self.seed, self.delays, layout)
        if key not in cache:
            if len(cache) >= CACHE_SIZE:
                del cache[next(iter(cache))]
            cache[key] = self._transpile(structure, layout)
        compiled = cache[key]
        if layout is None:
            self._layouts.append(Layout(structure.n, structure.pairs, compiled.layout))
            # Later calls look it up with the chosen layout.
            cache[(*key[:-1], compiled.layout)] = compiled
        return compiled

    def _known_layout(self, structure: Structure) -> tuple[int, ...] | None:
        for other in self._layouts:
            if other.n == structure.n and structure.pairs <= other.pairs:
                return other.qubits
        return None

    def _transpile(self, structure: Structure, layout: tuple[int, ...] | None) -> Compiled:
        for instruction, wanted_by in structure.needs.items():
            if instruction not in self.backend.target.operation_names:
                raise DeviceError(
                    f"Backend {self.backend.name} lacks the instruction {instruction!r}, which "
                    f"{wanted_by} needs: use another backend, or mcm_method='deferred' in the "
                    "QNode"
                )
        circuit = self._run(layout, build(structure))
        couplings = sum(len(s.wires) > 1 and s.name != "Barrier" for s in structure.steps)
        if layout is None and circuit.num_nonlocal_gates() < couplings:
            # The layout is for later steps, too: choose it for the gates that the measurements
            # made superfluous here.
            layout = _chosen(self._run(None, build(structure, barrier=True)), structure.n)
            circuit = self._run(layout, build(structure))
        chosen = _chosen(circuit, structure.n)
        target = self.backend.target
        circuit = _mid_circuit(circuit, target)
        if self.delays:
            circuit = with_delays(circuit, target)
        columns = tuple(parameter.index for parameter in circuit.parameters)
        seconds, t2 = duration(circuit, target), coherence(circuit, target)
        return Compiled(circuit, columns, chosen, _read(circuit), seconds, t2)

    def _run(self, layout: tuple[int, ...] | None, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return a circuit as transpiled.

        Raises:
            DeviceError: Qiskit's transpiler cannot do it, as for the two-qubit gates of fake_cairo.
        """
        from qiskit.transpiler.exceptions import TranspilerError

        try:
            return self._passes(layout).run(circuit)
        except TranspilerError as error:
            reason = " ".join(str(error).strip("'\"").split())[:200]
            raise DeviceError(
                f"Backend {self.backend.name} must have gates that Qiskit's transpiler can use, "
                f"but it says: {reason}: use another backend, or try another initial_layout"
            ) from error

    def _passes(self, layout: tuple[int, ...] | None) -> PassManager:
        from qiskit.transpiler import generate_preset_pass_manager

        if layout not in self._managers:
            self._managers[layout] = generate_preset_pass_manager(
                optimization_level=self.optimization_level,
                target=self.backend.target,
                initial_layout=None if layout is None else list(layout),
                seed_transpiler=0 if self.seed is None else self.seed,
            )
        return self._managers[layout]


def _chosen(circuit: QuantumCircuit, n: int) -> tuple[int, ...]:
    """Return the physical qubit of each of n wires at the start of a transpiled circuit."""
    if circuit.layout is None:  # a backend with all-to-all coupling has no layout
        return tuple(range(n))
    return tuple(circuit.layout.initial_index_layout(filter_ancillas=True))


def _mid_circuit(circuit: QuantumCircuit, target: Target) -> QuantumCircuit:
    """Return a circuit with the backend's own instructions for what it measures in between.

    Backends may have a shorter `measure_2` and `reset_2` for that.
    """
    names = [name for name in MID_CIRCUIT if MID_CIRCUIT[name] in target.operation_names]
    found = circuit.copy_empty_like()
    for one in circuit.data:
        final = any(bit in register for bit in one.clbits for register in _final(circuit))
        qubits = tuple(circuit.find_bit(qubit).index for qubit in one.qubits)
        if one.name in names and not final and qubits in target[MID_CIRCUIT[one.name]]:
            one = one.replace(operation=target.operation_from_name(MID_CIRCUIT[one.name]))
        found.append(one)
    return found


def _final(circuit: QuantumCircuit) -> list[ClassicalRegister]:
    """Return the final register, if there is one."""
    return [register for register in circuit.cregs if register.name == FINAL]


def _read(circuit: QuantumCircuit) -> tuple[int, ...]:
    """Return the physical qubit of each bit of the final register."""
    source = {
        instruction.clbits[0]: circuit.find_bit(instruction.qubits[0]).index
        for instruction in circuit.data
        if instruction.name == "measure"
    }
    return tuple(source[bit] for register in _final(circuit) for bit in register)
