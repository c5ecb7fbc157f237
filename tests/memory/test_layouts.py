"""The spread layout of the kernels on the CPU, whole and in tiles, against default.qubit."""

import pennylane as qml
import pytest
import torch

from helpers.gate_examples import GATE_EXAMPLES
from helpers.problems import gradients, inputs, network
from helpers.slow import slow_but
from qrnn import QRNN, ConfigError
from qrnn.memory.kernels.cpu import kernels, layout

WORDS = ["XIIIIIII", "IYIIIIIX", "IIZIXIIZ", "YYYYYYYY", "IIIIIIIZ", "IIIIIYII", "ZIIIIIII"]
N = len(WORDS[0])


@pytest.fixture(params=slow_but(["whole", "tiles", "threads"], "whole", "threads"))
def spread(request, monkeypatch):
    """Use the spread layout for all states: in one tile, in many, or in many of three threads."""
    monkeypatch.setattr(kernels, "spread_pays", lambda n, batch: n > 4)
    if request.param != "whole":
        monkeypatch.setattr(layout, "_shapes", lambda n: [(n - 2, 0), (1, 2)])
    if request.param == "threads":
        monkeypatch.setattr(kernels, "SHARED_FROM", 5)
        monkeypatch.setattr(kernels, "idle_cores", lambda: 3)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield request.param
    torch.set_num_threads(before)


def every_gate(angles, wires):
    """Apply each gate of the gate set to wires near and far, which are lanes, rows and tiles."""
    used = 0
    for index, (size, n_wires, apply) in enumerate(GATE_EXAMPLES.values()):
        for first, stride in ((0, 1), (index, 3)):
            on = [wires[(first + stride * k) % N] for k in range(n_wires)]
            apply([angles[(used + k) % len(angles)] for k in range(size)], on)
            used += size
        qml.RY(angles[index % len(angles)], wires=wires[index % N])


def rotations(angles, wires):
    """Only RY, which no diagonal layer comes with."""
    for angle, wire in zip(angles, wires, strict=True):
        qml.RY(angle, wires=wire)


def weighted(rnn, x, lengths=None):
    z, state = rnn(x, lengths=lengths)
    weights = torch.linspace(-1, 1, z.numel(), dtype=z.dtype).cos().reshape(z.shape)
    psi = state.amplitudes()
    return (weights * z).sum() + z.square().mean() + psi[:, ::5].real.sum() + psi[:, 6].imag.sum()


PROBLEMS = {
    "default": {"n_qubits": N},
    "odd": {"n_qubits": 7, "readout": "XYZ+ZZ", "entangler": "CRX"},
    "every gate": {"n_qubits": N, "ansatz": every_gate, "n_angles": 5, "readout": WORDS},
    "no diagonal layer": {"n_qubits": N, "ansatz": rotations, "n_angles": N},
}


@pytest.mark.parametrize("dtype", slow_but([torch.float32, torch.float64], torch.float32))
@pytest.mark.parametrize("problem", slow_but(PROBLEMS, "default", "no diagonal layer"))
def test_spread_states_have_the_gradients_of_default_qubit(problem, dtype, spread):
    rnn = network(dtype=torch.float64, **PROBLEMS[problem])
    with torch.no_grad():
        for p in rnn.parameters():
            p.mul_(0.5)
    x, lengths = inputs(3, 2, torch.float64), torch.tensor([3, 2])
    expected = gradients(rnn.on("default.qubit"), lambda m, x: weighted(m, x, lengths), x)
    found = gradients(rnn.to(dtype), lambda m, x: weighted(m, x, lengths), x.to(dtype))
    tolerance = 2e-4 if dtype == torch.float32 else 1e-9
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name].double(), value, rtol=tolerance, atol=tolerance, msg=name
        )
    assert any(value.abs().max() > 1e-2 for value in expected.values())
    used = rnn.cell.memory.kernels(x.device)
    assert used.threads(used.start(2, x.to(dtype))) == ((3, 3) if spread == "threads" else (2, 1))


def test_a_state_that_does_not_fit_into_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr("qrnn.utils.limits.memory", lambda: 10**6)
    with pytest.raises(ConfigError, match=r"15 qubits .* takes at least 0.00157 GB: lower model"):
        QRNN(2, 15)
