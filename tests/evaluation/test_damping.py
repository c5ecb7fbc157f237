"""Calibrated damping: the fit, what it corrects, and its jobs, price and record."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch

from helpers import service_double
from qrnn import QRNN
from qrnn.data import Split
from qrnn.devices import DeviceOptions, open_device
from qrnn.errors import ConfigError, DeviceError
from qrnn.evaluation.costs import prices
from qrnn.evaluation.damping import Damping, fit
from qrnn.evaluation.evaluation import describe, evaluate
from qrnn.evaluation.hardware import start_run
from qrnn.models.sequence import SequenceClassifier, SequenceLabeller

K, T, SHOTS = 4, 3, 60
HARDWARE = DeviceOptions(service_double.NAME, shots=SHOTS, calibrate=K)
FAKE = DeviceOptions("fake_manila", shots=4000, seed=4, calibrate=K)
STEP = torch.tensor([[0.9], [0.7], [0.4]])


def readouts(factors, k=16, noise=0.02):
    """What a device with these factors (S, 1) or (S, R) returns, and exact readouts (K, S, R)."""
    generator = torch.Generator().manual_seed(0)
    exact = 2 * torch.rand(k, 3, 6, generator=generator) - 1
    return factors * exact + noise * torch.randn(k, 3, 6, generator=generator), exact


# --- the fit --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["step", "readout"])
def test_the_factors_are_those_of_least_squares(kind):
    true = STEP if kind == "step" else STEP * torch.linspace(0.6, 1.2, 6)
    found, exact = readouts(true)
    fitted = fit(found, exact, [0, 1, 2])
    assert fitted.kind == kind
    assert torch.tensor(fitted.factors).sub(true).abs().max() < (0.01 if kind == "step" else 0.06)
    one, other = (v[:, 1] if kind == "step" else v[:, 1, [2]] for v in (found, exact))
    one, other = one.flatten().numpy(), other.reshape(-1, 1).numpy()
    if kind == "readout":  # and one more value, 1 in theory and the step's factor on the device
        (step,), *_ = np.linalg.lstsq(exact[:, 1].reshape(-1, 1).numpy(), found[:, 1].flatten())
        one, other = np.append(one, step), np.append(other, [[1.0]], 0)
    (expected,), *_ = np.linalg.lstsq(other, one)
    assert fitted.factors[1][0 if kind == "step" else 2] == pytest.approx(expected, rel=1e-5)


def test_the_error_is_of_sequences_that_were_not_fitted():
    found, exact = readouts(STEP, k=5, noise=0.1)
    square = []
    for rows, others in (([0, 2, 4], [1, 3]), ([1, 3], [0, 2, 4])):
        f = (found * exact)[others].sum((0, 2)) / exact[others].square().sum((0, 2))
        square.append((found[rows] / f[:, None] - exact[rows]).square().flatten())
    fitted = fit(found, exact, [0, 1, 2])
    assert fitted.rms_after == pytest.approx(torch.cat(square).mean().sqrt().item(), rel=1e-5)
    assert fitted.rms_before == pytest.approx((found - exact).square().mean().sqrt().item())


def test_nothing_is_corrected_without_a_gain():
    noise = 0.5  # of the shots, on two sequences
    fitted = fit(*readouts(torch.ones(3, 1), k=2, noise=noise), [0, 1, 2])
    assert (fitted.kind, fitted.factors) == ("none", [])
    assert fitted.rms_after == fitted.rms_before
    assert fitted.table(6) is None
    assert "readouts are not corrected" in str(fitted)


def test_a_factor_that_amplifies_the_noise_is_refused():
    found, exact = readouts(torch.tensor([[0.9], [0.5], [0.1]]))
    with pytest.raises(DeviceError, match=r"factors of at least 0.2 .* got 0.10 at step 7"):
        fit(found, exact, [3, 5, 7])


def test_readouts_near_zero_are_no_reason_to_refuse():
    """There, the noise of the shots alone decides the factor of a step."""
    generator = torch.Generator().manual_seed(0)
    low = []
    for _ in range(100):
        exact = 2 * torch.rand(4, 2, 3, generator=generator) - 1
        exact[:, 1] *= 0.02
        found = 0.8 * exact + 0.03 * torch.randn(4, 2, 3, generator=generator)
        fit(found, exact, [0, 1])
        low.append((found * exact)[:, 1].sum() < 0.2 * exact[:, 1].square().sum())
    assert sum(low) > 5


def test_one_readout_that_vanishes_leaves_a_factor_a_step():
    true = STEP.repeat(1, 6)
    true[0, 3] = 0.0
    assert fit(*readouts(true), [0, 1, 2]).kind == "step"


# --- the correction -------------------------------------------------------------------------------


class Run:
    """A run's folder, its model and data, and what the service did for it."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.store, self.patch = folder / "run", folder / "s", monkeypatch.setattr
        torch.manual_seed(1)
        rnn = QRNN(2, n_qubits=2, batch_first=True, layers=2, width=4)
        self.model = SequenceClassifier(rnn, 2)
        self.split = Split(torch.rand(3, T, 2), torch.tensor([0, 1, 0]))
        self.training = Split(torch.rand(K + 2, T, 2), torch.zeros(K + 2, dtype=torch.long))

    def install(self, faults=None):
        def die():
            raise service_double.Killed

        service_double.install(service_double.Service(self.store, faults, die), self.patch)

    def evaluate(self, options=HARDWARE, faults=None, **arguments):
        self.install(faults)
        keywords = {"folder": self.folder, "progress": False, "training": self.training}
        return evaluate(self.model, self.split, options, **(keywords | arguments))

    @property
    def submissions(self):
        return service_double.Service(self.store).submissions

    def age(self, **by):
        """Make all records of calibrations older."""
        for path in self.folder.glob("jobs/**/calibration*.json"):
            saved = json.loads(path.read_text())
            saved["time"] = (datetime.now(UTC) - timedelta(**by)).isoformat()
            path.write_text(json.dumps(saved))


def deep_model():
    """A model with enough gates for their errors to exceed those of readouts and shots."""
    torch.manual_seed(2)
    rnn = QRNN(2, n_qubits=3, batch_first=True, layers=6, width=4, bias_range=3.0)
    return SequenceClassifier(rnn, 2)


@pytest.fixture
def run(tmp_path, monkeypatch):
    return Run(tmp_path, monkeypatch)


def numbers(evaluation):
    return replace(evaluation, seconds=0, cost=None, damping=None)


@pytest.mark.parametrize("feedback", ["closed", "open"])
def test_the_error_of_z_falls(run, feedback):
    run.model = deep_model()
    run.split = Split(torch.rand(12, T, 2), torch.zeros(12, dtype=torch.long))
    plain = run.evaluate(replace(FAKE, calibrate=None), feedback=feedback)
    done = run.evaluate(FAKE, feedback=feedback)
    assert done.rms_z < 0.7 * plain.rms_z
    assert done.damping.rms_after < 0.7 * done.damping.rms_before
    assert done.damping.steps == (list(range(T)) if feedback == "closed" else [T - 1])
    assert (done.damping.backend, done.damping.sequences) == ("fake_manila", K)
    assert describe(done).startswith("4000 shots, calibrate 4")


def test_the_controller_reads_corrected_readouts(run):
    """Against a loop written out by hand, with exact readouts instead of sampled ones."""
    target = run.model.on("default.qubit", strategy="replayed")
    cell, factors = target.rnn.cell, torch.tensor([0.9, 0.8, 0.5])[:, None] * torch.ones(6)
    x, controls, expected = run.split.x, [], []
    with torch.no_grad():
        z = cell.circuit.start_readout().to(x).expand(3, -1)
        for t in range(T):
            controls.append(cell.controller(torch.cat([x[:, t], z], 1)))
            z = cell.memory.run(torch.stack(controls, 1))[:, t] / factors[t]
            expected.append(z)
        cell.memory.damping = factors
        found, _ = target.rnn(x)
        read = cell.memory.run(torch.stack(controls, 1), [0, 2])
    torch.testing.assert_close(found, torch.stack(expected, 1))
    torch.testing.assert_close(read, torch.stack(expected, 1)[:, [0, 2]])


# --- jobs, price and record -----------------------------------------------------------------------


@pytest.mark.parametrize(("feedback", "jobs"), [("closed", T + 1), ("open", 2)])
@pytest.mark.parametrize(
    "death", [{"die_after_submit": 1}, {"die_fetching": 1}, {"die_waiting": 2}]
)
def test_a_killed_run_goes_on(run, tmp_path, monkeypatch, feedback, jobs, death):
    undisturbed = Run(tmp_path / "undisturbed", monkeypatch).evaluate(feedback=feedback)
    with pytest.raises(service_double.Killed):
        run.evaluate(faults=death, feedback=feedback)
    run.age(days=30)  # a run keeps its own calibration
    again = run.evaluate(feedback=feedback)
    assert numbers(again) == numbers(undisturbed)
    assert again.damping.factors == undisturbed.damping.factors
    assert run.submissions == again.cost.jobs == jobs


@pytest.mark.parametrize("feedback", ["closed", "open"])
def test_a_run_uses_what_was_estimated(run, feedback):
    options = replace(FAKE, shots=50, readout_mitigation=20)
    price = prices(run.model, options, run.split, None, [feedback], lambda: run.training)[feedback]
    plain = prices(run.model, replace(options, calibrate=None), run.split)[feedback]
    steps = T if feedback == "closed" else 1
    assert price.circuits == plain.circuits + 3 * K * steps + 2
    used = run.evaluate(options, feedback=feedback).cost
    assert (used.jobs, used.executions) == (price.jobs, price.executions)
    assert used.estimated_seconds == pytest.approx(price.qpu_seconds)
    short = replace(options, max_qpu_seconds=plain.qpu_seconds + 1)
    with pytest.raises(DeviceError, match="the run is estimated at"):
        run.evaluate(short, feedback=feedback, folder=run.folder / "other")


def test_other_runs_use_a_calibration_for_a_day(run, capfd):
    first = run.evaluate()
    opened = run.evaluate(feedback="open", progress=True)  # a subset of its steps
    assert (first.cost.jobs, opened.cost.jobs, run.submissions) == (T + 1, 1, T + 2)
    assert opened.damping == first.damping
    assert "found: calibration of 20" in capfd.readouterr().err
    run.age(hours=25)
    assert run.evaluate(batch_size=2).cost.jobs == 2 * T + 1
    run.age(hours=23)
    run.split = run.split.head(2)
    assert run.evaluate().cost.jobs == T
    assert run.evaluate(replace(HARDWARE, shots=50)).cost.jobs == T + 1
    for path in run.folder.glob("jobs/calibration*.json"):
        path.write_text("{")
    run.split = run.split.head(1)
    assert run.evaluate().cost.jobs == T + 1


def test_the_open_loops_calibration_does_not_serve_the_closed_one(run):
    run.evaluate(feedback="open")
    assert run.evaluate().cost.jobs == T + 1


def test_a_found_calibration_is_of_the_same_qubits(run):
    run.evaluate()
    (path,) = run.folder.glob("jobs/calibration-*.json")
    saved = json.loads(path.read_text())
    assert saved["layout"] != [0, 1]
    path.write_text(json.dumps(saved | {"layout": [0, 1]}))
    run.install()
    with start_run(
        run.model,
        open_device(HARDWARE),
        run.split,
        feedback="open",
        reading={},
        batch_size=None,
        folder=run.folder,
        quiet=True,
        training=lambda: run.training,
    ) as on:
        assert on.plugin.transpiler.layout == (0, 1)


def test_the_sequences_of_the_calibration_are_sampled_anew(run):
    """The same circuits are evaluated: the correction is not tested on what it was fitted to."""
    labels = torch.zeros(K, T, dtype=torch.long)
    run.model = SequenceLabeller(run.model.rnn, 2)
    run.split = Split(run.training.x[:K], labels)
    run.training = run.split
    first, again = run.evaluate(feedback="open"), run.evaluate(feedback="open")
    assert first.cost.jobs == run.submissions == 2
    assert numbers(again) == numbers(first)


# --- what is refused ------------------------------------------------------------------------------


def test_what_cannot_be_calibrated_is_refused(run):
    with pytest.raises(ConfigError, match="got no training sequences: leave it out"):
        run.evaluate(training=None)
    with pytest.raises(ConfigError, match="got measured readouts"):
        run.evaluate(readout_mode="measure")
    with pytest.raises(ConfigError, match=r"training sequences of at least 3 steps, got 9 with 6"):
        run.evaluate(replace(HARDWARE, calibrate=9))
    assert not run.folder.exists()
    run.training = replace(run.training, lengths=torch.tensor([3, 2, 3, 3, 3, 2]))
    run.evaluate()
    with pytest.raises(ConfigError, match=r"got 5 with 4: lower it"):
        run.evaluate(replace(HARDWARE, calibrate=5))
    with pytest.raises(ConfigError, match=r"device.calibrate must be finite and at least 2, got 1"):
        run.evaluate(replace(HARDWARE, calibrate=1))
    with pytest.raises(ConfigError, match=r"'default.qubit' would ignore device.calibrate"):
        run.evaluate(DeviceOptions("default.qubit", shots=9, calibrate=4))
    with pytest.raises(ConfigError, match=r"device.calibrate must be left out here"):
        run.model.on(FAKE)


def test_a_damping_says_what_it_found():
    one = Damping("step", [0, 1], [[0.95], [0.8]], 0.093, 0.048, time="2026-11-29T20:15:00+00:00")
    assert str(one) == (
        "calibration of 2026-11-29 20:15 UTC: error of z on held-out sequences 0.093, "
        "corrected 0.048; a factor a step, 0.95 to 0.80"
    )
    assert one.table(2).tolist() == [[0.95, 0.95], [0.8, 0.8]]
    last = Damping("step", [2], [[0.5]], 0.2, 0.1).table(1)
    assert last[:2].isnan().all()
    assert last[2] == 0.5
