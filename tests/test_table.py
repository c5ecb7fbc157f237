"""`qrnn table`: runs that are made once, go on where they stopped, and fill a page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from qrnn import ConfigError, QRNNError
from qrnn.cli import main
from qrnn.grid import read_grid
from qrnn.metrics import shown
from qrnn.results_page import write_page
from qrnn.table import RESULT, execute, execute_all, expected_minutes, runs_of

GRID = """
text: A small grid.
sections:
  digits:
    title: Digits
    text: scikit-learn's.
    set: [task=digits, trainer.epochs=2, model.width=4, model.n_qubits=2]
    evaluate: [limit=20]
    rows:
      hybrid, ours: {set: [], seeds: [0, 1], note: ours}
      wrong: {set: [trainer.lr=-1], minutes: 7}
  copying:
    title: Copying
    set: [task=copying]
    rows:
      later: {set: [model=lstm], minutes: 600}
"""


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path / "grid.yaml"


def call(monkeypatch, capsys, *arguments, status=None):
    monkeypatch.setattr(sys, "argv", ["qrnn", "table", "--grid", "grid.yaml", *arguments])
    if status is None:
        main()
    else:
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == status
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return said.out + said.err


def test_runs_are_made_once_and_fill_the_page(grid, monkeypatch, capsys):
    told = call(monkeypatch, capsys, "--dry-run")
    assert [told.count(word) for word in ("hybrid", "wrong", "later", "to do │")] == [2, 1, 1, 4]
    assert "to do: about 609 minutes" in told
    assert not (grid.parent / "runs").exists()
    arguments = ("--page", "page.md", "--minutes", "60")
    told = call(monkeypatch, capsys, *arguments, status=1)
    assert "trainer.lr must be positive, got -1.0" in " ".join(told.split())
    assert "digits/hybrid, ours, seed 1: 2 of 4, about 0 of 6" in told
    assert "copying/later, seed 0: not begun, it would take 600 minutes" in told
    assert "runs that failed: 1" in told
    page = (grid.parent / "page.md").read_text()
    store = json.loads((grid.parent / "page.json").read_text())
    assert sorted(store) == ["digits/hybrid, ours/0", "digits/hybrid, ours/1"]
    assert str(grid.parent) not in json.dumps(store)  # no path of this machine
    results = list(store.values())
    assert [result["sequences"] for result in results] == [20, 20]
    mean = sum(result["value"] for result in results) / 2
    assert f"| hybrid, ours | {100 * mean:.2f}% ± " in page
    assert "| wrong | not run |" in page
    assert "| later | not run |" in page
    assert "- hybrid, ours: ours" in page
    command = "    qrnn train task=digits trainer.epochs=2 model.width=4 model.n_qubits=2"
    assert f"{command} trainer.seed=0\n" in page
    # A second call runs nothing that is done.
    log = grid.parent / "runs/table/digits/hybrid-ours/seed-0/log.txt"
    before = log.read_text()
    call(monkeypatch, capsys, "--page", "page.md", "--only", "digits/hybrid, ours")
    assert log.read_text() == before
    assert (grid.parent / "page.md").read_text() == page
    told = call(monkeypatch, capsys, "--dry-run", "--page", "page.md")
    assert told.count("done") == 2


def test_a_run_that_another_process_has_begun_is_left_to_it(grid, capsys):
    run = runs_of(read_grid(grid), "runs", "store.json", only=["digits/hybrid, ours"])[0]
    run.folder.mkdir(parents=True)
    with FileLock(run.folder / "lock"):
        assert execute_all([run]) == 0
    assert "skipped: another process is at it" in capsys.readouterr().out
    assert run.status == "to do"


def test_a_training_that_was_stopped_goes_on_and_ends_with_the_same_weights(grid):
    (run, other, *_) = runs_of(read_grid(grid), "runs", "store.json", only=["digits/hybrid, ours"])
    begun = run.folder / "train-0"
    stop = (
        "import os\n"
        "from qrnn.training import Learner\n"
        "def stop(self):\n"
        "    if self.current_epoch == 1: os._exit(9)\n"
        "Learner.on_train_epoch_start = stop\n"
        "from qrnn.cli import main\n"
        "main()\n"
    )
    run.folder.mkdir(parents=True)
    (run.folder / "arguments.json").write_text(json.dumps(run.train))
    arguments = [*run.train, "trainer.progress=false", f"hydra.run.dir={begun}"]
    assert subprocess.run([sys.executable, "-c", stop, "train", *arguments]).returncode == 9
    assert run.status == "resume"
    assert execute_all([run]) == 0
    assert len(run.attempts()) == 2
    whole = runs_of(read_grid(grid), "whole", "whole.json", only=["digits/hybrid, ours"])[0]
    assert execute_all([whole]) == 0
    assert run.result["loss"] == whole.result["loss"]
    assert run.status == "done"
    assert expected_minutes(other, [run, other]) == run.result["minutes"]


def test_other_arguments_are_another_run(grid, monkeypatch, capsys):
    run = runs_of(read_grid(grid), "runs", "store.json", only=["digits/hybrid, ours"])[0]
    (run.folder / "train-0").mkdir(parents=True)
    (run.folder / "arguments.json").write_text(json.dumps(run.train))
    run.keep(dict.fromkeys(RESULT) | {"train": list(run.train)})
    assert run.status == "done"
    grid.write_text(GRID.replace("width=4", "width=5"))
    other = runs_of(read_grid(grid), "runs", "store.json", only=["digits/hybrid, ours"])[0]
    assert other.status == "remove"
    with pytest.raises(
        QRNNError, match="digits/hybrid, ours/0 was begun with other arguments: remove"
    ):
        execute(other)


@pytest.mark.parametrize("store", ["{", "[]", "null", "3", '{"a": 1}', '{"a": {"train": []}}'])
def test_a_damaged_store_is_one_line(store, grid, monkeypatch, capsys):
    Path("page.json").write_text(store)
    told = call(monkeypatch, capsys, "--page", "page.md", "--dry-run", status=2)
    assert "page.json must " in told
    assert "damaged" in told
    assert Path("page.json").read_text() == store


@pytest.mark.parametrize("page", ["page.json", "page", ".", ""])
def test_a_page_that_is_no_markdown_is_refused_before_anything_is_lost(
    page, grid, monkeypatch, capsys
):
    Path("page.json").write_text("{}")
    told = call(monkeypatch, capsys, "--page", page, "--minutes", "0", status=2)
    assert f"--page must name a Markdown file, such as page.md, got {page!r}" in told
    assert Path("page.json").read_text() == "{}"


def test_rows_that_would_share_a_folder_are_refused(grid):
    grid.write_text(GRID.replace("wrong: {", "hybrid ours: {"))
    with pytest.raises(ConfigError, match="rows of digits must differ in letters"):
        runs_of(read_grid(grid), "runs", "store.json")


def one_run(folder="runs", only="digits/hybrid, ours", data="DATA"):
    return runs_of(read_grid("grid.yaml"), folder, "store.json", data, [only])[0]


@pytest.mark.parametrize("name", ["arguments.json", "train-0/summary.json"])
@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_what_a_damaged_run_left_is_one_line_and_other_runs_are_made(name, content, grid, capsys):
    run = one_run()
    (run.folder / "train-0").mkdir(parents=True)
    kept = {"arguments.json": json.dumps(run.train), "train-0/summary.json": "{}"}
    for file, text in kept.items():
        text = content if file == name else text
        if text is not None:
            (run.folder / file).write_text(text)
    missing = name != "arguments.json" and content is None  # not finished: trained anew
    assert execute_all([run]) == (not missing)
    said = " ".join(capsys.readouterr().out.split())
    assert missing or "failed: " in said


def test_trainings_are_counted_and_resumed_by_number(grid):
    run = one_run()
    for number in (2, "old", 10, 9):  # somebody kept one
        (run.folder / f"train-{number}").mkdir(parents=True)
    for number in (2, 9):
        (run.folder / f"train-{number}" / "last.ckpt").touch()
    assert [one.name for one in run.attempts()] == ["train-2", "train-9", "train-10"]
    assert run.last() == run.folder / "train-9" / "last.ckpt"


@pytest.mark.parametrize("folder", ["a=b", "it's, (here)", "[x] {y}", "\u00fc#"])
def test_folders_may_have_any_sign_and_other_evaluations_beside_them(folder, grid):
    run = one_run(folder)
    run.folder.mkdir(parents=True)
    execute(run)
    first = run.result
    # What lies beside it is of another device and part, and comes first by name.
    best = next(run.folder.glob("train-0/best.ckpt"))
    others = {"metric": "accuracy", "value": 99.0}
    (best.parent / "evaluation-a.json").write_text(json.dumps(others))
    (best.parent / "evaluation-zz.json").write_text(json.dumps(others))
    run.store.unlink()
    execute(run)
    assert run.result["value"] == first["value"] <= 1
    assert run.result["environment"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "grid must be a YAML file"),
        ("sections: [1]", "grid must be a YAML file"),
        ("sections: {a: {tittle: x}}", "tittle"),
        ("sections: {a: {rows: {b: {seeds: [x]}}}}", "grid must be a YAML file"),
        ("{", "grid must be a YAML file"),
    ],
)
def test_a_grid_that_is_none_is_one_line(text, message, tmp_path):
    path = tmp_path / "grid.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_grid(path)
    assert "\n" not in str(error.value)


def test_an_unknown_section_is_one_line(grid, monkeypatch, capsys):
    told = call(monkeypatch, capsys, "--only", "digit", status=2)
    assert "only 'digit' is not known: did you mean digits" in told


def test_every_row_of_the_results_page_composes():
    from hydra import compose, initialize_config_module

    from qrnn.config import register_schemas, to_typed
    from qrnn.training import check_trainer

    register_schemas()
    with initialize_config_module("qrnn.configs", version_base="1.3"):
        for run in runs_of(read_grid(), "runs", "store.json"):
            check_trainer(to_typed(compose("train", list(run.train))).trainer)
            compose("evaluate", ["checkpoint=x", *run.evaluate])


PLACE = {"processor": "an abacus", "qrnn": "0.1", "torch": "2"}


def test_runs_that_stop_below_a_loss_say_how_many_did_and_in_how_many_steps(tmp_path):
    (tmp_path / "grid.yaml").write_text("sections: {xor: {rows: {a: {seeds: [0, 1, 2, 3]}}}}")
    grid = read_grid(tmp_path / "grid.yaml")
    runs = runs_of(grid, tmp_path, tmp_path / "store.json")

    def last_cells(ends):
        store = {}
        for run, (steps, reached, loss) in zip(runs, ends, strict=True):
            store[run.key] = {
                "train": list(run.train), "metric": "accuracy", "value": 1.0, "loss": loss,
                "steps": steps, "reached": reached, "parameters": 9, "all_parameters": 9,
                "threads": 1, "seconds_per_epoch": 1.0, "peak_memory_mb": None, "minutes": 1.0,
                "accuracy": 1.0, "sequences": 4, "signature": "so it was", "environment": PLACE,
                "model": {"num_layers": 1, "bidirectional": False, "embedding_dropout": 0.0,
                          "head_dropout": 0.0},
                "trainer": {"optimizer": "adam", "lr": 0.1, "batch_size": 8, "epochs": 5,
                            "stop_below": 1e-3},
            }  # fmt: skip
        (tmp_path / "store.json").write_text(json.dumps(store))
        page = tmp_path / "page.md"
        write_page(grid, runs, page)
        table = [line for line in page.read_text().splitlines() if line[:1] == "|"]
        assert table[0].count("|") == table[1].count("|") == table[2].count("|")
        assert "| test loss | seeds below 0.001 | steps to it, median |" in table[0]
        assert "Measured on an abacus with qrnn 0.1, torch 2.\n" in page.read_text()
        assert page.read_text().count("\n`so it was`\n") == 1
        return table[2].split(" | ")[-3:]

    ends = [(500, True, 4e-4), (900, False, 0.2), (300, True, 2e-4), (400, True, 6e-4)]
    assert last_cells(ends) == ["5.0e-04", "3 of 4", "450 |"]
    ends[0] = ends[3] = (900, False, 0.2)
    assert last_cells(ends) == ["2.0e-01", "1 of 4", "not reached |"]
    ends[3] = (350, True, 6e-4)  # the median is between 350 and a seed that did not
    assert last_cells(ends)[1:] == ["2 of 4", "not reached |"]


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("accuracy", 0.98765, "98.8%"),
        ("perplexity", 174.168, "174.17"),
        ("cross_entropy", 0.0054412, "0.0054"),
        ("cross_entropy", 8.866e-9, "8.9e-09"),  # not 0.0000
        ("cross_entropy", 0.0, "0.0000"),
    ],
)
def test_a_metric_is_shown_with_the_digits_that_count(metric, value, text):
    assert shown(metric, value) == text
