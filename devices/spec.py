"""What a device declares about itself, and the options that a config may set on one."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field, fields
from typing import Any

from qrnn.errors import ConfigError, DeviceError

STRATEGIES = ("fused", "carried", "replayed")


@dataclass
class DeviceOptions:
    """The `device` group of the config. An option that the device would ignore is an error.

    Attributes:
        name: a name that `qrnn devices` lists.
        strategy: fused, carried or replayed; None: the device's own.
        shots: executions of each circuit; sampled devices need it.
        seed: of the sampling, on local devices.
        gradient: how the replayed strategy differentiates; None: the device's first.
        noise: depolarizing, amplitude_damping, phase_damping or readout.
        strength: probability of that noise, for each gate and qubit, or each readout.
        options: keyword arguments of the PennyLane device itself.
    """

    name: str = "fused"
    strategy: str | None = None
    shots: int | None = None
    seed: int | None = None
    gradient: str | None = None
    noise: str | None = None
    strength: float | None = None
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
        extra: the extra of qrnn that brings it.
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

    def missing(self) -> str | None:
        """Return why the device cannot run here, or None."""
        if importlib.util.find_spec(self.needs) is not None:
            return None
        what = f"'qrnn[{self.extra}]'" if self.extra else self.needs.replace("_", "-")
        return f"pip install {what}"

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
        if options.shots is not None and options.shots < 1:
            raise ConfigError(f"device.shots must be at least 1, got {options.shots}")
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
