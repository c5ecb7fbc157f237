"""The options of `IBMDevice`, and their checks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qrnn.devices.ibm.backends import Backend
from qrnn.devices.ibm.runtime import MODES
from qrnn.devices.ibm.translate import Structure
from qrnn.errors import DeviceError

# Of dynamical decoupling.
SEQUENCES = ("XX", "XpXm", "XY4")


@dataclass(frozen=True)
class Options:
    """The options of `IBMDevice`; see there."""

    seed: int | None
    optimization_level: int
    initial_layout: tuple[int, ...] | None
    mode: str
    ledger: str | Path | None
    max_qpu_seconds: float | None
    queue_timeout: float | None
    readout_mitigation: int | None
    zne: tuple[int, ...] | None
    force_measure: bool
    dynamical_decoupling: str | None
    twirl_gates: bool
    twirl_measurements: bool
    fractional_gates: bool
    rep_delay: float | None
    idle_noise: bool

    @property
    def identity(self) -> dict[str, Any]:
        """The options that change a circuit's outcomes; part of each job's key."""
        return {
            "seed": self.seed,
            "optimization_level": self.optimization_level,
            "initial_layout": self.initial_layout,
            # Only those that are set, so that keys stay as they were.
            **self.sampler,
            **({"fractional_gates": True} if self.fractional_gates else {}),
            **({"idle_noise": True} if self.idle_noise else {}),
        }

    @property
    def sampler(self) -> dict[str, Any]:
        """The options of IBM's Sampler that are set, in its own form."""
        options: dict[str, Any] = {}
        if self.dynamical_decoupling is not None:
            options["dynamical_decoupling"] = {
                "enable": True,
                "sequence_type": self.dynamical_decoupling,
            }
        twirled = {"enable_gates": self.twirl_gates, "enable_measure": self.twirl_measurements}
        if any(twirled.values()):
            options["twirling"] = twirled
        if self.rep_delay is not None:
            options["execution"] = {"rep_delay": self.rep_delay}
        return options

    def check(self, backend: Backend, n: int | None) -> None:
        """Check the options against a backend.

        Args:
            backend: the backend.
            n: number of wires, or None.

        Raises:
            DeviceError: an option is invalid, or the backend would ignore it.
        """
        check_transpiling(backend, n, self.optimization_level, self.initial_layout)
        if self.mode not in MODES:
            raise DeviceError(
                f"Argument `mode` must be one of {', '.join(MODES)}, but got {self.mode!r}"
            )
        if self.readout_mitigation is not None and self.readout_mitigation < 1:
            raise DeviceError(
                "Argument `readout_mitigation` must be a number of calibration shots, but got "
                f"{self.readout_mitigation}: try 8192, or leave it out"
            )
        check_suppression(self)
        if self.fractional_gates:
            self._check_fractional(backend)
        self._check_seconds()
        self._check_rep_delay(backend)
        self._check_zne()
        if backend.local:
            self._check_local(backend)
        else:
            self._check_hardware(backend)

    def _check_seconds(self) -> None:
        for name in ("max_qpu_seconds", "queue_timeout", "rep_delay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:  # a limit of NaN would never bind
                raise DeviceError(
                    f"Argument `{name}` must be a number of seconds, at least 0, but got {value}: "
                    "leave it out for the default"
                )

    def _check_rep_delay(self, backend: Backend) -> None:
        if self.rep_delay is None or backend.rep_delay_range is None:
            return
        low, high = backend.rep_delay_range
        if not low <= self.rep_delay <= high:
            raise DeviceError(
                f"Argument `rep_delay` must be in {low:g}..{high:g} s on {backend.name}, but got "
                f"{self.rep_delay:g}"
            )

    def _check_fractional(self, backend: Backend) -> None:
        if "rzz" not in backend.backend.target.operation_names:
            raise DeviceError(
                f"Argument `fractional_gates` must be left out on {backend.name}, whose target has "
                "no RZZ: use a backend that has them"
            )

    def check_circuit(self, structure: Structure, shots: int) -> None:
        """Check that IBM's Sampler can run a circuit with these options.

        Args:
            structure: the circuit.
            shots: its shots.

        Raises:
            DeviceError: dynamical decoupling or twirling would have to run with branches, or
                twirling of measurements with resets or mid-circuit measurements; or twirling would
                round the shots up.
        """
        refused: dict[str, tuple[str, ...]] = {}
        if any(step.condition for step in structure.steps):
            refused["branches"] = ("dynamical_decoupling", "twirl_gates", "twirl_measurements")
        if any(step.name == "reset" for step in structure.steps):
            refused["resets of qubits"] = ("twirl_measurements",)
        if structure.mid_bits:
            refused["mid-circuit measurements"] = ("twirl_measurements",)
        for what, names in refused.items():
            if given := [name for name in names if getattr(self, name)]:
                raise DeviceError(
                    f"Argument `{given[0]}` must be left out for circuits with {what}, which IBM "
                    f"does not run with it, but got {getattr(self, given[0])!r}"
                )
        check_suppression(self, shots)

    def _check_zne(self) -> None:
        if self.zne is None:
            return
        odd = all(isinstance(f, int) and f > 0 and f % 2 for f in self.zne)
        if not odd or len(set(self.zne)) < 2 or min(self.zne) != 1:
            raise DeviceError(
                "Argument `zne` must be odd whole factors, 1 and at least one larger, but got "
                f"{list(self.zne)}: try [1, 3]"
            )

    def _check_local(self, backend: Backend) -> None:
        if self.queue_timeout is not None:
            raise DeviceError(
                f"Argument `queue_timeout` must be left out for the local backend {backend.name}: "
                "it has no queue"
            )
        if self.idle_noise and not hasattr(backend.backend, "fake"):
            raise DeviceError(
                f"Argument `idle_noise` must be left out for the local backend {backend.name}, "
                "whose qubits have no T1 and T2: use a fake backend"
            )
        ignored = ("dynamical_decoupling", "twirl_gates", "twirl_measurements")
        if given := [name for name in ignored if getattr(self, name)]:
            raise DeviceError(
                f"Argument `{given[0]}` must be left out for the local backend {backend.name}, "
                "which would ignore it: it is IBM's service that does this"
            )

    def _check_hardware(self, backend: Backend) -> None:
        if self.seed is not None:
            raise DeviceError(
                f"Argument `seed` must be left out on hardware, but got {self.seed} for "
                f"{backend.name}: only local backends are reproducible"
            )
        if self.idle_noise:
            raise DeviceError(
                f"Argument `idle_noise` must be left out on hardware ({backend.name}), which has it"
            )
        if self.ledger is None:
            raise DeviceError(
                f"Argument `ledger` must be a folder on hardware ({backend.name}), but got None: "
                "without one, jobs are lost when the process ends"
            )


def check_suppression(given: Any, shots: int | None = None) -> None:
    """Check the options of error suppression that fit no backend.

    Args:
        given: `Options` or `DeviceOptions`.
        shots: of a circuit; None: not known yet.

    Raises:
        DeviceError: an option is unknown, two exclude each other, or twirling would round the shots
            up.
    """
    if given.dynamical_decoupling not in (None, *SEQUENCES):
        raise DeviceError(
            f"Argument `dynamical_decoupling` must be {', '.join(SEQUENCES[:-1])} or "
            f"{SEQUENCES[-1]}, but got {given.dynamical_decoupling!r}"
        )
    for name in ("dynamical_decoupling", "twirl_gates") if given.fractional_gates else ():
        if getattr(given, name):
            raise DeviceError(
                f"Argument `{name}` must be left out with fractional gates, but got "
                f"{getattr(given, name)!r}: use one of them"
            )
    twirled = given.twirl_gates or given.twirl_measurements
    if twirled and shots is not None and shots % max(64, -(-shots // 32)):
        raise DeviceError(
            f"Shots must be a multiple of 64 with twirling, but got {shots}: IBM would run more"
        )


def check_transpiling(
    backend: Backend, n: int | None, optimization_level: int, layout: tuple[int, ...] | None
) -> None:
    """Check the options of the transpiler against a backend.

    Args:
        backend: the backend.
        n: number of wires, or None.
        optimization_level: level of Qiskit's transpiler.
        layout: physical qubit of each wire, or None.

    Raises:
        DeviceError: an option is invalid, or the backend has too few qubits.
    """
    if optimization_level not in (0, 1, 2, 3):
        raise DeviceError(
            f"Argument `optimization_level` must be 0, 1, 2 or 3, but got {optimization_level}"
        )
    available = backend.backend.num_qubits
    if n is not None and available is not None and n > available:
        raise DeviceError(
            f"Argument `wires` must be at most {available} on {backend.name}, but got {n}"
        )
    if layout is not None and len(layout) != n:
        raise DeviceError(
            f"Argument `initial_layout` must name one qubit for each of the {n} wires, but got "
            f"{list(layout)}"
        )
    if (
        layout is not None
        and available is not None
        and (len(set(layout)) < len(layout) or not set(layout) <= set(range(available)))
    ):
        raise DeviceError(
            f"Argument `initial_layout` must name different qubits in 0..{available - 1}, "
            f"but got {list(layout)}"
        )
