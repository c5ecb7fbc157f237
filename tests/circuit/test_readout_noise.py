"""Training that expects the hardware: the noise has the mean and variance of shots."""

import pytest
import torch

from qrnn import QRNN, ConfigError
from qrnn.circuit.mid_circuit import MeasuredReadout
from qrnn.circuit.readout_noise import ReadoutNoise

SIGNS = torch.tensor([[1.0], [-1.0]])


def test_the_noise_has_the_mean_and_the_variance_of_shots():
    torch.manual_seed(0)
    z = torch.tensor([-1.0, -0.5, 0.0, 0.9]).expand(100_000, 4)
    noisy = ReadoutNoise(shots=50, depolarizing=0.2)(z, SIGNS)
    mean, variance = 0.8 * z[0], (1 - (0.8 * z[0]) ** 2) / 50
    error = (variance / len(z)).sqrt()
    assert ((noisy.mean(0) - mean).abs() < 5 * error).all()
    assert torch.allclose(noisy.var(0), variance, rtol=0.03)


def test_the_noise_of_measured_readouts_has_the_variance_of_the_ancillas_shots():
    torch.manual_seed(0)
    measured = MeasuredReadout(["X", "Z"], 1.0)
    z = torch.tensor([0.3, -0.4]).expand(200_000, 2)
    noisy = ReadoutNoise(shots=20)(z, measured.outcomes)
    a, b = measured.outcomes.float()
    p = (z[0] - a) / (b - a)  # of outcome 1
    expected = (b - a) ** 2 * p * (1 - p) / 20
    assert ((noisy.mean(0) - z[0]).abs() < 5 * (expected / len(z)).sqrt()).all()
    assert torch.allclose(noisy.var(0), expected, rtol=0.03)


def test_a_perfect_readout_has_no_shot_noise_and_a_finite_gradient():
    z = torch.tensor([-1.0, 1.0], requires_grad=True)
    noisy = ReadoutNoise(shots=10)(z, SIGNS)
    assert torch.equal(noisy, z)
    noisy.sum().backward()
    assert torch.equal(z.grad, torch.ones(2))


def test_evaluation_and_sampled_devices_get_no_noise():
    torch.manual_seed(0)
    rnn = QRNN(2, n_qubits=2, width=4, readout_shots=20, readout_depolarizing=0.3)
    x = torch.rand(3, 4, 2)
    exact, _ = rnn.eval()(x)
    assert torch.allclose(exact, rnn.on("default.qubit")(x)[0], atol=1e-5)
    assert not torch.allclose(exact, rnn.train()(x)[0], atol=0.05)
    shots = rnn.on("default.qubit", shots=100_000, seed=1).train()
    assert torch.allclose(exact, shots(x)[0], atol=0.05)


def test_a_copy_on_another_device_does_not_change_the_original():
    rnn = QRNN(2, n_qubits=2, width=4, controller_dropout=0.5).train()
    copy = rnn.on("default.qubit").eval()
    assert all(module.training for module in rnn.modules())
    assert not any(module.training for module in copy.modules())
    assert all(a is b for a, b in zip(rnn.parameters(), copy.parameters(), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": 0}, "readout_shots must be at least 1, got 0"),
        ({"depolarizing": 1.0}, r"readout_depolarizing must be in \[0, 1\), got 1.0"),
    ],
)
def test_a_value_out_of_range_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        ReadoutNoise(**options)
