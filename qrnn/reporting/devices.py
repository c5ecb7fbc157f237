"""The comparison of devices: what each said, how far it was off, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from qrnn.devices.ibm.ledger import recorded_circuits
from qrnn.evaluation.evaluation import Evaluation, describe
from qrnn.evaluation.metrics import shown
from qrnn.reporting import figures
from qrnn.reporting.folder import RunFolder
from qrnn.reporting.parts import Figures, Part, Table, Text
from qrnn.reporting.words import difference, duration, metric_name, percent


def devices(run: RunFolder) -> list[Part]:
    """Return what there is to say of a run's evaluations."""
    if not run.evaluations:
        return [Text("No device has been evaluated yet.", True)]
    first = run.evaluations[0]
    parts: list[Part] = [
        Table(
            headings(first.metric),
            [row(one) for one in run.evaluations],
            numbers=range(2, 9),
            caption=f"Agreement: share of labels as on {first.reference}, which trained. RMS z: "
            "difference of the readouts to it, over all steps.",
        )
    ]
    others = [one for one in run.evaluations if one.rms_z > 0 and one.rms_z_steps]
    if others:
        parts.append(Figures([figures.errors_by_step(others, [one.device for one in others])]))
    return [*parts, costs(run)]


def headings(metric: str) -> list[str]:
    """Return the headings of the table."""
    return [
        "device",
        "read",
        "sequences",
        metric_name(metric),
        "loss",
        "agreement",
        "RMS z",
        "shots",
        "time",
    ]


def row(one: Evaluation) -> list[str]:
    """Return an evaluation's row."""
    shots = one.options.get("shots")
    return [
        one.device,
        describe(one),
        f"{one.sequences:,}",
        shown(one.metric, one.value),
        f"{one.loss:.3g}",
        percent(one.agreement),
        difference(one.rms_z),
        "exact" if shots is None else f"{shots:,}",
        duration(one.seconds),
    ]


def costs(run: RunFolder) -> Part:
    """Return what the evaluations took from IBM's backends and their copies."""
    priced = [one for one in run.evaluations if one.cost is not None]
    if not priced:
        return Text("None of these devices submits jobs: there is nothing to pay.")
    return Table(
        [
            "device",
            "backend",
            "jobs",
            "circuits",
            "executions",
            "QPU s, estimated",
            "QPU s, metered",
        ],
        [_cost(run, one) for one in priced],
        numbers=range(2, 7),
        caption="Executions: circuits x shots. Estimated by IBM's formula, 2 + 0.00035 x "
        "executions for each job; simulated copies meter nothing.",
    )


def _cost(run: RunFolder, one: Evaluation) -> Sequence[str]:
    cost = one.cost
    assert cost is not None  # as `costs` chose
    circuits = None
    if cost.ledger is not None:
        circuits = recorded_circuits(run.folder / "jobs" / str(cost.ledger).rpartition("/")[2])
    return [
        one.device,
        cost.backend,
        f"{cost.jobs:,}",
        "not on record" if circuits is None else f"{circuits:,}",
        f"{cost.executions:,}",
        f"{cost.estimated_seconds:,.1f}",
        f"{cost.metered_seconds:,.1f}" if cost.metered_seconds else "none",
    ]
