"""What a device declares about itself, and the options that a config may set on one."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass, field, fields
from typing import Any

from qrnn.errors import ConfigError, DeviceError, install_line
from qrnn.utils.checks import typed

MAX_SHOTS = 10**9  # simulators list them all
STRATEGIES = ("fused", "carried", "replayed")


@dataclass
class DeviceOptions:
    """The `device` group of the config. An option that the device would ignore is an error.

    The options from `mode` on are those of IBM's backends; most hold for their simulated copies
    too, so that a run can be rehearsed.

    Attributes:
        name: a name that `qrnn devices` lists, or of an IBM backend, e.g. ibm_torino.
        strategy: fused, carried or replayed; None: the device's own.
        shots: executions of each circuit; sampled devices need it.
        seed: of the sampling, on local devices.
        gradient: how the replayed strategy differentiates; None: the device's first.
        noise: depolarizing, amplitude_damping, phase_damping or readout.
        strength: probability of that noise, for each gate and qubit, or each readout.
        mode: job (None), batch or session of qiskit-ibm-runtime; sessions need a paid plan.
        instance: CRN of the IBM instance that pays; needed if the account has a paid plan.
        max_qpu_seconds: budget in QPU seconds, over all attempts of the run; None: no limit.
        queue_timeout: seconds to wait for a job to leave the queue; None: for ever.
        ledger: folder that records the jobs; None: `jobs` beside the checkpoint.
        readout_mitigation: shots of each of two calibration circuits in each job; None: no
            correction of readout errors.
        zne: odd noise factors, e.g. [1,3], to extrapolate to no noise; None: no extrapolation.
        optimization_level: of Qiskit's transpiler, 0..3; None: 2.
        initial_layout: physical qubit of each of the n wires; None: Qiskit's choice.
        options: keyword arguments of a PennyLane plugin's own device.
    """

    name: str = "fused"
    strategy: str | None = None
    shots: int | None = None
    seed: int | None = None
    gradient: str | None = None
    noise: str | None = None
    strength: float | None = None
    mode: str | None = None
    instance: str | None = None
    max_qpu_seconds: float | None = None
    queue_timeout: float | None = None
    ledger: str | None = None
    readout_mitigation: int | None = None
    zne: list[int] | None = None
    optimization_level: int | None = None
    initial_layout: list[int] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """Return the options that were set, without the name."""
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self) if f.name != "name")
        return {name: value for name, value in pairs if value not in (None, {})}


@dataclass(frozen=True)
class DeviceSpec:
    """A device's declared capabilities; what it does not declare is refused before it runs.

    Attributes:
        name: as in the config.
        strategies: how it can carry the state, its own choice first.
        options: the fields of `DeviceOptions` that it reads.
        shots: "no", "optional" or "required".
        noisy: whether readouts deviate beyond shot noise.
        max_wires: largest number of qubits n that is sensible.
        gradients: methods for the replayed strategy, the default first.
        measured: the strategies that can measure mid-circuit, for `readout_mode` measure.
        batching: whether one execution takes a batch of sequences.
        needs: module that must be importable.
        extra: the extra of this distribution that brings it.
        account: whether it needs an account of IBM.
        cost: how T steps grow, n qubits and B sequences.
    """

    name: str
    strategies: tuple[str, ...]
    options: tuple[str, ...]
    shots: str
    noisy: bool
    max_wires: int
    gradients: tuple[str, ...]
    measured: tuple[str, ...]
    batching: bool
    needs: str
    cost: str
    extra: str | None = None
    account: bool = False

    def missing(self) -> str | None:
        """Return why the device cannot run here, or None."""
        if importlib.util.find_spec(self.needs) is not None:
            return None
        if self.extra:
            return install_line(self.extra)
        return f"pip install {self.needs.replace('_', '-')}"

    @property
    def runs_here(self) -> str:
        """Whether it can run here, in a few words."""
        return self.missing() or ("with an IBM account" if self.account else "yes")

    def check(self, options: DeviceOptions) -> None:
        """Raise the error for options that the device would ignore or cannot follow.

        Raises:
            ConfigError: such an option, with what is allowed.
            DeviceError: the device is not installed.
        """
        if (remedy := self.missing()) is not None:
            raise DeviceError(f"device {self.name!r} is not installed: {remedy}")
        given = options.given()
        if ignored := sorted(set(given) - set(self.options)):
            raise ConfigError(
                f"device {self.name!r} would ignore {', '.join(f'device.{k}' for k in ignored)}: "
                f"it reads {', '.join(self.options) or 'no options'}"
            )
        typed(options, "device")
        for name in ("seed", "max_qpu_seconds", "queue_timeout"):
            value = getattr(options, name)
            if value is not None and not 0 <= value < math.inf:  # a limit of NaN would never bind
                raise ConfigError(
                    f"device.{name} must be finite and at least 0, got {value}: set null for none"
                )
        if options.shots is not None and options.shots < 1:
            raise ConfigError(f"device.shots must be at least 1, got {options.shots}")
        if options.shots is not None and options.shots > MAX_SHOTS:
            raise ConfigError(f"device.shots must be at most {MAX_SHOTS}, got {options.shots}")
        if self.shots == "required" and options.shots is None:
            raise ConfigError(
                f"device {self.name!r} samples its readouts: set device.shots, e.g. 1024"
            )
        strategy = self.strategy(options)
        if options.strategy is not None and options.strategy not in self.strategies:
            raise ConfigError(
                f"device.strategy must be {' or '.join(self.strategies)} on {self.name!r}, "
                f"got {options.strategy!r}"
            )
        if options.shots is not None and strategy != "replayed":
            raise ConfigError(
                f"device.strategy {strategy!r} reads an exact state, got device.shots="
                f"{options.shots}: use strategy replayed, or leave out the shots"
            )
        if options.gradient is not None:
            self._check_gradient(options, strategy)

    def _check_gradient(self, options: DeviceOptions, strategy: str) -> None:
        allowed = self.gradients
        if options.shots is not None:
            allowed = tuple(g for g in allowed if g not in ("backprop", "adjoint"))
        if strategy != "replayed" or options.gradient not in allowed:
            raise ConfigError(
                f"device.gradient must be one of {', '.join(allowed)} with strategy replayed on "
                f"{self.name!r}, got {options.gradient!r} with strategy {strategy}"
            )

    def strategy(self, options: DeviceOptions) -> str:
        """Return the strategy that these options lead to."""
        if options.strategy is not None:
            return options.strategy
        return "replayed" if options.shots is not None else self.strategies[0]

    def gradient(self, options: DeviceOptions, *, measured: bool = False) -> str | None:
        """Return PennyLane's `diff_method` for the replayed strategy; None is "no gradient".

        Args:
            options: what was set.
            measured: whether the circuits measure mid-circuit, which has no adjoint.
        """
        chosen = options.gradient
        if chosen is None:
            sampled = options.shots is not None
            barred = ("backprop", "adjoint") if sampled else ("adjoint",) if measured else ()
            chosen = next(g for g in self.gradients if g not in barred)
        return None if chosen == "none" else chosen
