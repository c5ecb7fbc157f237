"""Replaying the last steps only (`device.replay`)."""

import pytest
import torch

from helpers.problems import inputs, network
from qrnn import QRNN, ConfigError
from qrnn.config.commands import TrainConfig
from qrnn.config.models import HybridConfig
from qrnn.data.base import Shape
from qrnn.data.parts import Split
from qrnn.evaluation.predict import record_controls
from qrnn.evaluation.truncation import truncation
from qrnn.models.build import build_model
from qrnn.models.cells import cells_of
from qrnn.models.sequence import SequenceClassifier

DOUBLE, STEPS, B = torch.float64, 4, 2


def windows(memory, controls, window):
    """The readouts (B, T, R) of the last steps alone, by another strategy."""
    z = []
    for t in range(controls.shape[1]):
        last = controls[:, max(0, t + 1 - window) : t + 1]
        z.append(memory.run(last)[:, -1])
    return torch.stack(z, 1)


@pytest.mark.parametrize("window", [1, 3, 9])
@pytest.mark.parametrize(
    ("forget", "options"),
    [
        (None, {"device": "default.qubit", "strategy": "replayed"}),
        ("gate", {"device": "default.mixed", "strategy": "replayed"}),
    ],
)
def test_a_step_replays_the_last_ones_alone(forget, options, window):
    rnn = network(dtype=DOUBLE, n_qubits=2, forget=forget)
    some = rnn.on(replay=window, **options)
    controls = []
    some.cell.controller.register_forward_hook(lambda *given: controls.append(given[-1]))
    with torch.no_grad():
        closed, _ = some(inputs(STEPS, B, DOUBLE))
        controls = torch.stack(controls, 1)
        expected = windows(rnn.cell.memory, controls, window)
        at_once = some.cell.memory.run(controls, [1, STEPS - 1])
    torch.testing.assert_close(closed.transpose(0, 1), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(at_once, expected[:, [1, STEPS - 1]], rtol=0, atol=1e-10)


def test_measured_readouts_are_replayed_as_the_rest():
    rnn = QRNN(2, 1, width=3).double()
    some = rnn.on("default.qubit", readout_mode="measure", strategy="replayed", replay=2)
    whole = rnn.on("default.qubit", readout_mode="measure")
    controls = torch.linspace(-2, 2, 3 * rnn.cell.circuit.n_angles, dtype=DOUBLE)
    controls = controls.reshape(1, 3, -1)
    with torch.no_grad():
        found = some.cell.memory.run(controls)
        expected = windows(whole.cell.memory, controls, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)
    assert (found - whole.cell.memory.run(controls)).abs().max() > 1e-2


def test_the_error_of_replaying_less_is_measured_exactly():
    config = TrainConfig(model=HybridConfig(n_qubits=2, width=4, forget="gate"))
    model = build_model(config, Shape("classify", 3, 2))
    x = torch.randn(3, 5, 2)
    part = Split(x, torch.zeros(3, dtype=torch.long))
    memory = cells_of(model)[0].memory
    with torch.no_grad():
        controls = record_controls(model, x)
        wanted = (windows(memory, controls, 2) - memory.run(controls)).square().mean().sqrt()
    assert truncation(model, part, 2) == pytest.approx(wanted.item(), rel=1e-4)
    assert truncation(model, part, 2, batch_size=2) == pytest.approx(wanted.item(), rel=1e-4)
    assert truncation(model, part, 5) == 0


def test_an_evaluation_is_not_lost_where_fused_cannot_measure_that_error():
    model = QRNN(2, 1, width=3, readout_mode="measure", device="default.qubit")
    part = Split(torch.randn(2, 3, 2), torch.zeros(2, dtype=torch.long))
    assert truncation(SequenceClassifier(model, 2), part, 2) is None


def test_it_is_refused_where_the_state_is_carried():
    for device in ("default.qubit", "lightning.qubit"):
        with pytest.raises(ConfigError, match="left out with strategy carried, which carries the"):
            network().on(device, replay=2)
    with pytest.raises(ConfigError, match=r"would ignore device\.replay"):
        network().on("fused", replay=2)
