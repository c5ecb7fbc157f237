"""Pages and pictures of tasks that predict numbers."""

import json

import numpy as np
import pandas as pd
import pytest

import qrnn
from helpers.report_pages import assert_closed, call, drawings, kept, read
from helpers.tables import HYBRID, TINY, labelled_file, series_file, trained, wave, write_table
from qrnn import ConfigError
from qrnn.data.objectives import Numbers
from qrnn.data.tables.files import read_table
from qrnn.reporting import forecast_plot as pictures
from qrnn.reporting.comparison import comparison_of, lead
from qrnn.reporting.folder import read_folder

TASK = ["task=forecast", "task.target=y", "task.time=t", "task.window=6", "task.horizon=3"]
QUANTILES = ["task.loss=quantile", "task.quantiles=[0.1,0.5,0.9]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two forecasters, the first evaluated on two devices."""
    folder = tmp_path_factory.mktemp("numbers")
    path = series_file(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, more in (("a", QUANTILES), ("b", ["task.loss=mae"])):
            quiet = [*HYBRID, *TASK, f"task.file={path}", f"hydra.run.dir={name}", *more]
            call(patch, "train", *quiet)
            call(patch, "evaluate", f"checkpoint={name}/best.ckpt")
        call(
            patch,
            "evaluate",
            "checkpoint=a/best.ckpt",
            "device=default.qubit",
            "device.shots=20",
            "device.seed=1",
            "limit=2",
        )
    return folder


def test_the_page_of_a_forecast(folder):
    page = read(qrnn.report(folder / "a"))
    assert_closed(page)
    assert page.problems == []
    told = kept(folder / "a/evaluation-fused.json")
    value = f"{told['value']:.4f}"
    metrics = (folder / "a/metrics.csv").read_text().splitlines()
    best = float(dict(zip(*(line.split(",") for line in metrics), strict=True))["val/rmse"])
    assert page.named("p")[0] == (
        f"{value} RMSE on 4 test sequences, device fused; best checkpoint: epoch 1, validation "
        f"RMSE {best:.4f}."
    )
    facts = page.facts
    assert facts["RMSE"] == value
    names = {"MAE": "mae", "NRMSE": "nrmse", "pinball loss": "pinball"}
    for name, key in names.items():
        assert float(facts[name]) == pytest.approx(told["scores"][key], rel=0.01)
    assert facts["coverage"] == f"{100 * told['scores']['coverage']:.1f}%"
    assert facts["targets"] == "y; 3 steps of each sequence"
    assert "accuracy" not in facts
    rows = page.table("prediction by", "RMSE")
    assert [row["prediction by"] for row in rows] == ["hybrid", *told["baselines"]]
    assert [float(row["RMSE"]) for row in rows] == pytest.approx(
        [told["value"], *told["baselines"].values()], rel=1e-2
    )
    fused, shots = page.table("device", "RMSE", "difference")
    other = kept(folder / "a/evaluation-default.qubit-limit2.json")
    assert (fused["difference"], shots["shots"]) == ("0.000", "20")
    assert float(shots["difference"]) == pytest.approx(other["difference"], rel=0.01)
    # Three curves, forecasts, errors by step, residuals, circuit, errors of the readouts.
    assert len(drawings(page)) == 8
    captions = " ".join(page.named("figcaption"))
    for part in ("Forecasts of 3 steps each", "RMSE of each step ahead", "Residuals of the test"):
        assert part in captions
    (alt,) = [a["alt"] for tag, a in page.tags if "RMSE of each step ahead" in a.get("alt", "")]
    assert "fused, exact: " in alt
    assert "default.qubit, 20 shots: " in alt


def test_a_page_does_without_the_file_of_the_series(folder, tmp_path):
    path = series_file(tmp_path)
    trained(tmp_path / "run", *TASK, f"task.file={path}")
    qrnn_evaluation = qrnn.load(tmp_path / "run/best.ckpt").evaluate()
    from qrnn.evaluation.files import save

    save(qrnn_evaluation, tmp_path / "run")
    path.unlink()
    page = read(qrnn.report(tmp_path / "run"))
    assert page.problems == []
    assert any("series.csv must be a CSV" in text for text in page.named("p"))
    assert "Forecasts of 3 steps each" in " ".join(page.named("figcaption"))


def test_results_of_before_are_read_too(folder):
    path = folder / "a/evaluation-fused.json"
    told = kept(path)
    new = ("levels", "baselines", "scores", "rmse_steps")
    assert set(new) <= set(told)
    before = path.read_text()
    try:
        path.write_text(json.dumps({key: v for key, v in told.items() if key not in new}))
        found = read_folder(folder / "a")
        assert (found.missing, len(found.evaluations)) == ((), 2)
        assert read(qrnn.report(folder / "a")).problems == []
        for harm, message in (
            ({"predictions": told["predictions"][:-1]}, "must have the same length"),
            ({"predictions": [1, 2, 3, 4]}, "predictions must be list"),
            ({"labels": [[["x"]]]}, "labels must be list"),
            ({"levels": [[[[1.0]]]]}, "levels must have the quantiles of each prediction"),
            ({"scores": {"rmse": "low"}}, "scores must be"),
        ):
            path.write_text(json.dumps(told | harm))
            (line,) = read_folder(folder / "a").missing
            assert message in line
    finally:
        path.write_text(before)


def test_runs_are_compared_by_their_metric(folder):
    runs = [read_folder(folder / name) for name in "ab"]
    page = comparison_of(runs)
    rows = page.sections["Metrics"][0].rows
    told = kept(folder / "a/evaluation-fused.json")
    assert [row[0] for row in rows] == ["a", "b", *told["baselines"]]
    assert rows[0][2] == f"{told['value']:.4f} RMSE"
    assert rows[0][5].startswith("RMSE ")
    assert rows[2][1] == "baseline"
    values = [kept(folder / name / "evaluation-fused.json")["value"] for name in "ab"]
    best = "ab"[int(np.argmin(values))]
    assert lead(runs, ["a", "b"]).startswith(f"Best: {best}, with {min(values):.4f} RMSE on 4 test")
    # Losses of two kinds say nothing; the validation's RMSE does.
    from dataclasses import replace

    curves = [{"val/loss": [(0, loss)], "val/rmse": [(0, rmse)]} for loss, rmse in ((1, 5), (2, 3))]
    bare = [replace(r, evaluations=(), history=c) for r, c in zip(runs, curves, strict=True)]
    assert lead(bare, ["a", "b"]).startswith("Best on the validation split: b, with RMSE 3.00")


def test_the_page_of_numbers_of_sequences(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = ["task=sequences", f"task.file={labelled_file(tmp_path)}", "task.features=[f,g]"]
    each = ["task.label=value", "task.target=number", "task.each=step", "hydra.run.dir=run"]
    call(monkeypatch, "train", *TINY, *task, *each)
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt")
    page = read(qrnn.report("run"))
    assert_closed(page)
    assert page.facts["targets"] == "value; one number per step"
    captions = " ".join(page.named("figcaption"))
    assert "Predictions against the truth" in captions
    assert "step ahead" not in captions
    assert len(drawings(page)) == 5  # three curves, scatter plot, residuals


def test_the_page_of_a_classification_has_its_baseline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = ["task=sequences", f"task.file={labelled_file(tmp_path)}", "task.features=[f,g]"]
    call(monkeypatch, "train", *TINY, *task, "hydra.run.dir=run")
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt")
    page = read(qrnn.report("run"))
    assert page.facts["loss"].endswith("nats per label")
    rows = page.table("prediction by", "accuracy")
    assert [row["prediction by"] for row in rows] == ["gru", "majority"]


def figure_of(monkeypatch, *arguments):
    """Return the figure that `plot` would write."""
    found = []
    monkeypatch.setattr(pictures, "write", lambda figure, path: found.append(figure))
    pictures.plot(*arguments, "x.png")
    return found[0]


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_a_picture_joins_the_past_and_the_forecast_at_their_times(tmp_path, monkeypatch):
    rows = [(t + 1700, y, u) for t, y, u in wave()]
    path = write_table(tmp_path / "s.csv", "t,y,u", rows)
    model = trained(tmp_path / "run", *TASK, f"task.file={path}", *QUANTILES)
    figure = figure_of(monkeypatch, model, read_table(path), model.predict(path))
    (axes,) = figure.axes
    found = lines(axes)
    assert found["known"].get_xdata().tolist() == list(range(1762, 1780))
    assert found["prediction"].get_xdata().tolist() == [1779, 1780, 1781, 1782]
    assert found["prediction"].get_ydata()[0] == found["known"].get_ydata()[-1] == rows[-1][1]
    (band,) = axes.collections
    assert band.get_label() == "quantiles 0.1 to 0.9"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("t", "y")
    assert axes.get_legend() is None  # it is above, where no line is
    every = figure_of(monkeypatch, model, read_table(path), model.predict(path, every=True))
    found = lines(every.axes[0])
    assert found["prediction"].get_xdata().tolist() == list(range(1706, 1781))
    assert found["truth"].get_xdata()[0] == 1706
    assert found["truth"].get_ydata()[0] == pytest.approx(rows[6][1], abs=1e-5)


def test_a_picture_has_dates_and_a_panel_for_each_series_and_target(tmp_path, monkeypatch):
    dates = pd.date_range("2024-01-01", periods=60, freq="MS").strftime("%Y-%m-%d")
    rows = [(n, d, i, -i) for i, d in enumerate(dates) for n in "abc"]
    path = write_table(tmp_path / "s.csv", "id,t,y,$z$", rows)
    task = [*TASK[2:], "task.id=id", f"task.file={path}", "task.target=[y,$z$]"]
    model = trained(tmp_path / "run", TASK[0], *task)
    figure = figure_of(monkeypatch, model, read_table(path), model.predict(path))
    assert [axes.get_ylabel() for axes in figure.axes] == ["a: y", "a: $z$", "b: y", "b: $z$"]
    assert figure.axes[-1].get_xlabel() == "t (the first 4 of 6 panels)"
    times = lines(figure.axes[0])["prediction"].get_xdata()
    assert times.astype("datetime64[D]").astype(str).tolist() == [
        "2028-12-01",
        "2029-01-01",
        "2029-02-01",
        "2029-03-01",
    ]


def test_a_picture_is_of_a_forecast(tmp_path):
    task = ["task=sequences", f"task.file={labelled_file(tmp_path)}", "task.features=[f,g]"]
    model = trained(tmp_path / "run", *task)
    with pytest.raises(ConfigError, match="plot must be left out: the task is no forecast"):
        pictures.check_plot(model, "a.png")


def test_forecasts_follow_each_other_and_never_overlap():
    objective = Numbers(("a",), 3)
    times = np.arange(10)[:, None] + np.arange(3)
    y = times[..., None].astype(float)
    series = ["one"] * 5 + ["two"] * 5
    figure = pictures.forecasts(objective, y + 1, y, None, times, series, "t")
    first, second = figure.axes
    assert lines(first)["truth"].get_xdata().tolist() == [0, 1, 2, 3, 4, 5]
    assert lines(second)["truth"].get_xdata().tolist() == [5, 6, 7, 8, 9, 10]
    assert len(first.lines) == 3  # the truth, two forecasts
    assert lines(first)["prediction"].get_ydata().tolist() == [1, 2, 3]
    many = np.arange(2000)[:, None]
    one = pictures.forecasts(
        Numbers(("a",), 1), many[..., None] * 1.0, many[..., None], None, many, [""] * 2000, "t"
    )
    assert len(lines(one.axes[0])["prediction"].get_xdata()) == pictures.MOST_STEPS


def test_residuals_and_scatter_plots_leave_out_what_is_not_known():
    truth = np.random.default_rng(0).normal(size=(40, 1, 2))
    truth[::2, 0, 0] = np.nan
    figure = pictures.residuals(["a", "b"], truth + 1, truth)
    counts = [sum(bar.get_height() for bar in axes.patches) for axes in figure.axes]
    assert counts == [20, 40]
    diverged = np.where(np.arange(40)[:, None, None] < 3, np.nan, truth * np.inf)
    assert all(not axes.patches for axes in pictures.residuals(["a", "b"], diverged, truth).axes)
    assert pictures.scatter(["a", "b"], diverged, truth).axes
    figure = pictures.scatter(["a", "b"], truth, truth)
    (points,) = figure.axes[1].collections
    np.testing.assert_allclose(*points.get_offsets().T)


def test_errors_by_step_begin_at_the_lead():
    (axes,) = pictures.errors_ahead({"fused": [1.0, 2.0], "copy": [2.0, 3.0]}, 5).axes
    assert lines(axes)["fused"].get_xdata().tolist() == [5, 6]
    assert lines(axes)["copy"].get_ydata().tolist() == [2, 3]
