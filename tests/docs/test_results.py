"""The results page: runs are made once, go on where they stopped, and fill it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock

import qrnn
from benchmarks.results import runs
from benchmarks.results.__main__ import main
from benchmarks.results.grid import read_grid
from benchmarks.results.page import write_page
from benchmarks.results.records import add_records, make_record, read_records, write_records
from benchmarks.results.runs import execute, execute_all, expected_minutes, runs_of
from benchmarks.results.ship import ship
from helpers.paths import ROOT
from qrnn import ConfigError, DataError, QRNNError
from qrnn.evaluation.metrics import shown
from qrnn.models.identity import model_identity
from qrnn.utils.checkpoints import shipped

STORE = Path("docs/results.json")
FORECASTING = ROOT / "benchmarks/forecasting/grid.yaml"

GRID = """
text: A small grid.
sections:
  digits:
    title: Digits
    text: scikit-learn's.
    set: [task=digits, trainer.epochs=2, model.width=4, model.n_qubits=2]
    evaluate: [limit=20]
    rows:
      hybrid, ours: {set: [], seeds: [0, 1], note: ours, ship: small}
      wrong: {set: [trainer.lr=-1], minutes: 7, ship: none}
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


def call(capsys, *arguments, status=None):
    """Return what the command prints; `status` is the one it must end with, None: its return."""
    if status is None:
        main(["--grid", "grid.yaml", *arguments])
    else:
        with pytest.raises(SystemExit) as left:
            main(["--grid", "grid.yaml", *arguments])
        # Of a string, which Python prints, the status is 1.
        assert (left.value.code if isinstance(left.value.code, int) else 1) == status
    said = capsys.readouterr()
    return said.out + said.err


def one_run(folder="runs"):
    return runs_of(read_grid("grid.yaml"), folder, only=["digits/hybrid, ours"])[0]


def status(run):
    return run.status(read_records(STORE))


def test_runs_are_made_once_and_fill_the_page(grid, capsys, monkeypatch, qrnn_command):
    called, told = [], []

    def in_this_process(run, arguments):
        called.append(arguments[0])
        status, out, err = qrnn_command(*arguments)
        told.append(out)
        if status:
            raise QRNNError(f"{run.name}: {err}")

    monkeypatch.setattr(runs, "_command", in_this_process)
    listed = call(capsys, "--dry-run")
    assert [listed.count(word) for word in ("hybrid", "wrong", "later", "to do ")] == [2, 1, 1, 4]
    assert "to do: about 609 minutes" in listed
    assert not Path("runs").exists()
    told.append(call(capsys, "--minutes", "60", status=1))
    assert called == ["train", "evaluate"] * 2 + ["train"]
    text = " ".join(" ".join(told).split())
    assert "trainer.lr must be positive, got -1.0" in text
    assert "digits/hybrid, ours/1: 2 of 4, about 0 of 6" in text
    assert "copying/later/0: not started, it would take 600 minutes" in text
    page, text = Path("docs/results.md").read_text(), STORE.read_text()
    lines = [line for line in text.splitlines() if '"train": ' in line]
    assert [line.split('"')[1] for line in lines] == [f"digits/hybrid, ours/{i}" for i in (0, 1)]
    assert str(grid.parent) not in text  # no path of this machine
    assert text.count(torch.__version__) == 1  # one environment, stored once
    results = read_records(STORE).values()
    assert [result["sequences"] for result in results] == [20, 20]
    assert {result["environment"]["torch"] for result in results} == {torch.__version__}
    mean = sum(result["value"] for result in results) / 2
    assert f"| hybrid, ours | {100 * mean:.2f}% ± " in page
    assert "| wrong | not run |" in page
    assert "| later | not run |" in page
    assert "- hybrid, ours: ours shipped as [`small`](pretrained.md).\n" in page
    command = "    qrnn train task=digits trainer.epochs=2 model.width=4 model.n_qubits=2"
    assert f"{command} trainer.seed=0\n" in page
    # A second call runs nothing that is done.
    call(capsys, "--only", "digits/hybrid, ours")
    assert len(called) == 5
    assert Path("docs/results.md").read_text() == page
    assert call(capsys, "--dry-run").count("done") == 2
    check_shipping(grid, capsys)


def check_shipping(grid, capsys):
    """Check that the seed of the lowest validation loss is shipped, with its own figure."""
    for row, words in {
        "digits/wrong": "digits/wrong must have a record to be shipped",
        "copying/later": "--ship 'copying/later' is not known",
    }.items():
        told = call(capsys, "--ship", row, status=2)
        assert words in told
        assert told.count("\n") == 1
    every_run, records = runs_of(read_grid(grid), "runs/results"), read_records(STORE)
    mine = [run for run in every_run if run.row == "hybrid, ours"]
    path = mine[0].folder / "train-0/metrics.csv"
    kept, (head, *rows) = path.read_text(), csv.reader(path.read_text().splitlines())
    for loss, seed in ((0.001, 0), (99, 1)):
        column = head.index("val/loss")
        changed = [[*row[:column], str(loss), *row[column + 1 :]] for row in rows]
        path.write_text("\n".join(map(",".join, [head, *changed])) + "\n")
        (made,) = ship(
            read_grid(grid), every_run, records, ["digits/hybrid, ours"], "x.md", Path("s")
        )
        assert made == Path("s/small")
        card, own = (made / "README.md").read_text(), records[mine[seed].name]
        assert f"| this checkpoint, seed {seed} | {own['value']:.2%} |" in card
        assert f"| recurrent parameters | {own['parameters']} |" in card
        assert f"    {' '.join(['qrnn train', *mine[seed].train])}\n" in card
        assert "    qrnn evaluate checkpoint=small limit=20\n" in card
        best = qrnn.load(mine[seed].folder / "train-0/best.ckpt")
        assert model_identity(qrnn.load(made / "model.ckpt").model) == model_identity(best.model)
    path.write_text(kept)
    for file in mine[1].folder.glob("train-0/evaluation-*.json"):
        file.unlink()
    path.parent.joinpath("summary.json").unlink()  # the first has not finished
    with pytest.raises(DataError, match=r"train-0 must hold an evaluation of its best\.ckpt"):
        ship(read_grid(grid), every_run, records, ["digits/hybrid, ours"], "x.md", Path("s"))


def test_what_the_grids_ship_is_what_the_package_has():
    grids = read_grid(), read_grid(FORECASTING)
    sections = [section for grid in grids for section in grid.sections.values()]
    names = [row.ship for section in sections for row in section.rows.values() if row.ship]
    assert sorted(names) == shipped()
    page = (ROOT / "docs/pretrained.md").read_text(encoding="utf-8")
    for name in names:
        assert f"| [`{name}`](" in page


def test_a_run_that_another_process_has_started_is_left_to_it(grid, capsys):
    run = one_run()
    run.folder.mkdir(parents=True)
    with FileLock(run.folder / "lock"):
        assert execute_all([run], STORE) == 0
    assert "skipped: another process is running it" in capsys.readouterr().out
    assert status(run) == "to do"


@pytest.mark.slow
def test_a_stopped_training_is_resumed_and_ends_with_the_same_weights(grid):
    run, other = runs_of(read_grid(grid), "runs", only=["digits/hybrid, ours"])
    stop = (
        "import os\n"
        "from qrnn.training.learner import Learner\n"
        "def stop(self):\n"
        "    if self.current_epoch == 1: os._exit(9)\n"
        "Learner.on_train_epoch_start = stop\n"
        "from qrnn.cli import main\n"
        "main()\n"
    )
    run.folder.mkdir(parents=True)
    (run.folder / "overrides.json").write_text(json.dumps(run.train))
    arguments = [*run.train, "trainer.progress=false", f"hydra.run.dir={run.folder / 'train-0'}"]
    assert subprocess.run([sys.executable, "-c", stop, "train", *arguments]).returncode == 9
    assert status(run) == "resume"
    assert execute_all([run], STORE) == 0
    assert len(run.attempts()) == 2
    whole = one_run("whole")
    whole.folder.mkdir(parents=True)
    records = read_records(STORE)
    assert records[run.name]["loss"] == execute(whole)["loss"]
    assert status(run) == "done"
    assert expected_minutes(other, [run, other], records) == records[run.name]["minutes"]


def test_other_overrides_are_another_run_and_the_first_is_kept(grid, monkeypatch):
    run = one_run()
    (run.folder / "train-0").mkdir(parents=True)
    (run.folder / "train-0" / "last.ckpt").touch()
    (run.folder / "overrides.json").write_text(json.dumps(run.train))  # as once written
    assert status(run) == "resume"
    grid.write_text(GRID.replace("width=4", "width=5"))
    other = one_run()
    assert status(other) == "to do"
    add_records(STORE, {run.name: record(run)})
    assert status(run) == "done"
    assert status(other) == "stale: settings"
    monkeypatch.setattr(runs, "_command", lambda run, arguments: None)
    with pytest.raises(QRNNError, match=r"summary\.json must be JSON, but is missing"):
        execute(other)
    assert (run.folder / "old-0" / "train-0" / "last.ckpt").is_file()
    assert json.loads((run.folder / "old-0" / "overrides.json").read_text()) == list(run.train)
    stored = json.loads((run.folder / "overrides.json").read_text())
    assert stored["train"] == " ".join(other.train)
    assert stored["defaults"]["trainer"]["optimizer"] == "adamw"


@pytest.mark.parametrize("store", ["{", "[]", '{"a": 1}', '{"runs": {"a": {"train": ""}}}'])
def test_corrupt_records_are_one_line_and_stay(store, grid, capsys):
    STORE.parent.mkdir()
    STORE.write_text(store)
    for arguments in (["--minutes", "0"], ["--dry-run"]):
        told = call(capsys, *arguments, status=2)
        assert told.count("\n") == 1
        assert "docs/results.json must hold the results of earlier runs, but is corrupt" in told
    assert STORE.read_text() == store


def test_rows_that_would_share_a_folder_are_refused(grid):
    grid.write_text(GRID.replace("wrong: {", "hybrid ours: {"))
    with pytest.raises(ConfigError, match="rows of digits must differ in letters"):
        runs_of(read_grid(grid), "runs")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("overrides.json", None),
        ("overrides.json", "{"),
        ("overrides.json", "{}"),
        ("train-0/summary.json", "{"),
        ("train-0/summary.json", "[]"),
    ],
)
def test_a_corrupt_file_of_a_run_is_one_line_and_other_runs_are_made(name, content, grid, capsys):
    run = one_run()
    (run.folder / "train-0").mkdir(parents=True)
    stored = {"overrides.json": json.dumps(run.train), "train-0/summary.json": "{}"}
    for file, text in (stored | {name: content}).items():
        if text is not None:
            (run.folder / file).write_text(text)
    assert execute_all([run], STORE) == 1
    assert "failed: " in capsys.readouterr().out


def test_trainings_are_counted_and_resumed_by_number(grid):
    run = one_run()
    for number in (2, "old", 10, 9):  # somebody kept one
        (run.folder / f"train-{number}").mkdir(parents=True)
    for number in (2, 9):
        (run.folder / f"train-{number}" / "last.ckpt").touch()
    assert [one.name for one in run.attempts()] == ["train-2", "train-9", "train-10"]
    assert run.last_checkpoint() == run.folder / "train-9" / "last.ckpt"


@pytest.mark.slow
def test_folders_may_have_any_character_and_other_evaluations(grid):
    run = one_run("a=b, it's (here) [x] {y} \u00fc#")
    run.folder.mkdir(parents=True)
    first = execute(run)
    # The others are of other devices and parts; the first of them comes first by name.
    best = next(run.folder.glob("train-0/best.ckpt"))
    for name in ("a", "zz"):
        others = {"metric": "accuracy", "value": 99.0}
        (best.parent / f"evaluation-{name}.json").write_text(json.dumps(others))
    assert execute(run)["value"] == first["value"] <= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "grid must be a YAML file"),
        ("{", "grid must be a YAML file"),
        ("sections: {a: {tittle: x}}", "tittle"),
        ("sections: {a: {rows: {b: {seeds: [x]}}}}", "grid must be a YAML file"),
    ],
)
def test_a_grid_that_is_none_is_one_line(text, message, tmp_path):
    path = tmp_path / "grid.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_grid(path)
    assert "\n" not in str(error.value)


def test_an_unknown_section_is_one_line(grid, capsys):
    told = call(capsys, "--only", "digit", status=2)
    assert "--only 'digit' is not known: did you mean digits" in told


@pytest.mark.slow
def test_every_row_of_the_results_page_composes():
    from hydra import compose, initialize_config_module

    from qrnn.config import register_schemas, to_typed
    from qrnn.training.trainer import check_trainer

    register_schemas()
    every_run = runs_of(read_grid(), "runs")
    every_run += runs_of(read_grid(FORECASTING), "runs")
    with initialize_config_module("qrnn.configs", version_base="1.3"):
        for run in {(run.section, run.row): run for run in every_run}.values():
            check_trainer(to_typed(compose("train", run.command)).trainer)
        evaluations = [(run.evaluate, *dict(run.devices).values()) for run in every_run]
        for overrides in {one for several in evaluations for one in several}:
            compose("evaluate", ["checkpoint=x", *overrides])


def test_the_page_is_what_its_records_and_grid_give(tmp_path):
    docs = ROOT / "docs"
    every_run = runs_of(read_grid(), "runs")
    records = read_records(docs / "results.json")
    assert {run.name for run in every_run} >= records.keys()
    write_page(read_grid(), every_run, records, tmp_path / "page.md")
    for name, made in (("results.md", "page.md"), ("images/results.svg",) * 2):
        assert (tmp_path / made).read_text() == (docs / name).read_text()


PLACE = {"processor": "an abacus", "qrnn": "0.1", "torch": "2"}
MODEL = {"num_layers": 1, "bidirectional": False, "embedding_dropout": 0.0, "head_dropout": 0.0}
TRAINER = {"optimizer": "adam", "lr": 0.1, "batch_size": 8, "epochs": 5, "stop_below": 1e-3}


def record(run, steps=500, reached=True, loss=4e-4):
    summary = {"steps": steps, "reached": reached, "parameters": 9, "all_parameters": 9}
    summary |= {"threads": 1, "seconds_per_epoch": 1.0, "peak_memory_mb": None, "minutes": 1 / 3}
    summary |= {"epochs": 5, "best": "x", "config": {"model": MODEL, "trainer": TRAINER}}
    evaluation = {"metric": "accuracy", "value": 1.0, "loss": loss, "accuracy": 1.0}
    evaluation |= {"sequences": 4, "signature": "so it was"}
    return make_record(run.train, summary, evaluation, PLACE)


def test_a_record_has_no_empty_fields_and_six_digits(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text("sections: {xor: {rows: {a: {}}}}")
    run = runs_of(read_grid(grid), tmp_path)[0]
    made = record(run)
    assert None not in made.values()
    assert {"peak_memory_mb", "bidirectional", "dropout"}.isdisjoint(made)
    assert made["minutes"] == 0.333333
    write_records(tmp_path / "x.json", {"b": made, "a": made})
    assert read_records(tmp_path / "x.json") == {"a": made, "b": made}
    assert len((tmp_path / "x.json").read_text().splitlines()) == 5


def test_runs_that_stop_below_a_loss_say_how_many_did_and_in_how_many_steps(tmp_path):
    (tmp_path / "grid.yaml").write_text("sections: {xor: {rows: {a: {seeds: [0, 1, 2, 3]}}}}")
    grid = read_grid(tmp_path / "grid.yaml")
    every_run = runs_of(grid, tmp_path)

    def last_cells(ends):
        records = {run.name: record(run, *end) for run, end in zip(every_run, ends, strict=True)}
        page = tmp_path / "page.md"
        write_page(grid, every_run, records, page)
        table = [line for line in page.read_text().splitlines() if line[:1] == "|"]
        assert table[0].count("|") == table[1].count("|") == table[2].count("|")
        assert "| median steps to a loss of 0.001 | seeds that reach it |" in table[0]
        assert "Measured on an abacus with qrnn 0.1, torch 2.\n" in page.read_text()
        assert page.read_text().count("\n`so it was`\n") == 1
        return table[2].split(" | ")[2:4]

    ends = [(500, True, 4e-4), (900, False, 0.2), (300, True, 2e-4), (400, True, 6e-4)]
    assert last_cells(ends) == ["450", "3 of 4"]
    ends[0] = ends[3] = (900, False, 0.2)
    assert last_cells(ends) == ["not reached", "1 of 4"]
    ends[3] = (350, True, 6e-4)  # the median is between 350 and a seed that did not
    assert last_cells(ends) == ["not reached", "2 of 4"]


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
