"""Large angles: whatever a finite angle is, its gates are those of default.qubit in float64."""

import pennylane as qml
import pytest
import torch

from helpers.problems import gradients
from qrnn import QRNN
from qrnn.memory import backends as kernels

SINGLE, DOUBLE = torch.float32, torch.float64
TOLERANCE = {SINGLE: 3e-6, DOUBLE: 1e-12}
# Prices, years, time stamps in seconds and nanoseconds, the largest numbers.
SIZES = {
    SINGLE: (1.0, 2400.0, 5e3, 8200.0, 1e4, 3e4, 1e5, 1e6, 1.7e7, 1e8, 1.7e9, 1e12, 1.7e18, 1e36),
    DOUBLE: (1.0, 3e4, 1.7e9, 1e12, 1.7e18, 1e30, 1e38, 1e100, 1e300),
}
PATHS = {
    "sequences": ("cpu", SINGLE, False),
    "steps": ("cpu", SINGLE, True),
    "steps in float64": ("cpu", DOUBLE, True),
    "sequences on a GPU": ("cuda", SINGLE, False),
    "sequences on a GPU in float64": ("cuda", DOUBLE, False),
    "steps on a GPU": ("cuda", SINGLE, True),
    "steps on a GPU in float64": ("cuda", DOUBLE, True),
}


def every_kind(angles, wires):
    """One of each kind of instruction, and angles that are scaled before they get there."""
    for wire in wires:
        qml.RY(angles[0], wires=wire)
    qml.RX(2 * angles[1], wires=wires[1])
    for wire, angle in zip(wires, (angles[1], -angles[2], 0.5 * angles[0]), strict=True):
        qml.RZ(angle, wires=wire)  # merged
    qml.RX(angles[2], wires=wires[0])
    qml.CRX(-angles[1], wires=wires[:2])
    qml.PhaseShift(angles[0], wires=wires[2])
    qml.IsingXX(angles[2], wires=wires[1:])
    qml.ControlledPhaseShift(-angles[2], wires=wires[::2])


def angles_in(dtype, batch, steps=2):
    """Return x (T, B, 3) of all sizes, small ones beside large ones."""
    x = torch.rand(steps, batch, 3, generator=torch.Generator().manual_seed(5), dtype=DOUBLE) + 1
    sizes = torch.tensor(SIZES[dtype], dtype=DOUBLE)
    return (x * sizes[torch.arange(x.numel()) % len(sizes)].reshape(x.shape)).to(dtype)


def network(dtype):
    """Return a network whose angles are its inputs."""
    rnn = QRNN(
        3,
        3,
        ansatz=every_kind,
        n_angles=3,
        readout=["XII", "IYZ", "ZIX"],
        feedback=False,
        controller="linear",
        depth=0,
        bias_range=0.0,
    )
    with torch.no_grad():
        rnn.cell.controller[0].weight.copy_(torch.eye(3))
        rnn.cell.controller[0].bias.zero_()
    return rnn.to(dtype)


def loss(rnn, x):
    z, state = rnn(x)
    return (z * torch.arange(1, 4)).sum() + state.amplitudes().real.sum()


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.slow] * (PATHS[p][0] == "cuda")) for p in PATHS],
)
def test_every_finite_angle_has_the_readouts_and_gradients_of_default_qubit(path, monkeypatch):
    backend, dtype, stepwise = PATHS[path]
    if backend == "cuda":
        pytest.importorskip("triton")
        monkeypatch.setitem(kernels.BACKENDS, "cpu", kernels.BACKENDS["cuda"])
    # The interpreter of GPU kernels is slow; 20 sequences are a full block of the CPU's and a part.
    batch = 20 if backend == "cpu" else 5
    x, rnn, exact = angles_in(dtype, batch), network(dtype), network(DOUBLE).on("default.qubit")
    if stepwise:
        rnn.cell.register_forward_hook(lambda *_: None)
    found, wanted = rnn(x)[0], exact(x.double())[0]
    assert (found.double() - wanted).abs().max() < TOLERANCE[dtype]
    given, right = gradients(rnn, loss, x), gradients(exact, loss, x.double())
    for name, value in right.items():
        # A weight's gradient is a sum of angles times something.
        scale = x.double().abs().sum() if "weight" in name else value.abs().max() + 1
        assert ((given[name].double() - value).abs().max() / scale) < 10 * TOLERANCE[dtype], name
