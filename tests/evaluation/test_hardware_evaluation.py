"""Evaluating a model on hardware: recorded, priced, within a budget, and resumed after a crash."""

import io
import itertools
import json
import re
import traceback
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from helpers import service_double
from helpers.slow import slow_but
from qrnn import QRNN
from qrnn.data import Split
from qrnn.devices import DeviceOptions
from qrnn.devices.ibm.cost import Cost
from qrnn.devices.ibm.ledger import Ledger
from qrnn.errors import ConfigError, DeviceError
from qrnn.evaluation.costs import prices, table
from qrnn.evaluation.evaluation import evaluate
from qrnn.evaluation.files import save
from qrnn.models.sequence import SequenceClassifier, SequenceLabeller

N, T, SHOTS = 3, 3, 50
HARDWARE = DeviceOptions(service_double.NAME, shots=SHOTS)
FAKE = DeviceOptions("fake_manila", shots=SHOTS, seed=4)
TOKEN = "planted-token-0123456789"
DEATHS = ["die_before_submit", "die_after_submit", "die_waiting", "die_fetching"]


def _killed():
    raise service_double.Killed


class Run:
    """A run's folder, its model and data, and what the service did for it."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.store, self.patch = (
            folder / "run",
            folder / "service",
            monkeypatch.setattr,
        )
        torch.manual_seed(1)
        rnn = QRNN(2, n_qubits=2, batch_first=True, layers=1, width=4)
        self.model = SequenceClassifier(rnn, 2)
        self.split = Split(torch.rand(N, T, 2), torch.tensor([0, 1, 0]))

    def evaluate(self, options=HARDWARE, faults=None, **arguments):
        if options.name == service_double.NAME:
            self.service = service_double.Service(self.store, faults, _killed)
            service_double.install(self.service, self.patch)
        keywords = {"folder": self.folder, "progress": False, **arguments}
        return evaluate(self.model, self.split, options, **keywords)

    @property
    def submissions(self):
        return service_double.Service(self.store).submissions

    @property
    def ledgers(self):
        return sorted(self.folder.glob("jobs/*/ledger.jsonl"))

    def intents(self):
        (path,) = self.ledgers
        events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
        return [event for event in events if event["state"] == "intent"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    return Run(tmp_path, monkeypatch)


def numbers(evaluation):
    """What an evaluation found, without what it took."""
    return replace(evaluation, seconds=0, cost=None)


LOOPS = [("closed", None, T), ("closed", 2, 2 * T), ("open", None, 1), ("open", 2, 2)]


@pytest.mark.parametrize(("feedback", "batch_size", "jobs"), LOOPS)
def test_the_ledger_says_what_each_job_computes(run, feedback, batch_size, jobs):
    done = run.evaluate(feedback=feedback, batch_size=batch_size)
    assert run.submissions == done.cost.jobs == done.cost.submitted == jobs
    notes = [(e["what"]["step"], e["what"]["sequences"]) for e in run.intents()]
    batches = ["0-2"] if batch_size is None else ["0-1", "2-2"]
    # The open loop runs only the step that the head reads.
    steps = [str(t) for t in range(T)] if feedback == "closed" else [f"{T - 1}-{T - 1}"]
    assert notes == [(step, batch) for batch in batches for step in steps]
    (path,) = run.ledgers
    assert {f"{HARDWARE.name}-{e['what']['config']}" for e in run.intents()} == {path.parent.name}


def test_the_cost_is_kept_with_the_numbers(run, tmp_path):
    done = run.evaluate()
    executions = T * 3 * N * SHOTS
    seconds = prices(run.model, HARDWARE, run.split)["closed"].qpu_seconds
    assert seconds == pytest.approx(T * 2 + 0.000262 * executions, rel=1e-3)
    assert done.cost.backend == service_double.NAME
    assert done.cost.executions == executions
    assert done.cost.estimated_seconds == pytest.approx(seconds)
    assert done.cost.metered_seconds == pytest.approx(seconds)
    assert (
        str(done.cost) == f"ibm_double: estimate {seconds:.1f} s, metered {seconds:.1f} s, 3 jobs"
    )
    kept = json.loads(save(done, tmp_path).read_text())
    assert kept["cost"]["jobs"] == T
    assert kept["cost"]["metered_seconds"] == pytest.approx(seconds)
    assert evaluate(run.model, run.split, "default.qubit", progress=False).cost is None


def test_an_evaluation_goes_on_after_a_session_that_was_killed(run):
    """The budget is checked after IBM has said what the session was charged."""
    options = replace(HARDWARE, mode="session", max_qpu_seconds=100)
    with pytest.raises(service_double.Killed):
        run.evaluate(options, {"die_waiting": 2})
    with pytest.raises(DeviceError, match=r"100\.0 s are used"):  # not known yet
        run.evaluate(options)
    assert run.evaluate(options, {"charge": 40.0}).cost.jobs == T
    assert run.submissions == T


def test_what_only_some_jobs_are_metered_for_says_so():
    cost = Cost("ibm_fez", 3, 3, 900, 9.0, 4.5, None, metered=2)
    assert str(cost) == "ibm_fez: estimate 9.0 s, metered 4.5 s for 2 of them, 3 jobs"
    assert "metered 4.5 s, 3 jobs" in str(replace(cost, metered=None))  # of an older version


def test_an_evaluation_waits_for_the_meter_of_its_last_job(run):
    done = run.evaluate(faults={"unmetered": [T, 3]})
    assert done.cost.metered_seconds == pytest.approx(done.cost.estimated_seconds)


@pytest.mark.parametrize(("feedback", "batch_size", "jobs"), LOOPS)
@pytest.mark.parametrize("death", slow_but(DEATHS, "die_after_submit", "die_fetching"))
def test_a_killed_evaluation_goes_on(run, tmp_path, monkeypatch, death, feedback, batch_size, jobs):
    loop = {"feedback": feedback, "batch_size": batch_size}
    undisturbed = Run(tmp_path / "undisturbed", monkeypatch).evaluate(**loop)
    with pytest.raises(service_double.Killed):
        run.evaluate(faults={death: min(2, jobs)}, **loop)
    begun = run.submissions
    again = run.evaluate(**loop)
    assert numbers(again) == numbers(undisturbed)
    assert run.submissions == again.cost.jobs == jobs
    assert again.cost.submitted == jobs - begun
    assert len(run.ledgers) == 1


def test_a_finished_evaluation_submits_nothing(run):
    first = run.evaluate()
    for path in run.store.glob("*"):
        path.unlink()
    again = run.evaluate()
    assert numbers(again) == numbers(first)
    assert (again.cost.jobs, again.cost.submitted, run.submissions) == (T, 0, 0)
    assert str(again.cost).endswith("3 jobs (3 found in the ledger)")


def test_budget_and_mode_leave_the_work_the_same_and_all_else_makes_it_another(run):
    run.evaluate()
    for same in (
        {"max_qpu_seconds": 99.0},
        {"queue_timeout": 9.0},
        {"mode": "batch"},
        {"force_measure": True},
        {"instance": "crn"},
        {"gradient": "spsa"},
        {"strategy": "replayed"},
    ):
        run.evaluate(replace(HARDWARE, **same))
        assert len(run.ledgers) == 1
    run.evaluate(replace(HARDWARE, shots=40))
    run.evaluate(feedback="open")
    run.evaluate(batch_size=2)
    run.evaluate(replace(HARDWARE, force_measure=True), readout_mode="measure")
    run.split = run.split.head(2)
    run.evaluate()
    with torch.no_grad():
        run.model.head.bias += 1
    run.evaluate()
    assert len(run.ledgers) == 7


def test_another_folder_samples_anew(run, tmp_path):
    options = replace(HARDWARE, ledger=str(tmp_path / "elsewhere"))
    run.evaluate()
    run.evaluate(options)
    assert run.submissions == 2 * T
    assert len(list((tmp_path / "elsewhere").glob("ibm_double-*/ledger.jsonl"))) == 1


def test_hardware_without_a_folder_is_refused(run):
    with pytest.raises(DeviceError, match="`ledger` must be a folder"):
        run.evaluate(folder=None)
    assert run.submissions == 0


def test_fakes_rehearse_it(run):
    first, again = run.evaluate(FAKE), run.evaluate(FAKE)
    assert numbers(first) == numbers(again)
    assert (first.cost.submitted, again.cost.submitted) == (T, 0)
    assert "not metered" in str(first.cost)
    plain = run.evaluate(FAKE, folder=None)
    assert numbers(plain) == numbers(first)
    assert plain.cost.ledger is None


def test_batch_and_folder_are_closed_whatever_happens(run):
    options = replace(HARDWARE, mode="batch")
    with pytest.raises(DeviceError, match="planted") as caught:
        run.evaluate(options, {"fail": [2, "planted"]})
    assert [mode.closed for mode in run.service.modes] == [True]
    # The error is still held, and with it all that was open when it was raised.
    again = run.evaluate(options)
    assert [mode.closed for mode in run.service.modes] == [True]
    assert again.cost.jobs == T + 1  # with the one that failed
    assert caught.value


def test_an_interrupted_evaluation_says_how_to_go_on(run, monkeypatch):
    def press(job):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(service_double.Job, "result", press)
        with pytest.raises(KeyboardInterrupt, match="run the same command again to resume"):
            run.evaluate()
    assert run.evaluate().cost.jobs == run.submissions == T


def test_the_price_is_told_before_anything_is_sent(run, capfd):
    with pytest.raises(service_double.Killed):
        run.evaluate(progress=True, faults={"die_before_submit": 1})
    told = capfd.readouterr().err
    assert "ibm_double: 3 jobs, estimated at 6.4 QPU s" in told
    assert "if the run stops, run the same command again" in told


# --- price and budget -----------------------------------------------------------------------------


@pytest.mark.parametrize("feedback", ["closed", "open"])
@pytest.mark.parametrize(
    "options", [{}, {"readout_mitigation": 20}, {"zne": [1, 3]}, {"readout_mode": "measure"}]
)
def test_a_run_uses_what_was_estimated(run, options, feedback):
    options, reading = dict(options), {}
    if "readout_mode" in options:
        reading = {"readout_mode": options.pop("readout_mode")}
        options["force_measure"] = True
    device = replace(FAKE, **options)
    price = prices(run.model, device, run.split, 2, **reading)[feedback]
    used = run.evaluate(device, feedback=feedback, batch_size=2, **reading).cost
    assert (used.jobs, used.executions) == (price.jobs, price.executions)
    assert used.estimated_seconds == pytest.approx(price.qpu_seconds)
    assert price.rounds == price.jobs


@pytest.mark.parametrize("options", [FAKE, HARDWARE])
def test_measured_readouts_beyond_t2_are_refused_before_anything_is_sent(run, options):
    with pytest.raises(DeviceError, match=r"T2 of its qubits, \d+ us on .*, but takes \d+ us: use"):
        run.evaluate(options, readout_mode="measure")
    assert run.submissions == 0
    assert not run.intents()


def test_sequences_of_different_lengths_are_priced_as_they_run(run):
    """A sequence that has ended needs no circuit: 3 bases x (3 + 2 + 1), not 3 x 9."""
    run.split = replace(run.split, lengths=torch.tensor([3, 1, 2]))
    price = prices(run.model, FAKE, run.split, feedbacks=["closed"])["closed"]
    used = run.evaluate(FAKE).cost
    assert price.circuits == 3 * (3 + 2 + 1)
    assert used.executions == price.executions == price.circuits * SHOTS
    assert used.estimated_seconds == pytest.approx(price.qpu_seconds)
    batches = prices(run.model, FAKE, run.split, 2, ["closed"])["closed"]
    assert (batches.jobs, batches.circuits) == (3 + 2, price.circuits)


def test_padding_does_not_count_in_the_error_of_the_readouts(run):
    noisy, lengths, split = (
        DeviceOptions("fused", noise="depolarizing", strength=0.01),
        (3, 1, 2),
        run.split,
    )
    total = np.zeros(T)
    for i, n in enumerate(lengths):
        run.split = replace(split, x=split.x[i : i + 1, :n], y=split.y[i : i + 1])
        total[:n] += np.square(run.evaluate(noisy).rms_z_steps)
    run.split = replace(split, lengths=torch.tensor(lengths))
    padded = run.evaluate(noisy)
    assert padded.rms_z_steps == pytest.approx(np.sqrt(total / [3, 2, 1]), rel=1e-4)
    assert padded.rms_z == pytest.approx(np.sqrt(total.sum() / 6), rel=1e-4)


def test_the_open_loop_runs_the_steps_that_the_head_reads(run):
    """The last one of a classifier, with the numbers of a run of all steps; else all."""
    done = run.evaluate(FAKE, feedback="open")
    assert done.cost.executions == 3 * N * SHOTS
    exact = run.evaluate(DeviceOptions("default.qubit", strategy="replayed"), feedback="open")
    whole = run.evaluate(DeviceOptions("default.qubit"), feedback="open")
    assert (exact.rms_z_steps, len(whole.rms_z_steps)) == ([], T)
    assert exact.loss == pytest.approx(whole.loss, rel=1e-5)
    assert done.rms_z > 0.01 > exact.rms_z
    run.model = SequenceClassifier(run.model.rnn, 2, pooling="mean")
    pooled = run.evaluate(FAKE, feedback="open")
    assert pooled.cost.executions == T * 3 * N * SHOTS
    exact = run.evaluate(DeviceOptions("default.qubit", strategy="replayed"), feedback="open")
    assert exact.loss == pytest.approx(run.evaluate(DeviceOptions("fused")).loss, rel=1e-5)
    labels = torch.zeros(N, T, dtype=torch.long)
    run.model, run.split = SequenceLabeller(run.model.rnn, 2), replace(run.split, y=labels)
    labelled = run.evaluate(FAKE, feedback="open")
    assert labelled.cost.executions == T * 3 * N * SHOTS
    assert len(labelled.rms_z_steps) == T


def test_evaluations_of_other_settings_are_kept_and_of_other_budgets_replaced(run, tmp_path):
    first = run.evaluate(FAKE)
    assert save(first, tmp_path).name == "evaluation-fake_manila.json"
    fewer = replace(first, options=first.options | {"shots": 7})
    assert save(fewer, tmp_path).name == "evaluation-fake_manila-2.json"
    richer = replace(first, options=first.options | {"max_qpu_seconds": 1e6}, seconds=7.0)
    assert save(richer, tmp_path).name == "evaluation-fake_manila.json"
    assert json.loads((tmp_path / "evaluation-fake_manila.json").read_text())["seconds"] == 7
    for damaged in ("[]", "{}", "x"):
        (tmp_path / "evaluation-fake_manila-2.json").write_text(damaged)
        assert save(fewer, tmp_path).name == "evaluation-fake_manila-2.json"


def test_an_estimate_runs_nothing(run):
    service_double.install(service_double.Service(run.store), run.patch)
    assert prices(run.model, HARDWARE, run.split)["closed"].jobs == T
    assert run.submissions == 0


def test_an_estimate_shows_what_the_account_has_left(run):
    service = service_double.Service(run.store)
    service_double.install(service, run.patch)

    def found():
        priced = prices(run.model, HARDWARE, run.split)
        console = Console(width=80, file=io.StringIO())
        console.print(table(priced))
        return priced["closed"].seconds_left, console.file.getvalue()

    left, text = found()
    assert left == 412
    assert re.search(r"account has +│ +412 s │ +412 s", text)
    service.limits = {}  # an instance without a limit
    assert "account has" not in found()[1]
    service.faults["lose_usage"] = [0, 4]
    assert found()[0] is None


@pytest.mark.parametrize("options", [HARDWARE, FAKE])
def test_a_budget_below_the_price_stops_before_the_first_job(run, options):
    with pytest.raises(DeviceError, match=r"max_qpu_seconds=6 .*the run is estimated at 6.4 s"):
        run.evaluate(replace(options, max_qpu_seconds=6.0))
    assert run.submissions == 0
    assert run.intents() == []
    assert run.evaluate(replace(options, max_qpu_seconds=6.5)).cost.jobs == T


def test_a_budget_that_runs_out_half_way_is_raised_to_go_on(run, tmp_path, monkeypatch):
    undisturbed = Run(tmp_path / "undisturbed", monkeypatch).evaluate()
    usage = service_double.Job.usage
    run.patch(service_double.Job, "usage", lambda job: 3 * usage(job))
    with pytest.raises(DeviceError, match=r"max_qpu_seconds=8 .*run the same command again"):
        run.evaluate(replace(HARDWARE, max_qpu_seconds=8.0))
    assert run.submissions == 1
    with pytest.raises(DeviceError, match=r"the rest of the run is estimated at 4.2 s"):
        run.evaluate(replace(HARDWARE, max_qpu_seconds=10.0))
    assert run.submissions == 1
    again = run.evaluate(replace(HARDWARE, max_qpu_seconds=30.0))
    assert numbers(again) == replace(
        numbers(undisturbed), options={"shots": SHOTS, "max_qpu_seconds": 30.0}
    )
    assert run.submissions == T
    assert again.cost.metered_seconds == pytest.approx(3 * again.cost.estimated_seconds)


def test_a_resumed_rehearsal_pays_for_a_cut_off_job_once(run, monkeypatch):
    """Its budget is the price to the second, and it is cut off in the last job."""
    price = prices(run.model, FAKE, run.split)["closed"].qpu_seconds
    exact = replace(FAKE, max_qpu_seconds=price + 1e-6)
    store, calls = Ledger.store, itertools.count(1)

    def cut(*arguments):
        store(*arguments) if next(calls) < T else _killed()

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "store", cut)
        with pytest.raises(service_double.Killed):
            run.evaluate(exact)
    assert run.evaluate(exact).cost.jobs == T


# --- credentials ----------------------------------------------------------------------------------


def test_no_credential_comes_out(run, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
    options = replace(HARDWARE, instance="crn:secret-instance", max_qpu_seconds=100.0)
    texts = []
    for fault in ({"fail": [2, f"denied for {TOKEN}"]}, {"lose_status": [3, 99]}):
        with pytest.raises(DeviceError) as caught:
            run.evaluate(options, fault)
        texts.append("".join(traceback.format_exception(caught.value)))
    done = run.evaluate(options, progress=True)
    save(done, run.folder)
    texts += [repr(done), str(done.cost), *capfd.readouterr()]
    texts += [p.read_bytes().decode("latin1") for p in run.folder.rglob("*") if p.is_file()]
    assert len(texts) > T + 6
    assert not [text for text in texts if "planted-token" in text or "secret-instance" in text]


def test_what_hardware_or_a_fake_would_ignore_is_refused(run):
    with pytest.raises(ConfigError, match=r"'ibm_double' would ignore device.seed"):
        run.evaluate(replace(HARDWARE, seed=3))
    with pytest.raises(ConfigError, match=r"ignore device.instance, device.queue_timeout"):
        run.evaluate(replace(FAKE, instance="crn", queue_timeout=3.0))
    with pytest.raises(ConfigError, match=r"would ignore device.options"):
        run.evaluate(replace(FAKE, options={"mode": "batch"}))
