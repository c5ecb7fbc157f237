"""Training: what a run leaves, resuming, interrupting, and what a checkpoint carries."""

import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import lightning.pytorch as pl
import numpy as np
import pennylane as qml
import pytest
import torch

from helpers.small_runs import SMALL, config, losses, small_digits
from qrnn import ConfigError, DataError
from qrnn.data import Batch, Shape, Stream, TaskData
from qrnn.devices import DeviceOptions
from qrnn.evaluation.evaluation import evaluate
from qrnn.evaluation.predict import record_controls
from qrnn.evaluation.predict import run as run_model
from qrnn.models.sequence import SequenceClassifier
from qrnn.training.callbacks import AtomicCheckpointIO
from qrnn.training.checkpoint import load_model, read_checkpoint
from qrnn.training.history import history
from qrnn.training.learner import Learner, TaskDataModule
from qrnn.training.seeding import epoch_seed, seed_all
from qrnn.training.trainer import accelerator, train


@pytest.fixture(scope="module")
def data() -> TaskData:
    return small_digits()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(config(), tmp_path_factory.mktemp("run"), data=data)


@pytest.mark.core
def test_a_run_learns_and_leaves_checkpoints_logs_and_its_config(run):
    series = history(run.run_dir)
    assert losses(run.run_dir)[-1] < losses(run.run_dir)[0]
    assert len(series["val/accuracy"]) == run.epochs == 4
    assert run.best.name == "best.ckpt"
    assert run.last.name == "last.ckpt"
    assert "n_qubits: 3" in (run.run_dir / "config.yaml").read_text()
    assert list(run.run_dir.glob("tensorboard/**/events*"))
    assert not run.interrupted


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(run, data, tmp_path):
    again = train(config(), tmp_path / "again", data=data)
    other = train(config(seed=1), tmp_path / "other", data=data)
    assert losses(again.run_dir) == losses(run.run_dir)
    assert losses(other.run_dir) != losses(run.run_dir)


def test_the_metrics_of_an_epoch_are_means_over_its_sequences(data, tmp_path):
    part = replace(data, train=data.train.head(150))  # a last batch of 22
    still = replace(config(epochs=1, lr=1e-30), model=replace(SMALL, dropout=0.0))
    done = train(still, tmp_path, data=part)
    model, _ = load_model(done.last)
    found = {name: values[0][1] for name, values in history(tmp_path).items()}
    for name, split in (("train", part.train), ("val", part.val)):
        logits = model(split.x)
        loss = torch.nn.functional.cross_entropy(logits, split.y).item()
        accuracy = (logits.argmax(1) == split.y).float().mean().item()
        assert found[f"{name}/loss"] == pytest.approx(loss, rel=1e-5)
        assert found[f"{name}/accuracy"] == pytest.approx(accuracy, rel=1e-6)
    assert found["train/skipped"] == 0
    assert found["train/gradient"] > 0


def test_training_runs_in_a_thread_too(data, tmp_path):
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(train, config(epochs=1), tmp_path / "thread", data=data).result()
    assert done.epochs == 1


def test_a_checkpoint_is_plain_data_and_rebuilds_the_model(run):
    content = read_checkpoint(run.best)
    assert content["qrnn"]["config"]["model"]["n_qubits"] == 3
    assert type(content["qrnn"]["config"]) is dict
    model, saved = load_model(run.best)
    assert saved.model.n_qubits == 3
    assert not model.training


@pytest.mark.core
def test_a_checkpoint_evaluates_on_other_devices_as_on_its_own(run, data):
    model, _ = load_model(run.best)
    for name in ("default.qubit", "lightning.qubit"):
        result = evaluate(model, data.val.head(6), name, progress=False)
        assert result.agreement == 1
        assert result.rms_z < 1e-5
    shots = DeviceOptions("default.qubit", shots=400, seed=3)
    sampled = evaluate(model, data.val.head(6), shots, progress=False)
    assert 0.01 < sampled.rms_z < 0.1  # about 1/sqrt(400)
    batched = evaluate(model, data.val.head(6), "default.qubit", batch_size=4, progress=False)
    assert batched.predictions == result.predictions


def test_open_loop_is_one_execution_with_the_readouts_of_the_closed_loop(run, data):
    model, _ = load_model(run.best)
    x = data.val.x[:3]
    replayed = model.on("default.qubit", strategy="replayed")
    controls = record_controls(model, x)
    with qml.Tracker(replayed.rnn.cell.qnode.device) as tracker, torch.no_grad():
        z = replayed.rnn.cell.memory.run(controls)
    assert tracker.totals["batches"] == 1
    all_eight = tracker.totals["executions"]
    with torch.no_grad():
        assert torch.allclose(z, model.rnn(x)[0], atol=1e-5)
        for memory in (replayed.rnn.cell.memory, model.rnn.cell.memory):
            with qml.Tracker(replayed.rnn.cell.qnode.device) as tracker:
                some = memory.run(controls, [1, 7])
            torch.testing.assert_close(some, z[:, [1, 7]], atol=1e-5, rtol=0)
            charged = tracker.totals.get("executions", 0)
            assert charged == (all_eight * 2 / 8 if memory.charges_steps else 0)
    for name in ("lightning.qubit", "default.qubit"):
        result = evaluate(model, data.val.head(3), name, feedback="open", progress=False)
        assert result.rms_z < 1e-5
    with pytest.raises(ConfigError, match="feedback 'half' is not known: Allowed: closed, open"):
        evaluate(model, data.val.head(3), "fused", feedback="half")


def test_early_stopping_stops(data, tmp_path):
    result = train(config(epochs=50, lr=0.5, patience=1), tmp_path, data=data)
    assert result.epochs < 50


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path):
    path = tmp_path / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint({"value": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        AtomicCheckpointIO().save_checkpoint({"value": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"value": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


def test_ctrl_c_leaves_a_checkpoint_that_loads(tmp_path):
    command = [
        sys.executable,
        "-m",
        "qrnn",
        "train",
        "trainer.epochs=5000",
        "model.n_qubits=3",
        "trainer.progress=false",
        f"hydra.run.dir={tmp_path}/run",
    ]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores Ctrl-C, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    last = tmp_path / "run" / "last.ckpt"
    for _ in range(1200):
        if last.is_file() or process.poll() is not None:
            break
        time.sleep(0.1)
    try:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "Traceback" not in err
    assert "resume=" in out + err
    load_model(last)


@pytest.mark.parametrize(
    ("moment", "presses", "steps"),
    [
        ("on_train_start", 1, 0),
        ("on_before_backward", 1, 1),  # the batch ends, the next one does not start
        ("on_before_backward", 2, 0),
        ("on_validation_epoch_start", 1, None),
    ],
)
def test_ctrl_c_waits_for_the_next_batch_and_twice_does_not(
    tmp_path, monkeypatch, data, moment, presses, steps
):
    """What is raised within the compiler is printed and lost, so nothing is raised there."""
    scored = []

    def press(*_):
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Learner, moment, press)
    monkeypatch.setattr(Learner, "on_validation_batch_end", lambda *_: scored.append(1))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = train(config(epochs=1), tmp_path, data=data)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.interrupted
    assert not scored
    assert steps is None or result.steps == steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "trainer.epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "trainer.batch_size must be at least 1"),
        ({"lr": 0.0}, "trainer.lr must be positive"),
        ({"lr": float("nan")}, "trainer.lr must be positive"),
        ({"weight_decay": -1.0}, "trainer.weight_decay must be at least 0"),
        ({"schedule": "x"}, "trainer.schedule must be cosine or constant"),
        ({"clip": 0.0}, "trainer.clip must be positive"),
        ({"patience": 0}, "trainer.patience must be null or at least 1"),
        ({"seed": -1}, "trainer.seed must be in"),
    ],
)
def test_a_value_out_of_range_is_refused_before_anything_runs(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        train(config(**options), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_a_checkpoint_is_named(tmp_path, run):
    with pytest.raises(DataError, match="must be a file that `qrnn train` wrote"):
        load_model(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(DataError, match="damaged or not a checkpoint"):
        load_model(tmp_path / "text.ckpt")
    (tmp_path / "half.ckpt").write_bytes(run.best.read_bytes()[:2000])
    with pytest.raises(DataError, match="damaged or not a checkpoint"):
        load_model(tmp_path / "half.ckpt")
    torch.save({"weights": torch.ones(1)}, tmp_path / "other.ckpt")
    with pytest.raises(DataError, match="must come from `qrnn train`"):
        load_model(tmp_path / "other.ckpt")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_qubits", 4),
        ("ansatz", "strongly_entangling"),
        ("layers", 1),
        ("rotations", ["RX"]),
        ("entangler", "CRX"),
        ("topology", "ring"),
        ("readout", "Z"),
        ("controller", "glu"),
        ("width", 9),
        ("depth", 2),
        ("dropout", 0.5),
        ("readout_shots", 100),
        ("readout_depolarizing", 0.1),
    ],
)
def test_each_model_key_changes_the_model(key, value):
    from qrnn.models.build import build_model

    def output(model_config):
        torch.manual_seed(0)
        model = build_model(replace(config(), model=model_config), Shape("classify", 10, 8))
        # Larger weights, so that a step of the untrained model is not near the identity.
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(3)
        return model(torch.linspace(0, 1, 2 * 3 * 8).reshape(2, 3, 8))

    assert not torch.allclose(output(SMALL), output(replace(SMALL, **{key: value})))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 2),
        ("batch_size", 16),
        ("lr", 1e-3),
        ("weight_decay", 0.5),
        ("schedule", "cosine"),
        ("clip", 1e-3),
        ("seed", 5),
    ],
)
def test_each_trainer_key_changes_the_run(key, value, run, data, tmp_path):
    other = train(config(**{key: value}), tmp_path, data=data)
    assert losses(other.run_dir) != losses(run.run_dir)


@pytest.mark.parametrize("there", [True, False])
def test_fused_trains_on_the_gpu_where_there_is_one(there, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert accelerator(DeviceOptions("fused")) == ("gpu" if there else "cpu")
    assert accelerator(DeviceOptions("fused", noise="readout", strength=0.1)) == "cpu"
    assert accelerator(DeviceOptions("default.qubit")) == "auto"


def test_an_epoch_seeds_the_gpus_python_and_numpy_too(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    drawn = []
    for _ in range(2):
        seed_all(epoch_seed(1, 2, 0), torch.nn.Linear(1, 1))
        drawn.append((random.random(), np.random.rand(), torch.rand(()).item()))
    assert drawn[0] == drawn[1]
    assert set(seeds) == {epoch_seed(1, 2, 0)}
    assert len({epoch_seed(*one) for one in [(1, 2, 0), (2, 2, 0), (1, 3, 0), (1, 2, 1)]}) == 4


def test_a_gradient_that_is_not_finite_is_left_out_and_counted(data, tmp_path):
    learner = Learner(config(), data)
    loss_of, calls = learner._step, []

    def overflowing(batch, index, part):
        loss = loss_of(batch, index, part)
        if part == "train":
            calls.append(part)
            if len(calls) == 2:
                return loss * torch.tensor(float("inf"))
        return loss

    learner._step = overflowing
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        gradient_clip_val=1.0,
    )
    trainer.fit(learner, TaskDataModule(data, config().trainer))
    assert all(p.isfinite().all() for p in learner.parameters())
    assert trainer.logged_metrics["train/skipped"] == pytest.approx(1 / len(calls))
    assert trainer.logged_metrics["train/gradient"].isfinite()


@pytest.mark.parametrize("kind", ["classify", "label", "translate"])
def test_the_head_has_a_hidden_layer_of_the_width_that_is_asked_for(kind):
    from qrnn.models.build import build_model

    def built(width):
        shape = Shape(kind, 10, 8, tokens=kind != "classify")
        tokens = {"embedding": 4} if shape.tokens else {}
        model_config = replace(SMALL, head_width=width, **tokens)
        return build_model(replace(config(), model=model_config), shape)

    linear, wide = built(None), built(7)
    sizes = [tuple(m.weight.shape) for m in wide.modules() if isinstance(m, torch.nn.Linear)]
    assert (10, 7) in sizes
    assert wide.recurrent_parameters() == linear.recurrent_parameters()
    with pytest.raises(ConfigError, match=r"head_width must be null or at least 1, got 0"):
        built(0)


@pytest.mark.parametrize("width", [None, 7])
@pytest.mark.parametrize("kind", ["classify", "label", "translate"])
def test_a_head_with_a_norm_sees_small_readouts_as_large_ones(kind, width):
    from qrnn.models.build import build_model

    shape = Shape(kind, 10, 8, tokens=kind != "classify")
    tokens = {"embedding": 4} if shape.tokens else {}
    model_config = replace(SMALL, head_width=width, head_norm=True, **tokens)
    model = build_model(replace(config(), model=model_config), shape)
    head = model.combine if kind == "translate" else model.head
    (norm,) = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]
    z = torch.randn(3, *norm.normalized_shape)
    torch.testing.assert_close(head(0.1 * z), head(z), rtol=0.02, atol=0.02)
    assert (head(z) - head(-z)).abs().max() > 0.1


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("kind", ["label", "translate"])
def test_tokens_reach_the_head_past_the_network_if_they_skip_it(kind, skip):
    from qrnn.models.build import build_model

    model_config = replace(SMALL, embedding=4, skip=skip)
    model = build_model(replace(config(), model=model_config), Shape(kind, 10, 8, tokens=True))
    networks = [model.rnn] if kind == "label" else [model.encoder, model.decoder]
    for one in networks:  # that see nothing: all that differs has come past them
        one.register_forward_hook(lambda module, inputs, output: (output[0] * 0, output[1]))
    x, y = torch.tensor([[4, 5, 6], [4, 7, 6]]), torch.tensor([[4, 5, 6], [4, 5, 6]])
    logits = model.answer(Batch(x, y, None)).logits
    same = torch.isclose(logits[0], logits[1], atol=1e-5).all(-1).tolist()
    if not skip:
        assert same == [True] * 3
    else:  # the token's own step, or, through attention, all steps
        assert same == ([True, False, True] if kind == "label" else [False] * 3)
    other = model.answer(Batch(x, y.flip(0, 1), None)).logits  # of targets, those before a step
    changed = (~torch.isclose(other, logits, atol=1e-5)).any(-1)[0].tolist()
    assert changed == [False, kind == "translate" and skip, False]


def test_a_classifier_reads_no_tokens_past_the_network():
    from qrnn.models.build import build_model

    with pytest.raises(ConfigError, match=r"model\.skip must be false for a task with one label"):
        build_model(
            replace(config(), model=replace(SMALL, skip=True)),
            Shape("classify", 10, 8, tokens=True),
        )


def test_a_head_with_a_hidden_layer_is_not_linear(data):
    from qrnn.models.build import build_model

    torch.manual_seed(0)
    model = build_model(replace(config(), model=replace(SMALL, head_width=7)), data.shape)
    z = torch.randn(3, model.rnn.output_size)
    bend = model.head(z) + model.head(-z) - 2 * model.head(0 * z)
    assert bend.abs().max() > 1e-3


@pytest.mark.parametrize(("carry", "anew"), [(None, [0]), (1, range(8)), (3, [0, 3, 6])])
def test_a_text_goes_on_from_the_last_state_until_it_begins_anew(carry, anew):
    torch.manual_seed(0)
    tokens = torch.randint(0, 4, (65,))
    part = Stream(tokens, 4, carry)
    data = TaskData(part, part, part, list("abcd"), kind="label", vocabulary=list("abcd"))
    learner = Learner(replace(config(), model=replace(SMALL, embedding=4)), data)
    learner.log = lambda *args, **kwargs: None
    states, answer = [], learner.model.answer
    learner.model.answer = lambda batch, state: states.append(state) or answer(batch, state)
    batches = part.batches(2)
    for i, batch in enumerate(batches):
        if i > 0:  # the first also seeds, for which it needs a trainer
            learner.on_train_batch_start(batch, i)
        learner.training_step(batch, i)
    assert len(batches) == 8
    assert [i for i, state in enumerate(states) if state is None] == list(anew)
    if carry != 1:
        assert states[1].z.shape == (2, 9)
        assert not states[1].z.requires_grad
    states.clear()
    run_model(learner.model, part, 2)
    assert [i for i, state in enumerate(states) if state is None] == list(anew)


def test_validation_leaves_the_state_of_training_alone():
    torch.manual_seed(0)
    part = Stream(torch.randint(0, 4, (33,)), 4)
    data = TaskData(part, part, part, list("abcd"), kind="label", vocabulary=list("abcd"))
    learner = Learner(replace(config(), model=replace(SMALL, embedding=4)), data)
    learner.log = lambda *args, **kwargs: None
    first, second = part.batches(2)[:2]
    learner.training_step(first, 0)
    kept = learner.states["train"]
    learner.validation_step(first, 0)
    learner.validation_step(second, 1)
    assert learner.states["train"] is kept


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("lstm", "gradients must be finite, but no step of the last epoch had one: lower"),
        ("gru", "val/loss of the last epoch must be finite, got nan: lower trainer.lr"),
    ],
)
def test_a_run_that_taught_nothing_says_so_and_has_status_1(
    model, message, qrnn_command, tmp_path, monkeypatch
):
    if model == "lstm":
        step = Learner._step
        monkeypatch.setattr(Learner, "_step", lambda *given: step(*given) * torch.inf)
    else:
        monkeypatch.setattr(SequenceClassifier, "logits", diverging)
    status, out, err = qrnn_command(
        "train",
        f"model={model}",
        "model.hidden_size=4",
        "trainer.epochs=2",
        "trainer.progress=false",
        f"hydra.run.dir={tmp_path}",
    )
    assert status == 1
    assert "2 epochs; best checkpoint: epoch 1, validation accuracy" in out
    assert err.startswith(f"qrnn: {message}")
    assert err.count("\n") == 1
    assert (tmp_path / "best.ckpt").is_file()
    assert (tmp_path / "last.ckpt").is_file()
    assert not (tmp_path / "summary.json").is_file()  # it is none of a run that came to its end


def diverging(model, read, x):
    """The logits of a model that overflows in evaluation."""
    logits = model.head(read)
    return logits if model.training else logits * torch.nan
