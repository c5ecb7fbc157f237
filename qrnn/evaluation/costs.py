"""What an evaluation will cost on IBM's backends: the circuits it would run, priced."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pennylane as qml
import torch
from pennylane.tape import QuantumScript
from rich.table import Table

from qrnn.circuit.threads import one_at_a_time
from qrnn.devices import DeviceOptions, device_spec
from qrnn.devices.ibm import Estimate, estimate
from qrnn.errors import ConfigError, DeviceError
from qrnn.models.sequence import SequenceModel

FORMULA = "https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time"


def rounds(
    model: SequenceModel, n: int, steps: int, feedback: str, batch_size: int | None
) -> Iterator[list[QuantumScript]]:
    """Yield the tapes of each execution that an evaluation takes, in order.

    Their angles are the biases alone: a price does not depend on them.

    Args:
        model: the model, on a device that replays.
        n: number of sequences N.
        steps: number of time steps T.
        feedback: `closed` (an execution for each step) or `open` (one in all), for each batch.
        batch_size: sequences that run at once; None: all.
    """
    cell = model.rnn.cell
    bias = cell.quantum.bias.detach()

    # A circuit that is measured mid-circuit yields all steps at once, in the open loop.
    at_once = getattr(cell.memory, "at_once", None)

    @one_at_a_time
    def tapes(batch: int, t: int, qnode: qml.QNode) -> list[QuantumScript]:
        inputs = bias.new_zeros(batch, t * len(bias))
        built, _ = qml.workflow.construct_batch(qnode, level="user")(inputs, bias)
        return list(built)

    for part in torch.arange(n).split(batch_size or n):
        each = (tapes(len(part), t, cell.qnode) for t in range(1, steps + 1))
        if feedback == "open" and at_once is not None:
            yield tapes(len(part), steps, at_once)
        elif feedback == "open":
            yield [tape for step in each for tape in step]
        else:
            yield from each


def priceable(options: DeviceOptions) -> DeviceOptions:
    """Return the options of the device that a run is priced on: itself, or its fake twin.

    Raises:
        ConfigError: a device that charges nothing, or options that it would ignore.
        DeviceError: there is neither an account nor a twin.
    """
    from qrnn.devices.ibm import runtime
    from qrnn.devices.ibm.backends import twin

    spec = device_spec(options.name)
    if not spec.submits_jobs:
        raise ConfigError(
            f"device must be one of IBM's to have a price, got {spec.name!r}: e.g. ibm_torino"
        )
    spec.check(options)
    options = replace(options, gradient="none")  # nothing is differentiated
    if not spec.account or runtime.has_account():
        return options
    fake = twin(spec.name)
    if fake is None:
        raise DeviceError(
            f"device {spec.name!r} must have a fake twin to be priced without an IBM account, "
            "got none: run QiskitRuntimeService.save_account(...) once, or take ibm_torino"
        )
    return options.on_copy(fake)


@dataclass(frozen=True)
class Price(Estimate):
    """The price of a run, and how exact its readouts are.

    Attributes:
        standard_error: of the least exact readout, where <P> = 0, from the shots alone.
    """

    standard_error: float


def prices(
    model: SequenceModel,
    options: DeviceOptions,
    n: int,
    steps: int,
    batch_size: int | None = None,
    **reading: Any,
) -> dict[str, Price]:
    """Return the price of evaluating N sequences of T steps, for each feedback; nothing is run.

    Args:
        model: the model.
        options: where it would run, as `priceable` returns them.
        n: number of sequences N.
        steps: number of time steps T.
        batch_size: sequences that run at once; None: all.
        **reading: `readout_mode` and `readout_angle` of `model.on`.

    Raises:
        DeviceError: the device cannot run the model.
    """
    # Hardware insists on a ledger, which stays empty.
    with tempfile.TemporaryDirectory() as folder:
        target = model.on(replace(options, ledger=folder), **reading)
        plugin = target.rnn.cell.qnode.device
        high, low = target.rnn.cell.circuit.outcomes
        error = math.sqrt((-high * low).max().item() / (options.shots or 1))
        try:
            return {
                feedback: Price(
                    **vars(estimate(plugin, rounds(target, n, steps, feedback, batch_size))),
                    standard_error=error,
                )
                for feedback in ("closed", "open")
            }
        finally:
            plugin.close()


def table(priced: Mapping[str, Price]) -> Table:
    """Return one table of several prices, a column for each, within 80 columns."""
    out = Table()
    out.add_column("")
    for label in priced:
        out.add_column(label, justify="right")
    every = priced.values()
    for name in ("rounds", "jobs", "circuits", "depth", "two_qubit_gates", "executions"):
        out.add_row(
            name.replace("two_", "two-").replace("_", " "),
            *(f"{getattr(one, name):,}" for one in every),
        )
    out.add_row("QPU seconds", *(f"{one.qpu_seconds:,.1f}" for one in every))
    out.add_row("error of z", *(f"{one.standard_error:.3f}" for one in every))
    return out
