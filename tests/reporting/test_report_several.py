"""Several runs compared, and the command."""

import json
import math
import sys
from dataclasses import replace

import pytest

import qrnn
from helpers.report_pages import assert_closed, call, kept, read
from qrnn import ConfigError, DataError
from qrnn.cli import main
from qrnn.reporting import comparison
from qrnn.reporting.comparison import differences
from qrnn.reporting.folder import read_folder
from qrnn.reporting.parts import Text


def test_several_runs_are_compared(made, monkeypatch):
    monkeypatch.chdir(made)
    page = read(qrnn.report(["runs/a", "runs/b"]))
    assert_closed(page)
    assert page.problems == []
    assert page.named("h1") == ["2 runs: digits"]
    told = {name: kept(made / f"runs/{name}/evaluation-fused-limit100.json") for name in "ab"}
    *rows, baseline = page.table("run", "model", "result")
    assert [row["run"] for row in rows] == ["a", "b"]
    share = told["a"]["baselines"]["majority"]
    assert baseline["result"] == f"{100 * share:.1f}% accuracy"
    assert (baseline["run"], baseline["model"]) == ("majority", "baseline")
    for row in rows:
        assert row["result"] == f"{100 * told[row['run']]['accuracy']:.1f}% accuracy"
    assert page.table("key", "a", "b") == [{"key": "trainer.seed", "a": "0", "b": "1"}]
    assert any(text.startswith("Only the seed differs") for text in page.named("p"))


def with_value(run, value, metric="accuracy", **trainer):
    config = {**run.config, "trainer": {**run.config["trainer"], **trainer}}
    judged = replace(run.main, value=value, metric=metric)
    return replace(run, config=config, evaluations=(judged,))


def test_seeds_have_a_mean_and_the_best_run_is_named(made):
    one = read_folder(made / "runs/a")
    runs = [with_value(one, value, seed=seed) for seed, value in enumerate((0.5, 0.9, 0.7))]
    names = ["first", "second", "third"]
    told = comparison.comparison_of(runs).sections["Metrics"][-1].text
    assert told == "Only the seed differs: 70.0% ± 20.0% accuracy (mean and standard deviation)."
    assert comparison.lead(runs, names).startswith("Best: second, with 90.0% accuracy")
    lower = [with_value(one, value, "perplexity") for value in (50.0, 9.0, 70.0)]
    assert comparison.lead(lower, names).startswith("Best: second, with 9.00 perplexity")
    others = [with_value(one, 0.5, lr=lr, seed=1) for lr in (0.1, 0.2)]
    parts = comparison.comparison_of(others).sections["Metrics"]
    assert not any(isinstance(part, Text) for part in parts)


def test_only_what_is_alike_is_compared(made):
    one = read_folder(made / "runs/a")
    names = ["first", "second"]

    def lead(*runs):
        return comparison.lead(runs, names)

    low, high = with_value(one, 0.1), with_value(one, 0.9)
    # An evaluation of both counts, also behind others that only one of them has.
    more = replace(low, evaluations=(replace(low.main, limit=7, value=1.0), low.main))
    assert lead(more, high).startswith("Best: second, with 90.0% accuracy on 100 test seq")
    curves = {"val/loss": [(0, 0.25)], "val/accuracy": [(0, 0.5)]}
    learned = replace(low, history=curves)
    for other in (
        {"evaluations": ()},
        {"evaluations": (replace(high.main, split="val"),)},
        {"evaluations": (replace(high.main, limit=None, labels=[*high.main.labels, 1]),)},
        {"evaluations": (replace(high.main, labels=high.main.labels[::-1]),)},
        {"evaluations": (replace(high.main, options={"shots": 10}),)},
        {"evaluations": (replace(high.main, metric="perplexity"),)},
    ):
        told = lead(learned, replace(high, **other))
        assert told.startswith("Best on the validation split: first, with accuracy 50.0% in epoch")
        why = "the runs were not evaluated on the same" if other["evaluations"] else "second is not"
        assert f"; {why}" in told
    # One that is better on the validation split, and not evaluated, is not passed over.
    curves = {"val/loss": [(0, 0.5)], "val/accuracy": [(0, 0.889)]}
    told = lead(learned, replace(high, evaluations=(), history=curves))
    assert told == (
        "Best on the validation split: second, with accuracy 88.9% in epoch 1; second is not "
        "evaluated."
    )
    task = {**one.config, "task": {**one.config["task"], "seed": 1}}
    told = lead(learned, replace(learned, evaluations=(), config=task))
    assert told.endswith(" The validation sequences may differ, as task.seed does.")
    for curves in ({}, {"val/loss": [(0, 0.1)]}, {"val/loss": [(0, 0.1)], "val/rmse": [(0, 1.0)]}):
        assert "cannot be ranked" in lead(learned, replace(high, evaluations=(), history=curves))
    curves = {"val/loss": [(0, 0.1)], "val/accuracy": [(0, math.nan)]}
    told = lead(learned, replace(high, evaluations=(), history=curves))
    assert told.endswith("and the validation metric of second is not a number.")
    task = {**one.config, "task": {**one.config["task"], "name": "copying"}}
    assert "several tasks" in lead(low, replace(high, config=task))


def test_only_keys_that_say_something_differ(made):
    one = read_folder(made / "runs/a")
    config = json.loads(json.dumps(one.config))
    config["model"] |= {"width": 5, "extra": None, "more": [1, 2]}
    config["trainer"]["progress"] = not config["trainer"]["progress"]
    other = replace(one, config=config)
    assert differences([one, other]) == {"model.width": ["4", "5"], "model.more": ["—", "[1, 2]"]}


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("runs/c", {}, "but runs/c does not exist"),
        ("runs/a/best.ckpt", {}, "but runs/a/best.ckpt is a file"),
        ("runs", {}, r"choose from the 2 runs in it, e.g. 'run=\[runs/a,runs/b\]'"),
        (".", {}, "holds no config.yaml$"),
        ([], {}, r"run must name one folder or several different ones, got \[\]"),
        (["runs/a", "runs/../runs/a"], {}, "run must name one folder or several diff"),
        (3, {}, "run must be a folder or several, got 3"),
        (["runs/a", 3], {}, "run must be a folder or several"),
        ("runs/a", {"data_dir": "x"}, "data_dir must be left out: task digits reads no files"),
        (["runs/a", "runs/b"], {"data_dir": "x"}, "data_dir must be left out with 2 runs"),
        ("runs/a", {"output": "runs"}, "output must name a file, got the folder runs"),
    ],
)
def test_wrong_input_is_one_line(made, monkeypatch, run, options, message):
    monkeypatch.chdir(made)
    with pytest.raises((ConfigError, DataError), match=message) as error:
        qrnn.report(run, **options)
    assert "\n" not in str(error.value)


def test_the_command_writes_the_page_and_says_where(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(made)
    call(monkeypatch, "report", "run=[runs/a,runs/b]", f"output={tmp_path}/both.html")
    assert "both.html: open it in a browser" in capsys.readouterr().out
    assert read(tmp_path / "both.html").named("h1") == ["2 runs: digits"]
    for arguments, told in ((["run=nothing"], "nothing does not exist"), ([], "run must name")):
        monkeypatch.setattr(sys, "argv", ["qrnn", "report", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
