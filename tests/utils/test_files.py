"""Writing files: the old content or the new one, and never in the place of what is no file."""

import os
import re
import resource
import stat
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import qrnn
from qrnn import devices
from qrnn.devices.ibm.ledger import Ledger
from qrnn.errors import DataError, DeviceError
from qrnn.training.callbacks import AtomicCheckpointIO
from qrnn.training.history import Metrics, history
from qrnn.utils.files import write_text
from qrnn.utils.safe_yaml import read_yaml


def test_a_link_stays_and_what_it_points_at_is_written(tmp_path):
    kept = tmp_path / "kept" / "page.html"
    write_text(kept, "old")
    for name, target in (("link", kept), ("twice", tmp_path / "link"), ("new", "later.html")):
        (tmp_path / name).symlink_to(target)
        write_text(tmp_path / name, name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == name
    assert kept.read_text() == "twice"
    assert (tmp_path / "later.html").read_text() == "new"
    assert len(list(tmp_path.rglob("*"))) == 6  # no temporary file is left


def test_a_pipe_and_a_device_stay_what_they_are(tmp_path):
    pipe, device = tmp_path / "pipe", tmp_path / "device"
    os.mkfifo(pipe)
    device.symlink_to("/dev/null")
    heard = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "sent")
    write_text(device, "gone")
    reader.join(10)
    assert heard == ["sent"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert stat.S_ISCHR(device.stat().st_mode)


def test_standard_output_is_written_where_it_is(qrnn_subprocess, tmp_path):
    write = "from qrnn.utils.files import write_text; write_text('/dev/stdout', 'b\\n')"
    code = f"print('a'); {write}; print('c')"
    assert qrnn_subprocess(code).stdout == "a\nb\nc\n"
    with open(tmp_path / "out", "w+") as out:
        qrnn_subprocess(code, stdout=out)
    assert (tmp_path / "out").read_text() == "a\nb\nc\n"


def test_a_private_file_stays_private(tmp_path):
    write_text(tmp_path / "a", "old")
    (tmp_path / "a").chmod(0o600)
    write_text(tmp_path / "a", "new")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


@contextmanager
def small_disk():
    """Let no file of this process grow beyond 100 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _metrics(path: Path, value: float = 0.5) -> None:
    trainer = SimpleNamespace(
        callback_metrics={f"val/loss{i}": value for i in range(50)},
        current_epoch=0,
        global_step=1,
        is_global_zero=True,
    )
    Metrics(path.parent, None, 0).on_train_epoch_end(trainer)


WRITERS = {
    "a.html": lambda path: write_text(path, 500 * "x"),
    "a.ckpt": lambda path: AtomicCheckpointIO().save_checkpoint({"a": 500 * [0.5]}, path),
    "metrics.csv": _metrics,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_names_the_file_and_leaves_the_old_one(name, tmp_path):
    path = tmp_path / name
    path.write_text("old")
    with small_disk(), pytest.raises(OSError, match="File too large") as caught:
        WRITERS[name](path)
    assert caught.value.filename == str(path)
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert path.read_text() == "old"
    if name != "metrics.csv":
        link = tmp_path / "link"
        link.symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left") as caught:
            WRITERS[name](link)
        assert caught.value.filename == str(link)


def test_what_cannot_be_written_is_named(tmp_path):
    write_text(tmp_path / "file", "")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "file" / "a", tmp_path / "\0"):
        with pytest.raises(OSError, match=r".") as caught:
            write_text(path, "x")
        assert caught.value.filename == str(path)


def test_a_result_of_the_ledger_replaces_no_link(tmp_path):
    ledger = Ledger(tmp_path / "run")
    elsewhere = tmp_path / "elsewhere.npz"
    (tmp_path / "run" / "results" / "key.npz").symlink_to(elsewhere)
    bits = [np.ones((2, 3), np.uint8)]
    ledger.record("key", "done", job_id="1")
    ledger.store("key", bits)
    assert elsewhere.is_file()
    assert (ledger.load("key")[0] == bits[0]).all()
    with small_disk(), pytest.raises(DeviceError, match="File too large"):
        ledger.store("key", [np.random.default_rng(0).integers(0, 2, (99, 999), np.uint8)])
    assert (ledger.load("key")[0] == bits[0]).all()
    ledger.close()


def test_new_metrics_leave_the_old_ones_until_they_have_their_own(tmp_path):
    _metrics(tmp_path / "metrics.csv")
    Metrics(tmp_path, None, 0)
    assert history(tmp_path)["val/loss0"] == [(0, 0.5)]
    _metrics(tmp_path / "metrics.csv", 0.25)
    assert history(tmp_path)["val/loss0"] == [(0, 0.25)]


# `temporary` is what `atomic_write` yields.
WRITES = re.compile(
    r"""open\([^)]*["'][wax]b?\+?["']|\.write_(text|bytes)\(|savefig\(|np\.savez?|torch\.save\("""
    r"""|json\.dump\(|os\.(replace|rename)\(|shutil\."""
)
NO_FILES = ("temporary", "buffer", "import shutil")


def test_every_writer_goes_through_one_place():
    folders = [Path(qrnn.__file__).parent, Path(devices.__file__).parent]
    sources = {path for folder in folders for path in folder.rglob("*.py")}
    found = [
        f"{path.name}: {line.strip()}"
        for path in sources - {Path(qrnn.__file__).parent / "utils" / "files.py"}
        for line in path.read_text().splitlines()
        if WRITES.search(line) and not any(word in line for word in NO_FILES)
    ]
    assert found == []


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (bomb(9), "aliases"),
        ("[" * 5000, "nested too deep"),
        ("a: !!python/object:os.system 3", "could not determine a constructor"),
        ("a: [", "expected the node content"),
        ("a: \0", "special characters"),
    ],
)
def test_yaml_that_is_no_plain_data_is_refused_in_a_line(text, reason, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(DataError, match=reason) as caught:
        read_yaml(tmp_path / "a.yaml")
    assert "a.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_of_plain_data_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: {b: [1, 2.5, null, true], c: ü}\n", encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"b": [1, 2.5, None, True], "c": "ü"}}


def test_no_pipe_and_no_huge_file_is_read(tmp_path):
    os.mkfifo(tmp_path / "a.yaml")
    with open(tmp_path / "b.yaml", "wb") as file:
        file.truncate(1 << 33)
    for name, reason in (("a.yaml", "must be a file"), ("b.yaml", "must be smaller")):
        with pytest.raises(DataError, match=reason):
            read_yaml(tmp_path / name)
