"""Training on devices that submit jobs: recorded, priced, within a budget, and resumed."""

import json
import re
from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from helpers import service_double
from qrnn.cli.estimate import fine_tuning
from qrnn.config import EstimateConfig, TrainConfig, TrainerConfig
from qrnn.data.tables.forecast import ForecastConfig, forecast
from qrnn.devices import DeviceOptions
from qrnn.errors import ConfigError, DeviceError
from qrnn.evaluation.trained import load
from qrnn.networks import HybridConfig
from qrnn.training.history import FILE
from qrnn.training.jobs import price
from qrnn.training.trainer import train

T, B, SHOTS, EPOCHS, STEPS, VAL = 2, 3, 40, 2, 2, 4
JOBS = T * (STEPS + 1)  # of an epoch
FAKE = DeviceOptions("fake_manila", shots=SHOTS, seed=4)
HARDWARE = DeviceOptions(service_double.NAME, shots=SHOTS, max_qpu_seconds=500.0)
# 2 s a job; 3 bases of 2 x 2 copies of 3 sequences (and of 4 for validation) at 2 steps.
EXECUTIONS = T * 3 * SHOTS * (STEPS * 4 * B + VAL)
SECONDS = 2 * JOBS + 264e-6 * EXECUTIONS


def killed():
    raise service_double.Killed


class Training:
    """A run's folder, its configuration and data, and what the service did for it."""

    def __init__(self, folder, patch):
        self.folder, self.store, self.patch = folder / "run", folder / "service", patch
        data = forecast(ForecastConfig(window=T, horizon=1))
        self.data = replace(data, train=data.train.head(STEPS * B), val=data.val.head(VAL))

    def config(self, device=FAKE, **trainer):
        options = {"epochs": EPOCHS, "batch_size": B, "directions": 2, "loggers": []}
        options |= {"optimizer": "spsa", "schedule": "constant", "progress": False} | trainer
        return TrainConfig(
            task=ForecastConfig(window=T, horizon=1),
            model=HybridConfig(n_qubits=2, width=3, layers=1),
            device=device,
            trainer=TrainerConfig(**options),
        )

    def run(self, device=FAKE, faults=None, resume=False, **trainer):
        if device.name == service_double.NAME:
            service = service_double.Service(self.store, faults, killed)
            service_double.install(service, self.patch.setattr)
        last = str(self.folder / "last.ckpt") if resume else None
        config = replace(self.config(device, **trainer), resume=last)
        return train(config, self.folder, data=self.data)

    @property
    def submissions(self):
        return service_double.Service(self.store).submissions

    @property
    def metrics(self):
        return (self.folder / FILE).read_text()

    def intents(self):
        (path,) = self.folder.glob("jobs/*/ledger.jsonl")
        events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
        return [event for event in events if event["state"] == "intent"]


@pytest.fixture
def training(tmp_path, monkeypatch):
    return Training(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        one = Training(tmp_path_factory.mktemp("undisturbed"), patch)
        assert one.run(HARDWARE).cost.jobs == EPOCHS * JOBS
    return one.metrics


def test_all_copies_of_a_batch_are_one_job_at_each_time_step(training):
    done = training.run()
    assert done.cost.jobs == done.cost.submitted == EPOCHS * JOBS
    assert done.cost.executions == EPOCHS * EXECUTIONS
    circuits = [3 * 4 * B] * T * STEPS + [3 * VAL] * T
    assert [one["circuits"] for one in training.intents()] == circuits * EPOCHS
    purposes = [(one["what"]["purpose"], one["what"]["step"]) for one in training.intents()]
    names = [f"step {k}" for k in range(STEPS)] + ["validation 0, batch 0"]
    assert purposes[:JOBS] == [(name, str(t)) for name in names for t in range(T)]
    summary = json.loads((training.folder / "summary.json").read_text())
    assert summary["cost"]["jobs"] == EPOCHS * JOBS


def test_it_uses_what_was_estimated(training, capsys):
    config = training.config(epochs=1)
    done = training.run(epochs=1)
    loaded = load(done.best)
    priced = price(loaded.model, FAKE, training.data, config.trainer)
    assert done.cost.estimated_seconds == pytest.approx(priced.epoch.qpu_seconds)
    assert priced.epoch.qpu_seconds == pytest.approx(SECONDS, rel=0.01)
    assert (priced.step.jobs, priced.step.circuits) == (T, T * 3 * 4 * B)
    assert priced.epoch.qpu_seconds == pytest.approx(
        STEPS * priced.step.qpu_seconds + priced.validation.qpu_seconds
    )
    asked = EstimateConfig(checkpoint=str(done.best), device=FAKE, trainer=config.trainer)
    fine_tuning(asked, FAKE)
    assert "Training: 1 epoch, each with a validation of" in capsys.readouterr().out
    for wrong, message in (
        ({"limit": 3}, "limit must be left out with trainer=spsa, got 3"),
        ({"trainer": TrainerConfig(epochs=9)}, "trainer.optimizer must be spsa to train on fake"),
    ):
        with pytest.raises(ConfigError, match=message):
            fine_tuning(replace(asked, **wrong), FAKE)


def test_the_trained_model_is_read_on_a_simulator(training):
    done = training.run(epochs=1)
    assert load(done.best).evaluate(data=training.data, split="val").reference == "fused"
    saved = OmegaConf.load(training.folder / "config.yaml")
    assert (saved.device.name, saved.device.ledger) == ("fake_manila", None)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"die_before_submit": 2}, marks=pytest.mark.slow),
        {"die_after_submit": JOBS - 1},
        pytest.param({"die_fetching": JOBS + 3}, marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_goes_on(training, undisturbed, fault):
    with pytest.raises(service_double.Killed):
        training.run(HARDWARE, fault)
    done = training.run(HARDWARE, resume=True)
    assert training.metrics == undisturbed
    assert training.submissions == done.cost.jobs == EPOCHS * JOBS


def test_a_failed_job_says_how_to_resume(training, undisturbed, monkeypatch):
    with pytest.raises(
        DeviceError, match=r"planted. Resume with `qrnn train resume=.*last.ckpt` to"
    ):
        training.run(HARDWARE, {"fail": [3, "planted"]})
    training.run(HARDWARE, resume=True)
    assert training.metrics == undisturbed


def test_the_budget_stops_before_an_epoch_that_does_not_fit(training, undisturbed):
    small = replace(HARDWARE, max_qpu_seconds=1.5 * SECONDS)
    done = training.run(small)
    assert (done.epochs, training.submissions) == (1, JOBS)
    assert "and epoch 2 is estimated at" in done.stopped
    command = r"resume with `qrnn train resume=\S+ device.max_qpu_seconds=(\d+)`"
    enough = re.search(command, done.stopped)
    with pytest.raises(DeviceError, match="and epoch 2 is estimated at"):
        training.run(small, resume=True)
    assert training.submissions == JOBS
    done = training.run(replace(HARDWARE, max_qpu_seconds=float(enough[1])), resume=True)
    assert (done.stopped, training.metrics) == (None, undisturbed)


def test_an_epoch_that_a_failed_job_made_dearer_is_not_begun(training):
    """What failed has to be paid and done again; it is not a part of the epoch that is there."""
    with pytest.raises(DeviceError, match="planted"):
        training.run(HARDWARE, {"fail": [3, "planted"]})
    begun = training.submissions
    tight = replace(HARDWARE, max_qpu_seconds=SECONDS + 1.0)  # a job takes 2 s and more
    with pytest.raises(DeviceError, match=r"are used and epoch 1 is estimated at"):
        training.run(tight, resume=True)
    assert training.submissions == begun


def test_the_budget_is_not_exceeded_within_an_epoch(training, undisturbed, monkeypatch):
    """Jobs take twice their estimate, so that an epoch that should fit does not."""
    usage = service_double.Job.usage
    with monkeypatch.context() as patch:
        patch.setattr(service_double.Job, "usage", lambda job: 2 * usage(job))
        with pytest.raises(DeviceError, match="raise it and resume with `qrnn train resume="):
            training.run(replace(HARDWARE, max_qpu_seconds=1.2 * SECONDS))
    assert 0 < training.submissions < JOBS
    begun = training.submissions
    done = training.run(HARDWARE, resume=True)
    assert training.metrics == undisturbed
    assert training.submissions == EPOCHS * JOBS
    assert done.cost.submitted == EPOCHS * JOBS - begun


def test_price_and_budget_are_told_before_anything_is_sent(training, capfd):
    with pytest.raises(service_double.Killed):
        training.run(
            replace(HARDWARE, max_qpu_seconds=1.5 * SECONDS),
            {"die_before_submit": 1},
            progress=True,
        )
    told = capfd.readouterr().err
    assert "ibm_double: 2 epochs of 6 jobs and" in told
    assert "stops the training before its last epoch" in told


def test_a_run_does_not_go_on_in_another_folder_where_its_budget_begins_anew(training):
    again = replace(training.config(), resume=str(training.folder / "best.ckpt"))
    other = training.folder.parent / "other"
    with pytest.raises(ConfigError, match=r"resume must go on in its own folder.*finetune="):
        train(again, other, data=training.data)
    assert not other.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "adamw", "directions": None}, "trainer.optimizer must be spsa on device 'f"),
        ({"device": replace(FAKE, ledger="x")}, "device.ledger must be left out in training"),
        ({"device": replace(FAKE, max_qpu_seconds=9.0)}, "max_qpu_seconds must be enough for an e"),
        ({"device": replace(FAKE, calibrate=2)}, "device.calibrate must be left out here"),
        ({"device": replace(HARDWARE, max_qpu_seconds=None)}, "max_qpu_seconds must be set to tr"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(training, change, message):
    with pytest.raises((ConfigError, DeviceError), match=message):
        training.run(**change)
    assert training.submissions == 0
    assert not training.folder.exists()
