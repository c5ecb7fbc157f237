"""The capabilities that a device declares, and the options of devices."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

from qrnn.errors import ConfigError, DeviceError, install_line
from qrnn.utils.checks import typed, whole

MAX_SHOTS = 10**9  # simulators keep all shots in memory
STRATEGIES = ("fused", "carried", "replayed")


@dataclass(frozen=True)
class OptionInfo:
    """How a device option is treated: the metadata of its field.

    Attributes:
        ibm: IBM backends that read it, `all`, `simulated` or `real`; None: none.
        identity: whether the results depend on it; if not, a run may resume with another value.
        recorded: whether it is saved with the results; accounts and paths are not.
        shown: whether tables of results list it as "name value"; shots and noise have their own
            form.
        at_least: smallest value; it must then be finite, too. None: any.
    """

    ibm: str | None = None
    identity: bool = True
    recorded: bool = True
    shown: bool = False
    at_least: int | None = None


def option(**info: Any) -> Any:
    """Return a field of `DeviceOptions` with default None; the arguments are `OptionInfo`'s."""
    return field(default=None, metadata={"info": OptionInfo(**info)})


@dataclass
class DeviceOptions:
    """The `device` group of the config. Options that the device would ignore are errors.

    The options from `mode` on are for IBM's backends. Most also apply to fake backends, so
    that a run can be rehearsed.

    Attributes:
        name: a name listed by `qrnn devices`, or the name of an IBM backend, e.g. ibm_fez.
        strategy: fused, carried or replayed; None: the device's default.
        shots: executions of each circuit; required on sampling devices.
        seed: seed of the sampling, on local devices, or of trajectories.
        gradient: differentiation method of the replayed strategy; None: the device's default.
        noise: depolarizing, amplitude_damping, phase_damping or readout; on `fused`, also the name
            of a backend, e.g. fake_fez, for its errors.
        strength: probability of the noise, for each gate and qubit, or each readout; backends have
            their own.
        trajectories: number of pure states with random Pauli errors that stand for the density
            matrix of a sequence; None: the density matrix, up to 12 coupled qubits.
        twirl_damping: whether trajectories may have the amplitude damping of the noise in its
            Pauli-twirled form, which relaxes towards the fully mixed state instead of 0; None: no,
            such noise is refused.
        mode: job (None), batch or session of qiskit-ibm-runtime; sessions need a paid plan.
        instance: CRN of the IBM instance to bill; required if the account has a paid plan.
        max_qpu_seconds: budget in QPU seconds, over all attempts of the run; None: no limit.
        queue_timeout: seconds to wait for a job to leave the queue; None: no limit.
        ledger: folder that records the jobs; None: `jobs` next to the checkpoint.
        readout_mitigation: shots of each of two calibration circuits per job, which correct
            readout errors; None: no correction.
        calibrate: number of training sequences that are run first, to measure by how much the
            device shrinks readouts, and to divide these by it; None: no correction.
        zne: odd noise factors, e.g. [1,3], for zero-noise extrapolation; None: no extrapolation.
        dynamical_decoupling: pulses on qubits that wait, XX, XpXm or XY4; None: none.
        twirl_gates: whether IBM averages two-qubit gates over random Pauli gates; None: no.
        twirl_measurements: whether IBM averages measurements over random flips; None: no.
        fractional_gates: whether rotations of two qubits run as one RZZ where the backend has it,
            instead of two CZ; None: no.
        rep_delay: seconds that the backend waits before each execution, which a fake backend only
            prices; None: the backend's default.
        replay: number of steps that are replayed, the last ones, for a model that forgets
            (`model.forget`); None: all so far.
        ancillas: number of qubits that mid-circuit readouts and `model.forget` measure or reset in
            turn, so that one is measured while the next is coupled; None: 1.
        force_measure: whether to run circuits with measured readouts although they are longer than
            the shortest T2 of their qubits; None: they are refused.
        idle_noise: whether qubits of a fake backend relax while they wait; None: as in Aer's noise
            models, they do not.
        optimization_level: optimization level of Qiskit's transpiler, 0..3; None: 2.
        initial_layout: physical qubit of each of the n wires; None: chosen by Qiskit.
        options: keyword arguments for the device of a PennyLane plugin.
    """

    name: str = "fused"
    strategy: str | None = option(identity=False, shown=True)
    shots: int | None = option()
    seed: int | None = option(ibm="simulated", at_least=0)
    gradient: str | None = option(identity=False, shown=True)
    noise: str | None = option()
    strength: float | None = option()
    trajectories: int | None = option(at_least=1)
    twirl_damping: bool | None = option()
    mode: str | None = option(ibm="all", identity=False)
    instance: str | None = option(ibm="real", identity=False, recorded=False)
    max_qpu_seconds: float | None = option(ibm="all", identity=False, at_least=0)
    queue_timeout: float | None = option(ibm="real", identity=False, at_least=0)
    ledger: str | None = option(ibm="all", identity=False, recorded=False)
    readout_mitigation: int | None = option(ibm="all", shown=True)
    calibrate: int | None = option(ibm="all", shown=True, at_least=2)
    zne: list[int] | None = option(ibm="all", shown=True)  # noqa: RUF009
    dynamical_decoupling: str | None = option(ibm="real", shown=True)
    twirl_gates: bool | None = option(ibm="real", shown=True)
    twirl_measurements: bool | None = option(ibm="real", shown=True)
    fractional_gates: bool | None = option(ibm="real", shown=True)
    rep_delay: float | None = option(ibm="all", shown=True, at_least=0)
    replay: int | None = option(shown=True, at_least=1)
    ancillas: int | None = option(ibm="all", shown=True, at_least=1)
    force_measure: bool | None = option(ibm="all", identity=False)
    idle_noise: bool | None = option(ibm="simulated", shown=True)
    optimization_level: int | None = option(ibm="all", shown=True)
    initial_layout: list[int] | None = option(ibm="all")  # noqa: RUF009
    options: dict[str, Any] = field(default_factory=dict, metadata={"info": OptionInfo()})

    def __post_init__(self) -> None:
        """Make whole numbers of NumPy those of Python, which JSON and PennyLane can take.

        Raises:
            ConfigError: the noise is an object, such as a noise model of PennyLane.
        """
        if not isinstance(self.noise, (str, type(None))):
            kind = self.noise if isinstance(self.noise, type) else type(self.noise)
            raise ConfigError(
                f"device.noise must be a name, got {kind.__name__}: for your own noise, subclass "
                f"qrnn.devices.Device and add it in transform (docs/extend.md)"
            )
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type == "int | None" and hasattr(value, "dtype"):
                setattr(self, one.name, whole(f"device.{one.name}", value))

    def given(self) -> dict[str, Any]:
        """Return the options that are set, without the name."""
        return {k: v for k in option_info() if (v := getattr(self, k)) not in (None, {})}

    def given_where(self, meets: Callable[[OptionInfo], bool]) -> dict[str, Any]:
        """Return the options that are set and meet a condition."""
        return {name: value for name, value in self.given().items() if meets(option_info()[name])}

    def on_fake(self, name: str) -> DeviceOptions:
        """Return the options for a fake backend, without those that only real backends read."""
        unset: dict[str, Any] = dict.fromkeys(options_where(lambda one: one.ibm == "real"))
        return replace(self, name=name, **unset)


@cache
def option_info() -> dict[str, OptionInfo]:
    """Return the `OptionInfo` of each option, without the device's name."""
    return {f.name: f.metadata["info"] for f in fields(DeviceOptions) if f.name != "name"}


def options_where(meets: Callable[[OptionInfo], bool]) -> tuple[str, ...]:
    """Return the names of the options that meet a condition."""
    return tuple(name for name, one in option_info().items() if meets(one))


@dataclass(frozen=True)
class DeviceSpec:
    """A device's declared capabilities; anything else is refused before it runs.

    Attributes:
        name: name in the config.
        strategies: supported strategies, the default first.
        options: the fields of `DeviceOptions` that it reads.
        shots: "no", "optional" or "required".
        noisy: whether readouts have errors beyond shot noise.
        max_wires: largest sensible number of qubits n.
        gradients: differentiation methods of the replayed strategy, the default first.
        measured: the strategies that support mid-circuit measurement (`readout_mode` measure).
        batching: whether one execution runs a batch of sequences.
        needs: module that must be importable.
        extra: the extra of pennylane-qrnn that installs it.
        account: whether it needs an IBM account.
        submits_jobs: whether its circuits run as jobs, which are recorded and have a cost.
        qubits: number of qubits of the backend that it copies; None: it copies none.
        not_measured: the `gradients` that circuits with mid-circuit measurements rule out.
        cost: scaling with T steps, n qubits and B sequences.
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
    submits_jobs: bool = False
    qubits: int | None = None
    not_measured: tuple[str, ...] = ("adjoint",)

    @property
    def densities(self) -> bool:
        """Whether it simulates density matrices, with any channels."""
        return "noise" in self.options

    def missing(self) -> str | None:
        """Return the command that installs what the device lacks, or None."""
        try:
            found = importlib.util.find_spec(self.needs)
        except ModuleNotFoundError:  # the package of a submodule
            found = None
        if found is not None:
            return None
        if self.extra:
            return install_line(self.extra)
        return f"pip install {self.needs.replace('_', '-')}"

    @property
    def runs_here(self) -> str:
        """Whether it works on this machine: "yes", "with an IBM account", or what to install."""
        return self.missing() or ("with an IBM account" if self.account else "yes")

    def check(self, options: DeviceOptions) -> None:
        """Check the options of a device.

        Raises:
            ConfigError: the device would ignore or does not support an option; the message says
                what is allowed.
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
        for name, value in options.given_where(lambda one: one.at_least is not None).items():
            least = option_info()[name].at_least
            if not least <= value < math.inf:  # a limit of NaN would never bind
                raise ConfigError(
                    f"device.{name} must be finite and at least {least}, got {value}: set null for "
                    f"none"
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
                f"device.strategy must be replayed with shots, got {strategy!r} with device.shots="
                f"{options.shots}: use strategy replayed, or leave out the shots"
            )
        if options.replay is not None and strategy != "replayed":
            raise ConfigError(
                f"device.replay must be left out with strategy {strategy}, which carries "
                f"the state: set device.strategy=replayed"
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
        """Return the strategy for some options."""
        if options.strategy is not None:
            return options.strategy
        return "replayed" if options.shots is not None else self.strategies[0]

    def gradient(self, options: DeviceOptions, *, measured: bool = False) -> str | None:
        """Return PennyLane's `diff_method` for the replayed strategy; None: no gradient.

        Args:
            options: the options of the device.
            measured: whether the circuits measure mid-circuit, which rules out some.

        Raises:
            ConfigError: the chosen method does not support measured circuits.
        """
        chosen, barred = options.gradient, self.not_measured if measured else ()
        if chosen in barred:
            raise ConfigError(
                f"device.gradient must not be {chosen} where circuits measure mid-circuit on "
                f"{self.name!r}: use parameter-shift, or leave it out"
            )
        if chosen is None:
            sampled = ("backprop", "adjoint") if options.shots is not None else ()
            usable = (g for g in self.gradients if g not in (*barred, *sampled))
            chosen = next(usable, "none")
        return None if chosen == "none" else chosen
