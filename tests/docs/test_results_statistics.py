"""The results page: comparisons of two models, the table of all tasks, and rows that are stale."""

import json
import math
from pathlib import Path

import pytest
from scipy import stats

from benchmarks.results import stale
from benchmarks.results.__main__ import main
from benchmarks.results.compare import interval, paired, verdict
from benchmarks.results.grid import read_grid
from benchmarks.results.page import write_page
from benchmarks.results.records import read_records, write_records
from benchmarks.results.rows import comparison, rows_of
from benchmarks.results.runs import mark_data, runs_of
from benchmarks.results.stale import change, defaults_of, digest
from benchmarks.results.tables import without_constants
from qrnn import ConfigError, DataError

A = {0: 98.1, 1: 97.2, 2: 99.0, 3: 98.8}
B = {0: 97.0, 1: 96.9, 2: 98.4, 3: 97.5, 7: 12.0}


def test_the_interval_is_that_of_a_paired_t_test():
    found = paired(A, B, "accuracy")
    test = stats.ttest_rel(list(A.values()), [B[seed] for seed in A])
    low, high = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.mean == pytest.approx(0.825)
    assert found.seeds == 4  # the fifth has no partner
    assert found.beyond_chance == (test.pvalue < 0.05)
    assert verdict(found, "higher") == "ahead"
    assert verdict(found, "lower") == "behind"


def test_the_interval_of_two_and_three_values_in_closed_form():
    low, high = interval([1.0, 3.0])  # Student's t of one degree is Cauchy: tan(pi (p - 1/2))
    assert (low, high) == pytest.approx(
        (2 - math.tan(0.475 * math.pi), 2 + math.tan(0.475 * math.pi))
    )
    quantile = 2 * 0.475 * math.sqrt(2 / (1 - 4 * 0.475**2))  # of two degrees
    low, high = interval([1.0, 2.0, 3.0])
    assert high - low == pytest.approx(2 * quantile / math.sqrt(3))


def test_losses_are_compared_by_their_ratio():
    a, b = {0: 1e-2, 1: 8e-3, 2: 2.6e-2}, {0: 9e-9, 1: 1e-8, 2: 3e-7}
    found = paired(a, b, "cross_entropy")
    logs = [[math.log(one[seed]) for seed in a] for one in (a, b)]
    low, high = stats.ttest_rel(*logs).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert verdict(found, "lower") == "behind"
    assert not paired(a, b, "bits_per_character").beyond_chance
    assert paired({0: 0.0}, {0: 0.0}, "cross_entropy").mean == 1.0


def test_a_verdict_beyond_chance_needs_seeds():
    wide = paired({0: 1.0, 1: 2.0, 2: 3.0}, {0: 0.9, 1: 2.2, 2: 2.6}, "bleu")
    assert verdict(wide, "higher") == "no significant difference"
    assert verdict(paired({0: 2.0}, {0: 1.0, 1: 9.0}, "bleu"), "higher") == "not tested, one seed"
    assert verdict(paired({0: 1.0}, {0: 2.0}, "perplexity"), "lower") == "not tested, one seed"
    same = paired({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}, "bleu")
    assert verdict(same, "higher") == "no significant difference"
    assert paired({0: 1.0}, {1: 2.0}, "bleu") is None
    unreached = paired({0: math.inf, 1: 5.0}, {0: 4.0, 1: 4.0}, "steps")
    assert verdict(unreached, "lower") == "not comparable"


GRID = """
text: Above.
below: Below.
sections:
  digits:
    title: Digits, 8 steps
    data: files
    headline: ours
    paper: 99% (a paper)
    set: [task=digits]
    rows:
      ours: {set: [model=hybrid], seeds: [0, 1, 2]}
      LSTM: {set: [model=lstm], seeds: [0, 1, 2]}
      large GRU: {set: [model=gru], seeds: [0]}
      scoRNN: {set: [model=scornn], seeds: [0, 1]}
"""
VALUES = {"ours": [0.97, 0.96, 0.98], "LSTM": [0.9, 0.91, 0.92], "large GRU": [0.99]}


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A grid, its runs, records of all but the last row, and how the page is written."""
    monkeypatch.chdir(tmp_path)
    Path("grid.yaml").write_text(GRID)
    grid = read_grid("grid.yaml")
    runs = runs_of(grid, "runs")
    return grid, runs, {run.name: record(run) for run in runs if run.row in VALUES}


def record(run, **more):
    size = 2000 if run.row == "large GRU" else 1000 + 40 * (run.row == "LSTM")
    value = VALUES[run.row][run.seed]
    return {
        "metric": "accuracy",
        "value": value,
        "loss": 0.1,
        "sequences": 9,
        "parameters": size,
        "all_parameters": size,
        "epochs": 3,
        "seconds_per_epoch": 1.0,
        "minutes": 1.0,
        "threads": 1,
        "layers": 1,
        "optimizer": "adamw",
        "lr": 0.1 if run.row == "ours" else 0.2,
        "batch_size": 8,
        "max_epochs": 3,
        "train": " ".join(run.train),
        **more,
    }


def written(grid, runs, records):
    write_page(grid, runs, records, Path("docs/results.md"))
    return Path("docs/results.md").read_text()


def test_the_page_opens_with_the_twin_of_equal_size_and_the_verdict(page):
    text = written(*page)
    summary, section = text.split("## Digits, 8 steps")
    order = ["Above.", "| task |", "](images/results.svg)", "Below."]
    assert [summary.find(one) for one in order] == sorted(summary.find(one) for one in order)
    row = next(line for line in summary.splitlines() if "Digits" in line)
    task, ours, twin, paper, found = row.strip("| ").split(" | ")
    assert task == "[Digits, 8 steps](#digits-8-steps)<br>accuracy"
    assert ours == "97.00%<br>± 1<br>3 seeds"
    assert twin == "LSTM<br>91.00%<br>± 1<br>3 seeds"  # not the larger GRU
    assert (paper, found) == ("99% (a paper)", "**ahead**")
    assert (
        "ours against LSTM: difference +6.00 points (95% interval +3.52 to +8.48, 3 seeds)"
        in section
    )
    assert "Digits, 8 steps: accuracy, %" in Path("docs/images/results.svg").read_text()


def test_time_and_memory_stand_beside_those_of_the_twin(page):
    grid, runs, records = page
    costs = {"ours": [(30, 1000), (10, 1200), (12, 900)], "LSTM": [(4, 800), (6, 800), (99, 1)]}
    for run in runs:
        if run.row in costs:
            seconds, memory = costs[run.row][run.seed]
            slow = {"threads": 2} if memory == 1 else {}
            records[run.name] |= {"seconds_per_epoch": seconds, "peak_memory_mb": memory} | slow
    section = written(grid, runs, records).split("## Time and memory")[1].split("## ")[0]
    values = "12&nbsp;s<br>1,000&nbsp;MB | 5&nbsp;s<br>800&nbsp;MB | 2.40<br>1.25"
    assert section.strip().endswith(f"\n| [Digits, 8 steps](#digits-8-steps)<br>LSTM | {values} |")
    for name in records:  # no record of the memory; then, other threads
        records[name].pop("peak_memory_mb", None)
    assert "| 12&nbsp;s | 5&nbsp;s | 2.40 |" in written(grid, runs, records)
    for run in runs:
        if run.row == "LSTM":
            records[run.name] |= {"threads": 2}
    assert "## Time and memory" not in written(grid, runs, records)


def test_columns_that_never_change_are_said_in_a_line(page):
    section = written(*page).split("## Digits, 8 steps")[1]
    assert "| model | test accuracy | recurrent parameters | seeds |\n" in section
    assert "The same in every row: seconds per epoch 1.0." in section
    assert "| scoRNN | not run |  |  |" in section
    assert "| model | learning rate | all parameters |\n" in section
    assert "optimiser adamw; batch 8; epochs 3; layers 1; threads 1." in section
    assert without_constants(["a", "b"], [["x", "1"]]) == (["a"], [["x"]], "Settings: b 1.")


def test_a_headline_that_is_no_row_is_refused(tmp_path):
    for old, new in (("headline: ours", "headline: our"), ("paper:", "size: lr\n    paper:")):
        (tmp_path / "grid.yaml").write_text(GRID.replace(old, new))
        with pytest.raises(ConfigError, match=r"of digits '(our|lr)' is not known"):
            read_grid(tmp_path / "grid.yaml")


def test_a_row_made_with_other_settings_or_defaults_is_stale(page, monkeypatch):
    grid, runs, _ = page
    first = runs[0]
    defaults = defaults_of(first.train)
    assert defaults["trainer"]["optimizer"] == "adamw"
    assert "data_dir" not in defaults["task"]
    then = record(first, defaults=defaults)
    assert change(then, first.train) == ""
    assert change(then, (*first.train, "trainer.lr=1")) == "settings"
    key = {"trainer": {"lr": 123.0}}
    assert change(then | {"defaults": key}, first.train) == "defaults"
    assert change(then | {"defaults": {"trainer": {"gone": 1}}}, first.train) == ""
    own = (*first.train, "trainer.lr=1")  # set by the row itself
    assert change({"train": " ".join(own), "defaults": key}, own) == ""
    # A stale row's values stay on the page; one seed that is not replaces them.
    old = {run.name: record(run, train="model=old") for run in runs if run.row in VALUES}
    text = written(grid, runs, old)
    assert "| ours | 97.00% ± 1 (stale: settings) |" in text
    assert "**ahead, stale**" in text
    assert [run.status(old) for run in runs] == ["stale: settings"] * 7 + ["to do"] * 2
    text = written(grid, runs, old | {first.name: then})
    assert "| ours | 97.00% |" in text
    assert "| 1 of 3 |" in text
    other = defaults | {"trainer": defaults["trainer"] | {"lr": 9.0}}
    monkeypatch.setattr(stale, "_composed", lambda groups: json.dumps(other))
    assert change(then, first.train) == "defaults"


def test_a_row_whose_data_files_changed_is_stale_wherever_the_page_is_written(page, capsys):
    grid, _, records = page
    Path("data/files/.cache").mkdir(parents=True)
    Path("data/files/a.txt").write_text("a")
    was = digest("data/files")
    Path("data/files/.cache/b").write_text("b")
    digest.cache_clear()
    assert digest("data/files") == was
    assert digest("data/none") is None
    store = Path("docs/results.json")
    store.parent.mkdir()
    records = {name: one | {"data": was} for name, one in records.items()}
    write_records(store, records)
    here, elsewhere = runs_of(grid, "runs", "data"), runs_of(grid, "runs")

    def states():
        digest.cache_clear()
        mark_data(here, store)
        found = read_records(store)
        return [{run.status(found) for run in runs[:7]} for runs in (here, elsewhere)]

    assert states() == [{"done"}, {"done"}]
    Path("data/files/a.txt").write_text("b")
    assert states() == [{"stale: data"}, {"stale: data"}]
    assert "(stale: data)" in written(grid, elsewhere, read_records(store))
    Path("data/files/a.txt").write_text("a")
    assert states() == [{"done"}, {"done"}]
    assert read_records(store) == records


def test_records_of_another_machine_are_added_and_only_the_page_is_written(page, capsys):
    _, _, records = page
    names = list(records)
    Path("docs").mkdir()
    write_records(Path("docs/results.json"), {names[0]: records[names[0]]})
    other = records | {names[1]: records[names[1]] | {"defaults": {"task": {}}}}
    write_records(Path("other.json"), {name: other[name] for name in names[1:]})
    main(["--grid", "grid.yaml", "--page", "--merge", "other.json"])
    assert read_records(Path("docs/results.json")) == other
    assert not Path("runs").exists()
    with pytest.raises(SystemExit):
        main(["--grid", "grid.yaml", "--page", "--merge", "none.json"])
    assert "none.json must be a results.json, but there is no such file" in capsys.readouterr().err
    with pytest.raises(DataError):
        read_records(Path("none.json"), required=True)


def test_a_task_without_finished_runs_or_twins(page):
    grid, runs, records = page
    ours = {name: one for name, one in records.items() if "/ours/" in name}
    section = grid.sections["digits"]
    assert comparison(section, rows_of("digits", runs, {})) is None
    assert comparison(section, rows_of("digits", runs, ours)).verdict == "no twin"
    assert "| task |" not in written(grid, runs, {})
    assert "| none | 99% (a paper) | **no twin** |" in written(grid, runs, ours)
