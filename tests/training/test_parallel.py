"""Training in several processes, and sweeps: the same learning as in one."""

import os
import subprocess
import sys

import pytest
import torch

from helpers.paths import TESTS
from qrnn import ConfigError
from qrnn.config import TrainerConfig
from qrnn.data import DigitsConfig, digits
from qrnn.training.history import history
from qrnn.training.trainer import check_trainer

SCRIPT = TESTS / "helpers/ddp_run.py"


def run(*command, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def gradients(folder):
    """Return the gradient of the first step: AdamW's first moment is a tenth of it."""
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 1
    return [10 * s["exp_avg"] for s in checkpoint["optimizer_states"][0]["state"].values()]


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_one_with_the_joint_batch(tmp_path):
    for processes in (1, 2):
        run(SCRIPT, tmp_path / f"{processes}", processes, cwd=tmp_path)
    alone, together = (gradients(tmp_path / f"{processes}") for processes in (1, 2))
    for one, two in zip(alone, together, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-6)
    assert max(g.abs().max() for g in alone) > 1e-3
    one, two = (history(tmp_path / f"{processes}") for processes in (1, 2))
    assert one.keys() == two.keys() > {"train/gradient", "train/loss", "val/accuracy"}
    for name, values in one.items():
        assert two[name] == [(0, pytest.approx(values[0][1], rel=1e-4, abs=1e-6))]


@pytest.mark.slow
def test_the_command_trains_in_two_processes_speaks_once_and_resumes(tmp_path):
    command = (
        "-m",
        "qrnn",
        "train",
        "trainer.processes=2",
        "model.n_qubits=2",
        "model.width=4",
        "trainer.progress=false",
    )
    out = run(*command, "trainer.epochs=1", "hydra.run.dir=run", cwd=tmp_path)
    assert out.count("checkpoint  run/best.ckpt") == 1
    assert "INFO" not in out
    rows = len(digits(DigitsConfig()).train)
    steps = torch.load(tmp_path / "run/last.ckpt", weights_only=True)["global_step"]
    assert steps == -(-rows // 32)  # a batch is shared, not one for each process

    more = ("trainer.epochs=2", "resume=run/last.ckpt", "hydra.run.dir=more")
    run(*command, *more, cwd=tmp_path)
    first, both = (history(tmp_path / name)["train/loss"] for name in ("run", "more"))
    assert len(both) == 2
    assert both[:1] == first


@pytest.mark.slow
def test_a_sweep_over_seeds_is_one_run_a_seed(tmp_path):
    out = run(
        "-m",
        "qrnn",
        "train",
        "--multirun",
        "trainer.seed=0,1",
        "trainer.epochs=1",
        "model.n_qubits=2",
        "model.width=4",
        "trainer.progress=false",
        "hydra.sweep.dir=sweep",
        cwd=tmp_path,
    )
    assert out.count("1 epoch; best checkpoint: epoch 1, validation accuracy") == 2
    kept = [(tmp_path / f"sweep/{i}/config.yaml").read_text() for i in (0, 1)]
    assert ["seed: 0" in kept[0], "seed: 1" in kept[1]] == [True, True]


@pytest.mark.parametrize("processes", [0, 5])
def test_processes_must_divide_the_batch(processes):
    message = "trainer.processes must be at least 1 and divide trainer.batch_size=32, got"
    with pytest.raises(ConfigError, match=message):
        check_trainer(TrainerConfig(processes=processes))
