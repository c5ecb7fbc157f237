"""The forecasting page: the protocol of its 27 tasks, the choice of settings, and its table."""

import json

import numpy as np
import pytest

from benchmarks.forecasting import fellner, table
from benchmarks.forecasting.__main__ import FILES, main
from benchmarks.forecasting.fellner import HYBRIDS, LSTM, TASKS, best_setting, next_run, stops
from helpers.paths import ROOT
from qrnn.data.tables.generated import lorenz_series

TASK = ("lorenz", 8, 13)


def test_windows_are_those_of_the_protocol():
    points = lorenz_series(1000)
    points = (points - points.min(0)) / (points.max(0) - points.min(0)) - 0.5
    data = fellner.task_data(*TASK)
    assert [len(data.train), len(data.val), len(data.test)] == [587, 196, 196]
    for part, first in ((data.train, 0), (data.val, 587), (data.test, 783)):
        np.testing.assert_allclose(part.x[0], points[first : first + 8], atol=1e-6)
        np.testing.assert_allclose(part.y[0, 0], points[first + 20], atol=1e-6)


def test_the_rule_that_ends_a_training():
    wiggling = [1.0, 2.0] * 100
    assert not stops(wiggling + wiggling[:-1])  # fewer than 400
    assert stops(wiggling * 2)
    assert not stops([loss + 1 for loss in wiggling] + wiggling)  # by more than half of 0.5
    assert not stops([loss + 0.3 for loss in wiggling] + wiggling)
    assert stops([loss + 0.2 for loss in wiggling] + wiggling)


def made(name, seed, val=1.0, test=1e-5, task=TASK):
    return {"task": list(task), "setting": name, "seed": seed, "val": val, "test": test} | {
        "epochs": 400,
        "parameters": 999,
        "seconds": 1.0,
    }


def test_the_search_comes_first_and_the_best_setting_has_all_seeds(tmp_path):
    path = tmp_path / "runs.jsonl"
    first, second, *_rest = HYBRIDS
    search = [made(name, 0, 0.5 if name == second else 1.0) for name in HYBRIDS]
    path.write_text("\n".join(json.dumps(one) for one in search[:-1]))
    assert next_run(path, 2) == (TASKS[0], first, 0)
    assert best_setting([], TASK) is None
    assert best_setting(search, TASK) == second
    everything = [
        made(name, 0, 0.5 if name == second else 1, task=t) for t in TASKS for name in HYBRIDS
    ]
    path.write_text("\n".join(json.dumps(one) for one in everything))
    asked = []
    while (one := next_run(path, 2)) is not None:
        asked.append(one)
        path.write_text(path.read_text() + "\n" + json.dumps(made(one[1], one[2], task=one[0])))
    assert asked[:2] == [(TASKS[0], LSTM, 0), (TASKS[1], LSTM, 0)]
    assert asked[len(TASKS) :] == [(task, name, 1) for task in TASKS for name in (second, LSTM)]


def test_the_table_has_means_medians_and_ranks(monkeypatch):
    monkeypatch.setattr(table, "ridges", lambda task: {"ridge 1": 1e-9, "ridge 2": 1.0})
    best = next(iter(HYBRIDS))
    runs = [made(name, 0, 0.5 if name == best else 1.0) for name in HYBRIDS]
    runs += [made(best, 1, test=2e-5), made(best, 2, test=6e-5)]
    runs += [made(LSTM, 0, test=1e-4)]
    lines = table.section(runs).splitlines()
    row = next(line for line in lines if line.startswith("| Lorenz | 8 | 13 |"))
    assert "| **3.0e-05 ± 3e-05 (2.0e-05)** | 3 | deep, head | 999 (21,731) |" in row
    assert "| 8.7e-05 | 6.1e-04 | 2.1e-02 | 1.0e-04 (1.0e-04) |" in row
    last = lines[-1]
    assert last.startswith("| mean rank, 1 tasks |  |  | (1.00) | (7.00) | 2.00 (3.00) |")
    assert "| 3.00 (4.00) | 1.00 (2.00) |" in last


def test_a_run_is_as_long_as_its_losses_say(monkeypatch):
    monkeypatch.setattr(fellner, "LEAST_EPOCHS", 4)
    monkeypatch.setattr(fellner, "SPAN", 2)
    monkeypatch.setattr(fellner, "MOST_EPOCHS", 5)
    found = [fellner.run(("henon", 4, 1), name, 0) for name in ("plain", LSTM)]
    assert [one["epochs"] for one in found] == [5, 5]
    assert found[1]["parameters"] == 978  # as published
    assert all(0 < one["test"] < 0.5 for one in found)


@pytest.mark.slow
def test_the_page_is_what_its_records_give(tmp_path):
    docs = ROOT / "docs"
    (tmp_path / "benchmarks").mkdir()
    for name in (one for one in FILES if (docs / "benchmarks" / one).is_file()):
        (tmp_path / "benchmarks" / name).write_text((docs / "benchmarks" / name).read_text())
    main(["--page", "--docs", str(tmp_path)])
    made, shipped = tmp_path / "forecasting.md", docs / "forecasting.md"
    assert without_ridge(made.read_text()) == without_ridge(shipped.read_text())


def without_ridge(page):
    """Leave out the ridge regressions of Lorenz's system, whose points depend on the processor."""
    cells = [line.split(" | ") for line in page.splitlines()]
    return [line[:3] + line[5:] if line[0] == "| Lorenz" else line for line in cells]
