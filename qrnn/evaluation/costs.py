"""Estimate what an evaluation would cost on an IBM backend, without submitting anything."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.table import Table

from qrnn.data import Part
from qrnn.devices import DeviceOptions, device_spec
from qrnn.devices.hardware import IN_SERVICE
from qrnn.devices.ibm import Estimate, limits
from qrnn.errors import ConfigError, DeviceError
from qrnn.evaluation.damping import calibration_of
from qrnn.evaluation.rehearsal import rehearsed
from qrnn.models.base import Model
from qrnn.models.cells import circuits_of

FORMULA = "https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time"


def priceable(options: DeviceOptions) -> DeviceOptions:
    """Return the options of the device to price a run on: the device itself, or its fake backend.

    Args:
        options: where the run would take place.

    Raises:
        ConfigError: the device costs nothing, or would ignore some of the options.
        DeviceError: there is no IBM account and no fake backend of this one, or IBM would refuse
            the options.
    """
    from qrnn.devices.ibm import runtime
    from qrnn.devices.ibm.backends import fake_of
    from qrnn.devices.ibm.options import check_suppression

    spec = device_spec(options.name)
    if not spec.submits_jobs:
        raise ConfigError(
            f"device must be an IBM device to have a cost, got {spec.name!r}: choose "
            f"{IN_SERVICE[0]}"
        )
    spec.check(options)
    check_suppression(options, options.shots)
    options = replace(options, gradient="none")  # nothing is differentiated
    if not spec.account or runtime.has_account():
        return options
    fake = fake_of(spec.name)
    if fake is None:
        raise DeviceError(
            f"device {spec.name!r} must have a fake backend to be priced without an IBM account, "
            "got none: run QiskitRuntimeService.save_account(...) once, or choose "
            + " or ".join([name for name in IN_SERVICE if fake_of(name)][:3])
        )
    return options.on_fake(fake)


@dataclass(frozen=True)
class Price(Estimate):
    """The estimated cost of a run, and the precision of its readouts.

    Attributes:
        standard_error: shot noise of the least precise readout, at <P> = 0.
    """

    standard_error: float


def prices(
    model: Model,
    options: DeviceOptions,
    part: Part,
    batch_size: int | None = None,
    feedbacks: Sequence[str] = ("closed", "open"),
    training: Callable[[], Part] | None = None,
    translates: bool = False,
    **reading: Any,
) -> dict[str, Price]:
    """Return the price of evaluating sequences, for each feedback; nothing is run.

    Args:
        model: the model.
        options: where it would run, as returned by `priceable`.
        part: the sequences, or a text.
        batch_size: number of sequences that run together; None: all.
        feedbacks: `closed`, `open` or both.
        training: returns the training sequences, for `device.calibrate`, which is priced as if
            nothing had been calibrated before.
        translates: whether sentences are translated as well.
        **reading: `readout_mode` and `readout_angle` of `model.on`.

    Raises:
        DeviceError: the device cannot run the model.
    """
    # Hardware requires a ledger; this one stays empty.
    with tempfile.TemporaryDirectory() as folder:
        target = model.on(replace(options, ledger=folder, calibrate=None), **reading)
        cell = circuits_of(target)[0]  # all cells share the device
        plugin: Any = cell.plugin
        high, low = cell.circuit.outcomes

        def price(feedback: str) -> Price:
            first = calibration_of(model, options, part, feedback, reading, training)
            found = rehearsed(
                target, plugin, part, feedback, batch_size, first, translates=translates
            )
            return Price(**vars(found), standard_error=error)

        error = math.sqrt((-high * low).max().item() / (options.shots or 1))
        try:
            return {feedback: price(feedback) for feedback in feedbacks}
        finally:
            plugin.close()


def table(priced: Mapping[str, Estimate], price_per_second: float | None = None) -> Table:
    """Return prices as a table, one column each, at most 80 characters wide.

    Args:
        priced: the prices, by the headings of their columns.
        price_per_second: price of a QPU second, in any currency; None: no row of prices.
    """
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
    shares = (one.qpu_seconds / limits.OPEN_PLAN_SECONDS for one in every)
    out.add_row("Open Plan", *(f"{share:.1%}" for share in shares))
    if None not in (left := [one.seconds_left for one in every]):
        out.add_row("account has", *(f"{seconds:,.0f} s" for seconds in left))
    if price_per_second is not None:
        out.add_row("price", *(f"{one.qpu_seconds * price_per_second:,.2f}" for one in every))
    errors = [one.standard_error for one in every if isinstance(one, Price)]
    if errors:
        out.add_row("error of z", *(f"{error:.3f}" for error in errors))
    return out
