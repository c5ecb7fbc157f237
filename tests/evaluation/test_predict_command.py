"""`qrnn predict`, and a trained model from Python."""

import copy
import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import qrnn
from helpers.tables import HYBRID, TINY, labelled_file, series_file, trained, wave, write_table
from qrnn import ConfigError, DataError
from qrnn.data import Numbers
from qrnn.data.tables.predictions import number_columns

FORECAST = ("task=forecast", "task.target=y", "task.time=t", "task.window=6", "task.horizon=3")


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory):
    """A forecaster whose training file is gone, its file's rows, and predictions from before."""
    folder = tmp_path_factory.mktemp("forecast")
    path = series_file(folder)
    quantiles = ("task.loss=quantile", "task.quantiles=[0.1,0.5,0.9]")
    model = trained(
        folder / "run", *FORECAST, f"task.file={path}", "model.residual=last", *quantiles
    )
    data = qrnn.training.checkpoint.load_data(model.config)
    before = model.predict(path, every=True)
    evaluation = model.evaluate(data=data)
    path.rename(folder / "moved.csv")
    return SimpleNamespace(
        model=model,
        before=before,
        evaluation=evaluation,
        data=data,
        rows=folder / "moved.csv",
        best=folder / "run/best.ckpt",
    )


def test_a_checkpoint_predicts_the_same_where_its_file_is_gone(forecaster):
    again = qrnn.load(forecaster.best).predict(forecaster.rows, every=True)
    pd.testing.assert_frame_equal(again, forecaster.before)
    again = qrnn.predict(forecaster.best, forecaster.rows, every=True)
    pd.testing.assert_frame_equal(again, forecaster.before)
    with pytest.raises(DataError, match=r"series\.csv must be a CSV or Parquet file, but does not"):
        forecaster.model.evaluate()


def test_a_line_evaluates_a_checkpoint(forecaster):
    for device in (None, "fused"):
        mine = qrnn.evaluate(forecaster.best, device, limit=2, data=forecaster.data)
        theirs = forecaster.model.evaluate(device, limit=2, data=forecaster.data)
        assert (mine.device, mine.sequences) == (theirs.device, 2)
        assert (mine.value, mine.predictions) == (theirs.value, theirs.predictions)


def test_predictions_are_those_of_the_evaluation(forecaster):
    part = forecaster.before[forecaster.before["t"] >= 68 + 6]
    first = part[part["step"] == 1].iloc[: len(forecaster.data.test)]
    got = np.array(forecaster.evaluation.predictions)
    np.testing.assert_allclose(first["prediction"], got[:, 0, 0], atol=1e-5)
    np.testing.assert_allclose(first["truth"], [y for t, y, _ in wave() if t >= 74][:4], atol=1e-5)
    levels = np.array(forecaster.evaluation.levels)
    np.testing.assert_allclose(first["q0.1"], levels[:, 0, 0, 0], atol=1e-5)
    ordered = forecaster.before[["q0.1", "q0.5", "q0.9"]].to_numpy()
    assert (np.diff(ordered, axis=1) >= 0).all()


def test_a_large_offset_leaves_the_numbers_of_a_file_as_they_are():
    values = np.round(8412345.6 + np.sin(np.arange(40)), 4)
    objective = Numbers(("a", "b"), 1, offset=(8412345.6, 0.0), scale=(0.7, 1.0))
    y = np.stack([(values - 8412345.6) / 0.7, np.full(40, 1.2345e-30)], 1)
    y[3] = np.nan
    scaled = torch.as_tensor(y, dtype=torch.float32)
    found = number_columns(objective, scaled.nan_to_num(), scaled[:, None])
    assert np.isnan(found["truth_a"][3])
    for name in ("truth", "prediction"):
        assert np.delete(found[f"{name}_a"], 3).tolist() == np.delete(values, 3).tolist()
        np.testing.assert_allclose(np.delete(found[f"{name}_b"], 3), 1.2345e-30, rtol=1e-6)


def test_a_checkpoint_that_learned_zeros_for_gaps_is_refused(tmp_path):
    rows = [(t, "" if t % 7 == 3 else y, u) for t, y, u in wave()]
    path = write_table(tmp_path / "gaps.csv", "t,y,u", rows)
    arguments = [*TINY, *FORECAST, f"task.file={path}", "task.missing=mask"]
    done = qrnn.train(arguments, tmp_path / "run")
    assert len(qrnn.predict(done.best, path)) == 3
    content = torch.load(tmp_path / "run/last.ckpt", weights_only=True)
    del content["qrnn"]["table"]["held"]  # as version 0.2.0 wrote it
    torch.save(content, tmp_path / "run/last.ckpt")
    told = r"learned task\.missing=mask when empty cells were 0.*train it again"
    with pytest.raises(DataError, match=told):
        qrnn.load(tmp_path / "run/last.ckpt")
    with pytest.raises(DataError, match=told):
        qrnn.train([f"resume={tmp_path}/run/last.ckpt", "trainer.epochs=2"])


def test_a_forecast_begins_after_the_last_row(forecaster):
    found = forecaster.model.predict(forecaster.rows)
    assert found["t"].tolist() == [80, 81, 82]
    assert found["step"].tolist() == [1, 2, 3]
    assert "truth" not in found
    assert forecaster.model.predict(forecaster.rows, steps=2)["t"].tolist() == [80, 81]
    # Only the last window is read.
    frame = pd.read_csv(forecaster.rows)
    short = forecaster.model.predict(frame.iloc[-6:])
    np.testing.assert_allclose(short["prediction"], found["prediction"], atol=1e-6)


def test_recursion_feeds_back_by_hand(forecaster):
    found = forecaster.model.predict(forecaster.rows, steps=8, recursive=True)
    assert found["t"].tolist() == list(range(80, 88))
    assert found["step"].tolist() == list(range(1, 9))
    frame, by_hand = pd.read_csv(forecaster.rows)[["t", "y"]], []
    for _ in range(3):
        one = forecaster.model.predict(frame)
        by_hand += one["prediction"].tolist()
        more = one.rename(columns={"prediction": "y"})[["t", "y"]]
        frame = pd.concat([frame, more], ignore_index=True)
    np.testing.assert_allclose(found["prediction"], by_hand[:8], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 4}, "steps must be at most the horizon of 3, got 4: set recursive=true"),
        ({"steps": 0}, "steps must be"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"steps": 4, "recursive": True, "every": True}, "every must be false with more steps"),
    ],
)
def test_options_that_do_not_fit_are_refused(forecaster, options, message):
    with pytest.raises(ConfigError, match=message):
        forecaster.model.predict(forecaster.rows, **options)


def test_the_command_writes_what_python_returns(forecaster, tmp_path, qrnn_command):
    out, picture = tmp_path / "f.csv", tmp_path / "f.png"
    arguments = ["predict", f"checkpoint={forecaster.best}", f"input={forecaster.rows}"]
    status, told, _ = qrnn_command(*arguments, f"output={out}", f"plot={picture}")
    assert status == 0
    assert "3 predictions saved to" in told
    wanted = forecaster.model.predict(forecaster.rows)
    pd.testing.assert_frame_equal(pd.read_csv(out), wanted, check_dtype=False, rtol=1e-4)
    assert picture.read_bytes().startswith(b"\x89PNG")
    status, told, _ = qrnn_command(*arguments, "steps=2")
    assert pd.read_csv(io.StringIO(told))["t"].tolist() == [80, 81]


def test_rows_come_from_standard_input(forecaster, monkeypatch, qrnn_command):
    content = b"\xef\xbb\xbf" + forecaster.rows.read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    status, told, _ = qrnn_command("predict", f"checkpoint={forecaster.best}", "input=-")
    assert status == 0
    wanted = forecaster.model.predict(forecaster.rows)["prediction"]
    np.testing.assert_allclose(pd.read_csv(io.StringIO(told))["prediction"], wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["input=nothing.csv"], "nothing.csv must be a CSV or Parquet file, but does not exist"),
        (["input=ROWS", "plot=a.xyz"], "plot must end in a format that matplotlib writes"),
        (["input=ROWS", "plot=a"], "such as .png, .svg or .pdf, got none"),
        ([], "input must name a file"),
    ],
)
def test_what_cannot_be_done_is_one_line(forecaster, qrnn_command, arguments, message):
    given = [one.replace("ROWS", str(forecaster.rows)) for one in arguments]
    status, out, error = qrnn_command("predict", f"checkpoint={forecaster.best}", *given)
    assert status != 0
    assert out == ""
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_rows_that_are_wrong_are_named(forecaster, tmp_path):
    path = write_table(tmp_path / "n.csv", "t,y", [(t, "x" if t == 3 else 1) for t in range(9)])
    with pytest.raises(DataError, match=r"n.csv, row 5, column 'y' must be a finite number"):
        forecaster.model.predict(path)
    with pytest.raises(DataError, match=r"the table: column 'y' is not known"):
        forecaster.model.predict(pd.DataFrame({"t": [1, 2]}))
    with pytest.raises(DataError, match=r"must have at least 6 rows to predict from"):
        forecaster.model.predict(pd.DataFrame({"t": [1, 2], "y": [1, 2]}))


def test_the_index_of_a_frame_may_be_the_time(forecaster):
    frame = pd.read_csv(forecaster.rows)
    expected = forecaster.model.predict(frame)
    for indexed in (
        frame.set_index("t"),
        frame.set_index(["t", frame.index]),
        frame.set_index("t", drop=False),
        frame.set_index(frame.index + 7),
    ):
        pd.testing.assert_frame_equal(forecaster.model.predict(indexed), expected)


@pytest.mark.parametrize("kind", [pd.Series, np.array])
def test_rows_that_are_no_table_are_refused(forecaster, kind):
    with pytest.raises(DataError, match=r"rows must be a data frame or a file.* got .*: use"):
        forecaster.model.predict(kind([1.0, 2.0]))


def test_options_of_the_device_are_given_where_it_is_chosen(forecaster):
    on = qrnn.load("sunspots").on("default.qubit", shots=100)
    assert on.model.rnn.cell.device.options.shots == 100
    said = r"shots is an option of the device: use \.on\(device, shots=100\)\.evaluate\(\)"
    with pytest.raises(ConfigError, match=said):
        forecaster.model.evaluate("default.qubit", shots=100)


def test_each_part_of_a_model_keeps_its_mode(forecaster):
    model = copy.deepcopy(forecaster.model)
    model.model.train()
    model.model.rnn.eval()
    modes = [part.training for part in model.model.modules()]
    assert len(set(modes)) == 2
    found = model.predict(forecaster.rows, every=True)
    assert [part.training for part in model.model.modules()] == modes
    pd.testing.assert_frame_equal(found, forecaster.before)
    model.evaluate(data=forecaster.data, limit=2)
    assert [part.training for part in model.model.modules()] == modes


def test_many_series_and_dates(tmp_path):
    dates = pd.date_range("2024-01-01", periods=60, freq="MS").strftime("%Y-%m-%d")
    rows = [(n, d, i + 100 * (n == "b")) for i, d in enumerate(dates) for n in "ab"]
    path = write_table(tmp_path / "s.csv", "unique_id,ds,y", rows)
    columns = ("task.time=ds", "task.id=unique_id", f"task.file={path}")
    model = trained(tmp_path / "run", *FORECAST[:2], *columns, *FORECAST[3:], "model.residual=last")
    found = model.predict(path, steps=4, recursive=True)
    assert found["unique_id"].tolist() == ["a"] * 4 + ["b"] * 4
    assert found["ds"].tolist() == ["2029-01-01", "2029-02-01", "2029-03-01", "2029-04-01"] * 2
    one = pd.read_csv(path)
    alone = model.predict(one[one["unique_id"] == "b"], steps=4, recursive=True)
    np.testing.assert_allclose(alone["prediction"], found["prediction"][4:], atol=1e-4)


def test_a_checkpoint_keeps_the_decimal_mark_and_training_tells_irregular_times(tmp_path, caplog):
    days = pd.bdate_range("2024-01-01", periods=60)
    frame = pd.DataFrame({"t": days.strftime("%Y-%m-%d"), "y": np.arange(60) / 4})
    frame.to_csv(path := tmp_path / "d.csv", sep=";", decimal=",", index=False)
    read = (f"task.file={path}", "task.separator=';'", "task.decimal=','")
    model = trained(tmp_path / "run", *FORECAST, *read)
    assert (
        "the times are irregular, so that the time since the step before is an input" in caplog.text
    )
    assert f"{path}, row 7, column 't': '2024-01-08' comes 259200 s after" in caplog.text
    found = model.predict(path)
    assert found["t"].tolist() == ["2024-03-25", "2024-03-26", "2024-03-27"]
    np.testing.assert_allclose(found["prediction"], model.predict(frame)["prediction"])
    with pytest.raises(ConfigError, match=r"its training are irregular \(.*row 7, column 't'"):
        model.predict(path, steps=4, recursive=True)


def test_classes_have_probabilities(tmp_path):
    path = labelled_file(tmp_path)
    task = ("task=sequences", f"task.file={path}", "task.order=step", "task.features=[f,g]")
    model = trained(tmp_path / "run", *task)
    found = model.predict(path)
    assert found["id"].tolist() == [f"s{i}" for i in range(24)]
    np.testing.assert_allclose(found[["p_a", "p_b"]].sum(1), 1, atol=1e-6)
    assert (found["prediction"] == np.where(found["p_a"] > found["p_b"], "a", "b")).all()
    assert found["truth"].tolist() == ["a", "b"] * 12
    assert "truth" not in model.predict(pd.read_csv(path).drop(columns="label"))
    for options in ({"every": True}, {"steps": 2}, {"recursive": True}):
        with pytest.raises(ConfigError, match="every, steps and recursive must be left out"):
            model.predict(path, **options)


def test_numbers_of_steps_are_written_also_of_shorter_parts(tmp_path, qrnn_command):
    path = labelled_file(tmp_path, n=9)
    path.write_text(path.read_text() + "".join(f"z,{t},{t},1,a,{t}\n" for t in range(9)))
    task = ("task=sequences", f"task.file={path}", "task.order=step", "task.features=[f,g]")
    target = ("task.label=value", "task.target=number", "task.each=step")
    model = trained(tmp_path / "run", *task, *target)
    longest = {}
    for split in ("train", "val", "test"):
        status, _, error = qrnn_command(
            "evaluate", f"checkpoint={tmp_path}/run/best.ckpt", f"split={split}"
        )
        assert status == 0, error
        end = "" if split == "test" else f"-{split}"
        written = pd.read_csv(
            tmp_path / f"run/predictions-fused{end}.csv".replace("fused", "torch")
        )
        told = json.loads((tmp_path / f"run/evaluation-torch{end}.json").read_text())
        np.testing.assert_allclose(written["prediction"], np.ravel(told["predictions"]), atol=1e-5)
        np.testing.assert_allclose(written["truth"], np.ravel(told["labels"]), atol=1e-5)
        longest[split] = written.groupby("id").size().max()
    assert len(set(longest.values())) > 1  # a part is shorter than the longest sequence
    assert len(model.predict(path)) == len(pd.read_csv(path))


def test_other_devices_give_the_same_and_evaluate_writes_the_same_file(tmp_path, qrnn_command):
    path = series_file(tmp_path, 60)
    model = trained(tmp_path / "run", *FORECAST, f"task.file={path}", tiny=HYBRID)
    fused, simulated = model.predict(path), model.predict(path, "default.qubit")
    np.testing.assert_allclose(simulated["prediction"], fused["prediction"], atol=1e-4)
    moved = model.on("default.qubit")
    np.testing.assert_allclose(moved.predict(path)["prediction"], fused["prediction"], atol=1e-4)
    noisy = model.evaluate("default.qubit", limit=1)
    assert noisy.difference == pytest.approx(0, abs=1e-4)
    assert qrnn_command("evaluate", f"checkpoint={tmp_path}/run/best.ckpt")[0] == 0
    written = pd.read_csv(tmp_path / "run/predictions-fused.csv")
    every = model.predict(path, every=True)
    both = written.merge(every, on=["t", "step"])
    assert len(both) == len(written) == 3
    np.testing.assert_allclose(both["prediction_x"], both["prediction_y"], atol=1e-4)
    np.testing.assert_allclose(both["truth_x"], both["truth_y"], atol=1e-4)

    # What a prediction costs is known before.
    device = ["device=fake_manila", "device.shots=100", "device.seed=1"]
    arguments = [f"checkpoint={tmp_path}/run/best.ckpt", f"input={path}", *device]
    status, told, err = qrnn_command("estimate", *arguments)
    assert status == 0, err
    assert "fake_manila: 1 sequence, 6 steps, 100 shots" in told
    cells = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in told.splitlines()]
    one = {row[0]: row[1] for row in cells if len(row) == 2}
    assert one["jobs"] == "6"
    _, _, err = qrnn_command("predict", *arguments)
    assert f"6 jobs, estimated at {one['QPU seconds']} QPU s" in err
    _, told, _ = qrnn_command("estimate", *arguments, "every=true")
    assert f"fake_manila: {len(every) // 3} sequences, 6 steps" in told


def test_a_task_without_tables_cannot_predict(tmp_path):
    model = trained(tmp_path / "run", "task=digits", "trainer.steps_per_epoch=1")
    with pytest.raises(ConfigError, match="predict must have a task that reads tables, got digits"):
        model.predict(pd.DataFrame({"a": [1]}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("every=true",), "every must be left out without input"),
        (("input=new.csv", "limit=3"), "limit must be left out with input, got 3"),
        (("input=new.csv", "split=val"), "split must be left out with input, got val"),
    ],
)
def test_keys_that_have_no_price_are_refused(forecaster, qrnn_command, arguments, message):
    named = f"checkpoint={forecaster.best}"
    status, _, err = qrnn_command("estimate", named, "device=fake_manila", *arguments)
    assert status == 2
    assert message in err
