"""What the head of a classifier reads: the last outputs, or their mean over the steps."""

from dataclasses import replace

import pytest
import torch

from helpers.small_networks import DOUBLE, SMALL
from qrnn import ConfigError
from qrnn.config import TrainConfig
from qrnn.data import Batch, Shape
from qrnn.inspection.gradients import gradient_norms
from qrnn.models.build import build_model

X = torch.randn(3, 5, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2])
LENGTHS = torch.tensor([5, 2, 4])


def model_of(name, shape=None, **model):
    config = TrainConfig(model=replace(SMALL[name], head_norm=True, **model))
    torch.manual_seed(0)
    return build_model(config, shape or Shape("classify", 3, 2)).to(DOUBLE)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("name", ["hybrid", "lstm", "scornn"])
def test_the_head_reads_the_mean_of_all_steps_but_the_padding(name, both):
    model = model_of(name, pooling="mean", bidirectional=both)
    answer = model.answer(Batch(X, Y, LENGTHS))
    for n, length in enumerate(LENGTHS):
        alone = model.answer(Batch(X[n : n + 1, :length], Y[n : n + 1]))
        torch.testing.assert_close(answer.z[n : n + 1, :length], alone.z)
        wanted = model.head(torch.stack([alone.z[0, t] for t in range(length)]).mean(0))
        torch.testing.assert_close(answer.logits[n], wanted)
        torch.testing.assert_close(alone.logits[0], wanted)
    torch.testing.assert_close(model(X, LENGTHS), answer.logits)
    last = model_of(name, bidirectional=both)
    last.load_state_dict(model.state_dict())
    assert not torch.allclose(last(X), model(X))
    assert (last.steps_read(5), model.steps_read(5)) == (range(4, 5), range(5))


def test_its_gradients_are_finite_differences():
    model = model_of("hybrid", pooling="mean")
    x = X[:2, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(model, (x, torch.tensor([3, 2])), atol=1e-6)


@pytest.mark.parametrize("kind", ["label", "translate"])
def test_it_is_refused_where_every_step_is_read(kind):
    with pytest.raises(ConfigError, match=r"model\.pooling must be left out where .*, got mean"):
        model_of("lstm", Shape(kind, 4, 4, tokens=True), pooling="mean")


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ConfigError, match=r"pooling 'max' is not known: .*last, mean"):
        model_of("lstm", pooling="max")


def test_gradients_of_the_last_steps_loss_need_the_last_outputs():
    with pytest.raises(ConfigError, match=r"model\.pooling must be last for gradient norms"):
        gradient_norms(model_of("lstm", pooling="mean"), X, Y)
