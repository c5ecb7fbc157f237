"""Hydra's sweepers and launchers."""

import os
import subprocess
import sys

import pytest
import yaml

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")

SMALL = ["model=lstm", "model.hidden_size=4", "trainer.epochs=2", "trainer.progress=false"]
OPTUNA = ["train", "--multirun", "hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=1"]
LR = "trainer.lr=tag(log,interval(1e-5,1e-1))"


def value_of(out: str) -> list[float]:
    """Return the validation metrics that runs printed, in percent."""
    return [float(line.split()[-1].rstrip("%")) for line in out.splitlines() if "valid" in line]


@pytest.mark.slow
def test_optuna_improves_on_its_first_trial(qrnn_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = [*OPTUNA, "hydra.sweeper.n_trials=6", "hydra.sweeper.direction=maximize", LR, *SMALL]
    status, out, err = qrnn_command(*line, "hydra.sweep.dir=sweep")
    assert status == 0, err
    found = value_of(out)
    best = yaml.safe_load((tmp_path / "sweep/optimization_results.yaml").read_text())
    assert len(found) == 6
    assert 100 * best["best_value"] == pytest.approx(max(found), abs=0.1)
    assert max(found) > found[0] + 5  # percent


def test_the_wrong_direction_is_one_line_before_the_first_trial(qrnn_command, tmp_path):
    line = [*OPTUNA, "hydra.sweeper.n_trials=2", LR, *SMALL, f"hydra.sweep.dir={tmp_path}/sweep"]
    status, out, err = qrnn_command(*line)
    assert status == 2
    assert value_of(out) == []
    assert err.endswith(
        "qrnn: hydra.sweeper.direction must be maximize for the validation accuracy, got minimize\n"
    )
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_goes_on_after_trials_that_fail(qrnn_command, tmp_path):
    line = [*OPTUNA, "hydra.sweeper.n_trials=3", "hydra.sweeper.direction=maximize"]
    line += ["hydra.sweeper.max_failure_rate=1", "trainer.seed=choice(-1,0)", *SMALL]
    status, out, err = qrnn_command(*line, f"hydra.sweep.dir={tmp_path}/sweep")
    assert status == 0, err
    assert 0 < len(value_of(out)) < 3
    kept = [path for path in (tmp_path / "sweep").iterdir() if path.is_dir()]
    assert len(kept) == len(value_of(out))  # a refused run leaves no folder


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "status"), [("0,1,2,3,4,5,6,7", 0), ("0,-1", 2)])
def test_ray_runs_a_sweep_on_two_workers(seeds, status, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    line = ["train", "--multirun", "hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"]
    line += ["+hydra.launcher.ray.init.include_dashboard=false", f"trainer.seed={seeds}", *SMALL]
    line += ["hydra.sweep.dir=sweep"]
    off = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "qrnn", *line],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,  # Ray takes minutes to start on a busy machine
        env={**os.environ, **off, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == status, done.stderr
    if status:
        assert "qrnn: trainer.seed must be in 0..2^32-1, got -1\n" in done.stderr
        assert "Traceback" not in done.stderr
    else:
        assert len(list(tmp_path.glob("sweep/*/best.ckpt"))) == 8
