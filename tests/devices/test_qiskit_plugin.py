"""pennylane-qiskit's devices by name, where its extra is installed."""

import pytest
import torch

from qrnn import QRNN

pytest.importorskip("pennylane_qiskit")


@pytest.mark.parametrize("name", ["qiskit.aer", "qiskit.basicsim"])
def test_pennylane_qiskit_runs_by_name(name):
    torch.manual_seed(0)
    rnn = QRNN(2, 2, batch_first=True).eval()
    x = torch.rand(2, 2, 2)
    with torch.no_grad():
        exact = rnn(x)[0]
        sampled = rnn.on(name, shots=4000, gradient="none")(x)[0]
    assert 0 < (sampled - exact).abs().max() < 0.08
