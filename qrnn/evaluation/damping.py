"""Calibrated damping: measure by how much a device shrinks readouts, and divide them by it.

The errors of gates act on expectation values mostly like depolarisation: z on the device is f_t z,
with a factor f_t that falls with the number of steps t. Before a run, some training sequences run
on the device in the open loop, with the angles of the exact simulator, and the device's z is
regressed on the simulator's by least squares through the origin,

    f = sum(z_device z_exact) / sum(z_exact^2),

with one factor for each step, or for each step and readout. A readout has few values, which may all
be near 0, so its sums begin with f_t and 1, those of one sequence with the step's factor and z = 1
(ridge regression towards the step's factor). The run then reads z / f, in the closed loop before
the controller reads it. Nothing is clipped to [-1, 1].

Which of the two is used, and whether either, is decided by the error of z on sequences that the
factors were not fitted to: each half of the sequences is corrected with factors from the other.
It includes the noise of the shots, which the division amplifies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import torch

from qrnn.data import Part, Split
from qrnn.devices import DeviceOptions
from qrnn.devices.ibm import IBMDevice
from qrnn.errors import ConfigError, DeviceError
from qrnn.evaluation.predict import record_controls
from qrnn.models.base import Model
from qrnn.models.cells import cells_of, device_of
from qrnn.utils.files import write_text

SMALLEST = 0.2  # a smaller factor amplifies the noise of the shots more than 5 times
VALID = timedelta(days=1)  # how long other runs may use a calibration


@dataclass(frozen=True)
class Damping:
    """By how much a device shrinks the readouts of a model's cell.

    Attributes:
        kind: `step`: a factor for each step; `readout`: for each step and readout; `none`: neither
            lowers the error, so nothing is corrected.
        steps: the S steps that were measured, from 0.
        factors: (S, 1) or (S, R); empty for kind `none`.
        rms_before: root mean square error of z over the sequences, uncorrected.
        rms_after: the same, each half corrected with factors from the other; without a correction,
            as before.
        sequences: number of training sequences.
        shots: executions of each circuit.
        backend: IBM's name of the backend.
        circuit: id of the weights, sequences and options.
        layout: physical qubit of each wire.
        ledger: name of the folder that records the jobs; None: they are not recorded.
        time: when it was measured, UTC in ISO format.
    """

    kind: str
    steps: list[int]
    factors: list[list[float]]
    rms_before: float
    rms_after: float
    sequences: int = 0
    shots: int = 0
    backend: str = ""
    circuit: str = ""
    layout: list[int] | None = None
    ledger: str | None = None
    time: str = ""

    def __str__(self) -> str:
        """Return the result as one line."""
        measured = f"calibration of {self.time[:16].replace('T', ' ')} UTC"
        found = f"error of z on held-out sequences {self.rms_before:.3f}"
        if self.kind == "none":
            return f"{measured}: {found}, no correction lowers it, so readouts are not corrected"
        values = [value for row in self.factors for value in row]
        per = "step" if self.kind == "step" else "step and readout"
        return (
            f"{measured}: {found}, corrected {self.rms_after:.3f}; a factor a {per}, "
            f"{max(values):.2f} to {min(values):.2f}"
        )

    def table(self, n_readouts: int) -> torch.Tensor | None:
        """Return the factors (T, R) up to the last step measured, NaN where none is; or None."""
        if self.kind == "none":
            return None
        out = torch.full((max(self.steps) + 1, n_readouts), torch.nan, dtype=torch.float64)
        out[self.steps] = torch.tensor(self.factors, dtype=torch.float64)
        return out


def fit(found: torch.Tensor, exact: torch.Tensor, steps: list[int]) -> Damping:
    """Return the factors that relate a device's readouts to exact ones.

    Args:
        found: the device's (K, S, R).
        exact: the simulator's (K, S, R).
        steps: the S steps, from 0.

    Raises:
        DeviceError: a step's factor is below `SMALLEST`, by more than twice its standard error.
    """
    found, exact = found.double(), exact.double()
    by_step = _by_step(found, exact)
    spread = (found - by_step * exact).square().mean((0, 2)).sqrt() / exact.square().sum(
        (0, 2)
    ).sqrt()
    for step, factor, error in zip(steps, by_step.flatten().tolist(), spread.tolist(), strict=True):
        if factor + 2 * error < SMALLEST:  # not by the noise of the shots alone
            raise DeviceError(
                f"device.calibrate must find factors of at least {SMALLEST} to divide readouts by, "
                f"got {factor:.2f} at step {step}: use fewer steps, or leave it out"
            )
    chosen, before = ("none", torch.empty(0, 0)), (found - exact).square().mean().sqrt().item()
    best = before
    for kind, function in (("step", _by_step), ("readout", _by_readout)):
        factors, error = function(found, exact), _held_out(found, exact, function)
        if factors.min() >= SMALLEST and error < best:
            chosen, best = (kind, factors[0]), error
    return Damping(chosen[0], steps, chosen[1].tolist(), before, best)


def _by_step(found: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """Return the least-squares factors (1, S, 1); 1 where the exact values are all 0."""
    norm = exact.square().sum((0, 2), keepdim=True)
    return torch.where(norm > 0, (found * exact).sum((0, 2), keepdim=True) / norm, 1.0)


def _by_readout(found: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """Return the factors (1, S, R) of ridge regression towards those of the steps."""
    product, norm = (found * exact).sum(0, keepdim=True), exact.square().sum(0, keepdim=True)
    return (product + _by_step(found, exact)) / (norm + 1)


def _held_out(
    found: torch.Tensor,
    exact: torch.Tensor,
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> float:
    """Return the error where each half of the sequences is corrected with the other's factors."""
    total = 0.0
    for half in (0, 1):
        factors = function(found[1 - half :: 2], exact[1 - half :: 2])
        total += (found[half::2] / factors - exact[half::2]).square().sum().item()
    return (total / exact.numel()) ** 0.5  # NaN or infinite, so never chosen, with a factor of 0


@dataclass(frozen=True)
class Calibration:
    """What a device runs before an evaluation or a prediction to find its damping.

    Attributes:
        sequences: K training sequences of T steps.
        steps: the steps to measure, from 0.
        options: the device's options.
        circuit: id of the weights, sequences and options.
    """

    sequences: Split
    steps: list[int]
    options: DeviceOptions
    circuit: str = ""

    def measure(self, model: Model, target: Any, plugin: IBMDevice, config: str) -> Damping:
        """Run the sequences on the device.

        Args:
            model: the trained model; if its own device samples, angles and readouts come from
                `fused`.
            target: the model on the device.
            plugin: its IBM device.
            config: id of the run, for the ledger.

        Raises:
            DeviceError: a factor is too small; or the backend failed.
        """
        own = device_of(model)
        exact: Any = model if own is not None and own.exact else model.on("fused")
        last = len(self.sequences) - 1
        plugin.annotate(
            purpose="calibration",
            config=config,
            step=f"{self.steps[0]}-{self.steps[-1]}",
            sequences=f"0-{last}",
        )
        with torch.no_grad():
            controls = record_controls(exact, self.sequences.x)
            expected = exact.rnn.cell.memory.run(controls)[:, self.steps]
            found = target.rnn.cell.memory.run(controls, self.steps)
        layout = plugin.transpiler.layout
        return replace(
            fit(found, expected, self.steps),
            sequences=len(self.sequences),
            shots=self.options.shots or 0,
            backend=plugin.backend_name,
            circuit=self.circuit,
            layout=None if layout is None else list(layout),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def recorded(self, path: Path, backend: str, *, valid: timedelta | None) -> Damping | None:
        """Return what an earlier run measured, if it serves this one, or None.

        Args:
            path: its file.
            backend: IBM's name of the backend.
            valid: how old it may be; None: of any age.
        """
        try:
            found = Damping(**json.loads(path.read_text(encoding="utf-8")))
            age = datetime.now(UTC) - datetime.fromisoformat(found.time)
        except (OSError, ValueError, TypeError):
            return None
        serves = (found.circuit, found.backend) == (self.circuit, backend)
        young = valid is None or timedelta() <= age <= valid
        return found if serves and young and set(self.steps) <= set(found.steps) else None


def calibration_of(
    model: Model,
    options: DeviceOptions,
    part: Part,
    feedback: str,
    reading: Mapping[str, Any],
    training: Callable[[], Part] | None,
) -> Calibration | None:
    """Return what `device.calibrate` runs first; None: it is not set.

    Args:
        model: the trained model.
        options: the device's options.
        part: the sequences of the evaluation or prediction.
        feedback: `closed` or `open`; the open loop reads only some steps.
        reading: `readout_mode` and `readout_angle` of `model.on`.
        training: returns the training sequences; None: there are none.

    Raises:
        ConfigError: the model cannot be calibrated, or there are too few training sequences.
    """
    if options.calibrate is None:
        return None
    cells = cells_of(model)
    mode, angle = (reading.get(key) for key in ("readout_mode", "readout_angle"))
    measured = any(cell.circuit.read_by(mode, angle).measured is not None for cell in cells)
    if training is None or len(cells) != 1 or measured:
        reason = (
            "measured readouts, which disturb the state"
            if measured
            else "quantum neurons"
            if model.projects
            else f"{len(cells)} hybrid cells"
            if len(cells) != 1
            else "no training sequences"
        )
        raise ConfigError(
            "device.calibrate must have a model of one hybrid cell read by expectation values, and "
            f"its training sequences, got {reason}: leave it out"
        )
    part = part.sequences("device.calibrate")
    steps = part.x.shape[1] if part.lengths is None else int(part.lengths.max())
    split = training().sequences("device.calibrate")
    enough = torch.arange(len(split))
    if split.lengths is not None:
        enough = (split.lengths >= steps).nonzero().flatten()
    if split.x.shape[1] < steps:
        enough = enough[:0]
    if len(enough) < options.calibrate:
        raise ConfigError(
            f"device.calibrate must be at most the number of training sequences of at least "
            f"{steps} steps, got {options.calibrate} with {len(enough)}: lower it"
        )
    chosen = enough[: options.calibrate]
    read = range(steps) if feedback == "closed" else model.steps_read(steps)
    return Calibration(Split(split.x[chosen, :steps], split.y[chosen]), list(read), options)


def save(damping: Damping, path: Path) -> None:
    """Write a calibration as JSON."""
    write_text(path, json.dumps(asdict(damping), indent=1) + "\n")
