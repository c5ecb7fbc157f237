"""Evaluate on a device that submits jobs: with a ledger, a price and a budget, and resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from qrnn.data import Part
from qrnn.devices import Device, DeviceOptions
from qrnn.devices.ibm import IBMDevice
from qrnn.devices.ibm.cost import Cost, cost_of, job_count
from qrnn.errors import DeviceError
from qrnn.evaluation.damping import VALID, Calibration, Damping, calibration_of, save
from qrnn.evaluation.rehearsal import rehearsed
from qrnn.models.base import Model
from qrnn.models.cells import circuits_of

CALIBRATION = "calibration.json"  # in the folder of a run's ledger
RESUME_HINT = "run the same command again to resume; no job is submitted twice"


@dataclass(frozen=True)
class DeviceRun:
    """A model on the device that evaluates it.

    Attributes:
        model: the model.
        plugin: the IBM device that runs it; None on other devices.
        work: id of the computation; see `work_id`.
        ledger: folder of the ledger, or None.
        damping: what `device.calibrate` found; None: it is not set.
    """

    model: Model
    plugin: IBMDevice | None = None
    work: str = ""
    ledger: Path | None = None
    damping: Damping | None = None

    def note(self, step: str, sequences: str) -> None:
        """Record in the ledger what the next jobs compute.

        Args:
            step: index of the time step, or a range of them.
            sequences: range of indices.
        """
        if self.plugin is not None:
            self.plugin.annotate(config=self.work, step=step, sequences=sequences)

    def settle(self) -> None:
        """Wait for IBM to meter the jobs, for a minute at most."""
        if self.plugin is not None:
            self.plugin.settle()

    @property
    def cost(self) -> Cost | None:
        """The cost so far; None on a device that submits no jobs."""
        return None if self.plugin is None else cost_of(self.plugin, self.ledger)


@contextmanager
def start_run(
    model: Model,
    device: Device,
    part: Part,
    *,
    feedback: str,
    reading: Mapping[str, Any],
    batch_size: int | None,
    folder: str | Path | None,
    quiet: bool,
    training: Callable[[], Part] | None = None,
    translates: bool = False,
) -> Iterator[DeviceRun]:
    """Put a model on a device; on an IBM device, open its ledger, price the run, check the budget.

    Args:
        model: the model, on its own device.
        device: the device to run on.
        part: the sequences, or a text.
        feedback: `closed` or `open`.
        reading: `readout_mode` and `readout_angle` of `model.on`.
        batch_size: number of sequences that run together; None: all.
        folder: the run's folder, where jobs are recorded unless `device.ledger` is set.
        quiet: whether to hide price, ledger and calibration.
        training: returns the training sequences, for `device.calibrate`; None: there are none.
        translates: whether sentences are translated as well.

    Yields:
        The run.

    Raises:
        ConfigError: `device.calibrate` does not fit the model.
        DeviceError: the device cannot run the model, measured readouts would take longer than T2,
            or the price exceeds the budget.
    """
    if not device.spec.submits_jobs:
        yield DeviceRun(model.on(device, **reading))
        return
    options = device.options
    work = work_id(model, options, part, feedback, reading, batch_size)
    ledger = None
    if options.ledger is not None:
        ledger = Path(options.ledger) / f"{device.name}-{work}"
    elif folder is not None:
        ledger = Path(folder) / "jobs" / f"{device.name}-{work}"
    calibration = calibration_of(model, options, part, feedback, reading, training)
    # Without gradients, the tapes need not be expanded into differentiable gates.
    place = None if ledger is None else str(ledger)
    target = model.on(replace(options, ledger=place, gradient="none", calibrate=None), **reading)
    cells = circuits_of(target)
    plugin: IBMDevice = cells[0].plugin  # which they share
    run = DeviceRun(target, plugin, work, ledger)
    try:
        damping, again, first = None, "", None
        if calibration is not None:
            circuit = work_id(model, options, calibration.sequences, "open", {}, None)
            calibration = replace(calibration, circuit=circuit)
            damping = _recorded(calibration, plugin, ledger)
            again = "" if damping is None else "found: "
            if damping is None or (ledger is not None and damping.ledger == ledger.name):
                first = calibration
        price = rehearsed(target, plugin, part, feedback, batch_size, first, translates=translates)
        if price.refusal is not None:
            raise DeviceError(price.refusal)
        plugin.check_budget(price.qpu_seconds)
        if not quiet:
            _announce(run, f"{job_count(price.jobs)}, estimated at {price.qpu_seconds:.1f} QPU s")
        if calibration is not None:
            if damping is None:
                damping = calibration.measure(model, target, plugin, work)
                damping = replace(damping, ledger=None if ledger is None else ledger.name)
            if ledger is not None:
                _record(damping, device.name, ledger)
            cells[0].memory.damping = damping.table(cells[0].n_readouts)
            run = replace(run, damping=damping)
            if not quiet:
                _say(f"{again}{damping}")
        yield run
    except KeyboardInterrupt:
        message = f"interrupted: {RESUME_HINT}" if ledger else "interrupted"
        raise KeyboardInterrupt(message) from None
    finally:
        plugin.close()


def _recorded(calibration: Calibration, plugin: IBMDevice, ledger: Path | None) -> Damping | None:
    """Return the damping of an earlier attempt of the run, or of another run in the last day.

    A resumed run keeps its own, however old, or its controller would ask for other circuits.
    The plugin then uses the qubits that were calibrated.
    """
    if ledger is None:
        return None
    name = plugin.backend_name
    found = calibration.recorded(ledger / CALIBRATION, name, valid=None)
    if found is None and not plugin.usage.jobs:  # else the calibration's job is in the ledger
        shared = _shared(ledger, calibration.options.name, calibration.circuit)
        found = calibration.recorded(shared, name, valid=VALID)
    if found is not None and found.layout is not None:
        plugin.transpiler.initial_layout = tuple(found.layout)
    return found


def _record(damping: Damping, device: str, ledger: Path) -> None:
    """Save a damping for later attempts of the run; if it is new, also for other runs."""
    if not (ledger / CALIBRATION).exists():
        save(damping, ledger / CALIBRATION)
        if damping.ledger == ledger.name:
            save(damping, _shared(ledger, device, damping.circuit))


def _shared(ledger: Path, device: str, circuit: str) -> Path:
    return ledger.parent / f"calibration-{device}-{circuit}.json"


def _announce(run: DeviceRun, price: str) -> None:
    cost = run.cost
    if cost is None:
        return
    there = f", {cost.jobs} of them already submitted" if cost.jobs else ""
    _say(f"{cost.backend}: {price}{there}")
    if run.ledger is not None:
        _say(f"jobs are recorded in {run.ledger}\nif the run stops, {RESUME_HINT}")


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)


def work_id(
    model: Model,
    options: DeviceOptions,
    part: Part,
    feedback: str,
    reading: Mapping[str, Any],
    batch_size: int | None,
) -> str:
    """Return an id of what an evaluation computes, the same whenever it is started again.

    It names the ledger's folder. Within a ledger, each job has a key of its own.
    """
    cell = circuits_of(model)[0]
    what = {
        "device": options.given_where(lambda one: one.identity),
        "name": options.name,
        "reference": cell.device.name,
        **cell.recipe,
        "reading": dict(reading),
        "feedback": feedback,
        "batch_size": batch_size or len(part),
    }
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    for value in (*model.state_dict().values(), *part.tensors):
        digest.update(repr(tuple(value.shape)).encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
