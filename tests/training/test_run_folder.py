"""A run's folder is its own: no other training writes there, now or later."""

import subprocess
import sys
from dataclasses import replace

import pytest
from filelock import FileLock

from helpers.small_runs import config, losses, small_digits
from qrnn import ConfigError
from qrnn.training.learner import Learner
from qrnn.training.trainer import train


@pytest.fixture(scope="module")
def data():
    return small_digits()


def files(folder):
    """Return what a folder holds; the lock's file is empty and stays."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(config(epochs=1), tmp_path_factory.mktemp("run"), data=data)


def test_a_folder_that_holds_a_run_is_refused_before_anything_is_written(run, data, qrnn_command):
    before = files(run.run_dir)
    with pytest.raises(ConfigError) as refused:
        train(config(epochs=1), run.run_dir, data=data)
    status, _, told = qrnn_command("train", f"hydra.run.dir={run.run_dir}")
    assert (status, told) == (2, f"qrnn: {refused.value}\n")
    assert "already holds a run: resume it with `qrnn train resume=" in told
    assert "last.ckpt`, or choose another hydra.run.dir" in told
    assert files(run.run_dir) == before


def test_a_run_that_goes_on_does_not_overwrite_another(run, data, tmp_path):
    other = train(config(epochs=1, seed=1), tmp_path, data=data)
    before = files(tmp_path)
    with pytest.raises(ConfigError, match="already holds a run"):
        train(replace(config(epochs=2), resume=str(run.last)), tmp_path, data=data)
    assert files(tmp_path) == before
    # In its own folder it goes on, and has not ended until it ends.
    there = []

    def noting(*_):
        there.append((tmp_path / "summary.json").exists())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "on_train_start", noting)
        train(replace(config(epochs=2, seed=1), resume=str(other.last)), tmp_path, data=data)
    assert there == [False]
    assert len(losses(tmp_path)) == 2


@pytest.mark.parametrize("kept", ["metrics.csv", "summary.json"])
def test_without_a_checkpoint_the_way_out_is_another_folder(kept, tmp_path):
    (tmp_path / kept).touch()
    with pytest.raises(ConfigError, match=r"already holds a run: choose another hydra.run.dir$"):
        train(config(), tmp_path)


HOLD = (
    "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
    "print('held', flush=True); sys.stdin.read()"
)


def test_one_training_at_a_time_and_a_killed_one_leaves_no_lock(data, tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match="is in use by another training: wait until it ends"):
            train(config(epochs=1), tmp_path, data=data)
        assert files(tmp_path) == {}
        process.kill()
    (tmp_path / ".last.ckpt.x1.ckpt").write_bytes(b"half of one")
    held = []

    def noting(*_):
        with pytest.raises(ConfigError, match=r"already holds a run|is in use"):
            train(config(epochs=1), tmp_path, data=data)
        held.append(True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "on_train_start", noting)
        train(config(epochs=1), tmp_path, data=data)
    assert held
    assert not list(tmp_path.glob(".last.ckpt.*"))
    FileLock(tmp_path / ".lock", timeout=0).acquire()
