"""The ledger's file: what is written after it was closed, and on a disk that is full."""

import os
import resource
import shutil
from contextlib import contextmanager

import numpy as np
import pytest

from qrnn.devices.ibm.ledger import Ledger
from qrnn.errors import DeviceError


@contextmanager
def room(size):
    """No file can grow beyond a size in bytes: what a full disk does, without filling one."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture
def ledger(tmp_path):
    with_one = Ledger(tmp_path)
    with_one.record("a", "intent", estimate=6.0, executions=1)
    yield with_one
    with_one.close()


def test_a_line_that_is_cut_short_is_an_error(ledger, tmp_path):
    path = tmp_path / "ledger.jsonl"
    whole = path.stat().st_size
    with room(whole + 60), pytest.raises(DeviceError, match="Free disk space") as caught:
        ledger.record("b", "intent", estimate=6.0, executions=1)
    assert "\n" not in str(caught.value)
    assert path.stat().st_size == whole + 60
    assert ledger.entry("b") is None


def test_what_follows_a_line_that_is_cut_short_is_whole(ledger, tmp_path):
    whole = (tmp_path / "ledger.jsonl").stat().st_size
    with room(whole + 60), pytest.raises(DeviceError):
        ledger.record("b", "intent", estimate=6.0, executions=1)
    ledger.record("b", "intent", estimate=7.0, executions=2)
    ledger.record("b", "submitted", job_id="j")
    ledger.close()
    again = Ledger(tmp_path)
    assert again.run == ledger.run
    assert again.damaged == 1
    assert again.entries() == ledger.entries()
    again.close()


def test_a_folder_opens_on_a_full_disk(ledger, tmp_path):
    path = tmp_path / "ledger.jsonl"
    with room(path.stat().st_size + 60), pytest.raises(DeviceError):
        ledger.record("b", "intent")
    ledger.close()
    with room(path.stat().st_size):
        again = Ledger(tmp_path)
    assert again.damaged == 1
    again.close()


def test_a_result_that_the_disk_does_not_take_is_an_error(ledger):
    with room(100), pytest.raises(DeviceError, match="Free disk space"):
        ledger.store("a", [np.ones((3, 8), dtype=np.uint8)])


@pytest.mark.parametrize(
    "use",
    [
        lambda ledger: ledger.record("a", "submitted", job_id="j"),
        lambda ledger: ledger.store("a", [np.ones((3, 8), dtype=np.uint8)]),
        lambda ledger: ledger.load("a"),
    ],
    ids=["record", "store", "load"],
)
def test_a_closed_ledger_touches_no_file(use, ledger, tmp_path):
    ledger.close()
    # One of them gets the number that the ledger's file had.
    foreign = [os.open(tmp_path / f"foreign{i}", os.O_RDWR | os.O_CREAT) for i in range(3)]
    try:
        with pytest.raises(DeviceError, match="was closed"):
            use(ledger)
    finally:
        for file in foreign:
            os.close(file)
    assert [(tmp_path / f"foreign{i}").read_bytes() for i in range(3)] == [b""] * 3
    assert not list((tmp_path / "results").iterdir())


def test_a_ledger_opened_again_knows_what_was_written_meanwhile(ledger, tmp_path):
    ledger.close()
    other = Ledger(tmp_path)
    other.record("a", "submitted", job_id="j")
    with pytest.raises(DeviceError, match="another one has it open"):
        ledger.open()
    other.close()
    ledger.open()
    assert ledger.entry("a").job_id == "j"
    ledger.open()  # it is open
    ledger.record("a", "failed", job_id="j")


def test_a_folder_that_was_removed_meanwhile_begins_another_run(ledger, tmp_path):
    run = ledger.run
    ledger.close()
    assert ledger.entry("a").state == "intent"
    shutil.rmtree(tmp_path)
    ledger.open()
    assert ledger.run != run
    assert ledger.entries() == []
