"""Predicted numbers: losses, quantiles, the residual, and what training shows."""

import math

import pytest
import torch
from torch.nn import functional

import qrnn
from helpers.small_networks import DOUBLE, SMALL
from helpers.tables import TINY, series_file
from qrnn import ConfigError, DataError
from qrnn.config import TrainConfig
from qrnn.data import IGNORED, Batch, Labels, Numbers, Split, TaskData
from qrnn.data.objectives import objective_from
from qrnn.models.build import build_model
from qrnn.training.means import Means

NAN = math.nan
Y = torch.tensor([[[0.5, NAN], [2.0, -1.0]], [[NAN, NAN], [0.0, 1.0]], [[NAN] * 2] * 2])
OUT = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def numbers(loss="mse", quantiles=(), **options):
    return Numbers(("a", "b"), 2, loss, quantiles, **options)


@pytest.mark.parametrize(
    ("loss", "closed"),
    [
        ("mse", lambda e: e**2),
        ("mae", lambda e: e.abs()),
        ("huber", lambda e: torch.where(e.abs() < 1, e**2 / 2, e.abs() - 0.5)),
    ],
)
def test_losses_are_means_over_what_is_known(loss, closed):
    objective = numbers(loss)
    outputs, y = objective.asked(OUT, Y)
    assert len(y) == 2  # of the third nothing is asked
    each = closed(OUT[:2].view(2, 2, 2) - Y[:2])
    wanted = [each[n][~Y[n].isnan()].mean() for n in range(2)]
    torch.testing.assert_close(objective.losses(outputs, y), torch.stack(wanted))


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "quantile"])
def test_what_is_not_known_has_no_gradient(loss):
    objective = numbers(loss, (0.5,) if loss == "quantile" else ())
    out = OUT.clone().requires_grad_()
    objective.losses(*objective.asked(out, Y)).sum().backward()
    assert out.grad.isfinite().all()
    known = ~Y.view(3, 4).isnan()
    assert torch.equal(out.grad != 0, known)


def test_the_best_constant_of_the_pinball_loss_is_the_quantile():
    levels = (0.1, 0.5, 0.9)
    objective = Numbers(("a",), 1, "quantile", levels)
    y = torch.linspace(0, 1, 101)[:, None, None]
    out = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([out], lr=0.01)
    for _ in range(600):
        optimizer.zero_grad()
        objective.losses(out.expand(101, 3), y).mean().backward()
        optimizer.step()
    torch.testing.assert_close(out.detach(), torch.tensor(levels), atol=0.02, rtol=0)
    one = objective.losses(torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[[1.0]]]))
    assert one.item() == pytest.approx((0.1 + 0.5 + 0.9) / 3)


def test_answers_are_in_the_targets_units():
    objective = numbers("quantile", (0.2, 0.5), offset=(10.0, 0.0), scale=(2.0, 1.0))
    out = torch.arange(8.0)[None]  # (H, K, Q)
    assert objective.answers(out).tolist() == [[[12.0, 3.0], [20.0, 7.0]]]
    assert objective.levels(-out)[0, 0].tolist() == [[8.0, 10.0], [-3.0, -2.0]]  # sorted
    assert objective.answers(-out)[0, 0].tolist() == [10.0, -2.0]  # the median of these
    assert objective.truth(torch.zeros(1, 2, 2)).tolist() == [[[10.0, 0.0]] * 2]
    far = numbers("quantile", (0.5,), offset=(1e9, 1.0), scale=(0.25, 1e-9))
    wanted = [[[1e9 + 0.125, 1 + 0.5e-9]] * 2]  # in float32 1e9 and 1
    half = torch.full((1, 4), 0.5)
    assert far.answers(half).tolist() == far.truth(half.view(1, 2, 2)).tolist() == wanted
    assert far.levels(half)[..., 0].tolist() == wanted
    assert objective_from(objective.plain()) == objective
    with pytest.raises(ConfigError, match="an objective cannot be read"):
        objective_from({"name": "numbers", "colour": 3})


def test_the_metric_of_training_is_that_of_the_scores():
    from qrnn.evaluation.scores import scores

    one = Numbers(("a",), 4, offset=(1e9,), scale=(3.0,))
    several = numbers(offset=(1.0, 2.0), scale=(3.0, 100.0))
    crossing = numbers("quantile", (0.1, 0.5))
    assert (one.shown, several.shown) == ("rmse", "nrmse")
    for objective in (one, several, crossing):
        out = torch.cat([OUT, -OUT], 1) if objective is crossing else OUT
        outputs, y = objective.asked(out, Y.view(3, objective.horizon, -1))
        batches = [objective.measure(outputs[n : n + 1], y[n : n + 1]) for n in range(2)]
        found = scores(objective.answers(outputs).numpy(), objective.truth(y).numpy())
        assert metric(objective, *batches) == pytest.approx(found[objective.shown], rel=1e-5)
    measured = Labels(3).measure(torch.eye(3), torch.tensor([0, 1, 1]))
    assert metric(Labels(3), measured) == pytest.approx(2 / 3)


def metric(objective, *batches):
    means = Means()
    for measured in batches:
        means.add("shown", measured.nansum(0), (~measured.isnan()).sum(0))
    return objective.metric_of(means.take(lambda one: one)["shown"]).item()


def model_of(data, residual=None, **model):
    from dataclasses import replace

    config = TrainConfig(model=replace(SMALL["hybrid"], residual=residual, **model))
    torch.manual_seed(0)
    return build_model(config, data.shape, objective=data.objective).to(DOUBLE)


def series_data(horizon=2, past=2, kind="regress"):
    torch.manual_seed(1)
    y = torch.randn(4, horizon, 2) if kind == "regress" else torch.randn(4, 5, 2)
    part = Split(torch.randn(4, 5, 3), y)
    return TaskData(part, part, part, (), kind, n_past=past)


def test_the_residual_adds_the_last_value_of_each_target():
    data = series_data()
    x = data.train.x.to(DOUBLE)
    plain, changed = model_of(data), model_of(data, "last")
    last = x[:, -1, :2].repeat(1, 2)  # (H, K) of each sequence
    torch.testing.assert_close(changed(x), plain(x) + last)
    lengths = torch.tensor([5, 3, 1, 4])
    ends = torch.stack([x[n, length - 1, :2] for n, length in enumerate(lengths)]).repeat(1, 2)
    torch.testing.assert_close(changed(x, lengths), plain(x, lengths) + ends)
    steps = series_data(kind="regress_steps")
    with_last = model_of(steps, "last")(x)
    torch.testing.assert_close(with_last, model_of(steps)(x) + x[..., :2])


def test_a_relative_residual_reads_differences_from_the_last_step():
    data = series_data()
    x = data.train.x.to(DOUBLE)
    differences = torch.stack(
        [x[..., 0] - x[:, 4:, 0], x[..., 1] - x[:, 4:, 1], x[..., 2]], -1
    )  # the third feature is no target's past
    expected = model_of(data)(differences) + x[:, -1, :2].repeat(1, 2)
    model = model_of(data, "relative")
    torch.testing.assert_close(model(x), expected)
    moved = torch.tensor([3.0, -2.0], dtype=DOUBLE)
    level = torch.cat([moved, moved.new_zeros(1)])
    torch.testing.assert_close(model(x + level), expected + moved.repeat(2))


def test_a_relative_residual_needs_a_last_step_common_to_all():
    with pytest.raises(ConfigError, match=r"numbers at each step, got relative"):
        model_of(series_data(kind="regress_steps"), "relative")
    data = series_data()
    with pytest.raises(ConfigError, match=r"must have sequences of one length, got lengths"):
        model_of(data, "relative")(data.train.x.to(DOUBLE), torch.tensor([5, 3, 1, 4]))


def test_the_residual_repeats_values_over_steps_and_quantiles():
    objective = numbers("quantile", (0.1, 0.5, 0.9))
    out = objective.repeated(torch.tensor([[1.0, 2.0]])).view(2, 2, 3)
    assert out[:, 0].eq(1).all()
    assert out[:, 1].eq(2).all()


def test_gradients_of_the_residual_are_finite_differences():
    model = model_of(series_data(), "last")
    x = torch.randn(2, 3, 3, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(model, (x,), atol=1e-6)
    weight = model.head.weight

    def loss():
        return model(x.detach()).square().sum()

    loss().backward()
    for index in ((0, 0), (1, 2)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[index] += sign * 1e-5
                values.append(loss().item())
                weight[index] -= sign * 1e-5
        assert weight.grad[index].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_the_residual_needs_the_targets_past():
    with pytest.raises(ConfigError, match=r"got last: add model.residual=null"):
        model_of(series_data(past=0), "last")
    with pytest.raises(ConfigError, match=r"must be null, last or relative, got first"):
        model_of(series_data(), "first")


def test_labels_of_steps_for_inputs_that_are_no_tokens():
    y = torch.randint(3, (4, 5))
    y[0, 2:] = IGNORED
    part = Split(torch.randn(4, 5, 3), y, torch.tensor([2, 5, 5, 5]))
    data = TaskData(part, part, part, ("a", "b", "c"), "label")
    answer = model_of(data).answer(Batch(part.x.to(DOUBLE), y, part.lengths))
    assert answer.logits.shape == (4, 5, 3)
    objective = data.goal
    outputs, asked = objective.asked(answer.logits, y)
    assert len(asked) == 17
    wanted = functional.cross_entropy(
        answer.logits.flatten(0, 1), y.flatten(), ignore_index=IGNORED
    )
    torch.testing.assert_close(objective.losses(outputs, asked).mean(), wanted)


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (torch.zeros(4), "regress", "must be numbers, float32 (N, H, K)"),
        (torch.zeros(4, 1, 1, dtype=torch.float64), "regress", "got float64"),
        (torch.zeros(4, 1, 1, dtype=torch.int64), "regress", "must be numbers, float32"),
        (torch.zeros(4, 4, 1), "regress_steps", "must be numbers, float32 (N, T, K)"),
        (torch.zeros(4), "classify", "must be labels, integers (N)"),
        (torch.full((4, 1, 1), NAN), "regress", "must have at least one number, got only NaN"),
        (torch.full((4, 1, 1), math.inf), "regress", "must be finite"),
    ],
)
def test_targets_that_are_not_declared_are_refused(y, kind, message):
    part = Split(torch.zeros(4, 5, 3), y)
    with pytest.raises(DataError) as error:
        TaskData(part, part, part, ("a", "b"), kind)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("targets", "metric"), [("y", "rmse"), ("[y,u]", "nrmse")])
def test_training_shows_the_metric_that_evaluation_finds(targets, metric, tmp_path):
    path = series_file(tmp_path)
    task = ["task=forecast", f"task.file={path}", f"task.target={targets}", "task.window=6"]
    done = qrnn.train([*TINY, *task, "task.time=t", "model.residual=last"], tmp_path / "run")
    assert done.metric == metric
    found = qrnn.load(done.best).evaluate(split="val")
    assert done.value == pytest.approx(found.value, rel=1e-4)
    assert found.scores[metric] == found.value
    assert (found.accuracy, found.agreement, found.difference) == (None, None, 0.0)
    saved = (tmp_path / "run/summary.json").read_text()
    assert f'"metric": "{metric}"' in saved
    assert f'"value": {done.value}' in saved
