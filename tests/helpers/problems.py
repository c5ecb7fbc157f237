"""Small networks with random weights, reused over all devices and strategies."""

from functools import cache

import pennylane as qml
import torch
from pennylane import math
from torch import nn

from helpers import reference
from helpers.gate_examples import every_rotation
from qrnn import QRNN

D, T, B = 2, 3, 3


def affine(angles, wires):
    """Three angles in seven gates: shared, scaled and shifted."""
    qml.RX(2 * angles[0] - 0.3, wires=wires[0])
    qml.RY(angles[1], wires=wires[1])
    qml.RY(-angles[1], wires=wires[2])
    qml.CNOT(wires=[wires[0], wires[2]])
    qml.IsingXY(0.5 * angles[2], wires=[wires[2], wires[1]])
    qml.CRX(angles[0] + angles[2], wires=[wires[1], wires[0]])


def nonlinear(angles, wires):
    """Gate parameters that are products and sines of the angles."""
    qml.RY(angles[0] * angles[1], wires=wires[0])
    qml.RX(math.sin(angles[1]), wires=wires[1])
    qml.CRZ(angles[2] ** 2 + 0.4, wires=[wires[0], wires[2]])
    qml.Rot(angles[0], math.cos(angles[2]), angles[1], wires=wires[2])
    qml.CNOT(wires=[wires[1], wires[2]])


class Twin(nn.Module):
    """A user's controller: no Sequential, no attribute of the built-in one."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.a, self.b = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out, bias=False)

    def forward(self, seen):
        return torch.tanh(self.a(seen)) * torch.sigmoid(self.b(seen))


PROBLEMS = {
    "default": {"n_qubits": 3},
    "strongly entangling": {"n_qubits": 3, "ansatz": "strongly_entangling", "readout": "Z"},
    "CRX on a ring": {
        "n_qubits": 4,
        "layers": 1,
        "rotations": ("RX", "RY"),
        "entangler": "CRX",
        "topology": "ring",
        "readout": "ZZ+X",
    },
    "two circuits": {"n_qubits": 4, "layers": 1, "circuits": 2, "readout": "ZZ+X"},
    "a part fed back": {"n_qubits": 3, "readout": "Y+ZZ+X", "feedback_readout": "Y+ZZ"},
    "nothing fed back": {"n_qubits": 2, "feedback": False},
    "affine function": {
        "n_qubits": 3,
        "ansatz": affine,
        "n_angles": 3,
        "readout": ["XYI", "IIZ", "ZIY", "YYY"],
    },
    "nonlinear function": {"n_qubits": 3, "ansatz": nonlinear, "n_angles": 3},
    "every gate": {"n_qubits": 3, **every_rotation()},
    "custom controller": {
        "n_qubits": 2,
        "entangler": "IsingYY",
        "readout": "YX",
        "controller": lambda: Twin(D + 4, 10),
    },
    "glu": {"n_qubits": 1, "layers": 1, "controller": "glu", "depth": 2},
}

# The options of every controller that the fused kernels run.
CONTROLLERS = {
    "gelu": {},
    "relu, deep": {"controller": "relu", "depth": 3, "width": 5},
    "glu": {"controller": "glu", "width": 7},
    "linear": {"controller": "linear", "depth": 1, "width": 9},
    "one layer": {"controller": "linear", "depth": 0},
    "no feedback": {"feedback": False},
}


def network(problem="default", dtype=torch.float32, **changes):
    """Return a QRNN with the same random weights, large enough to move the state, each time."""
    options = {"width": 6, **PROBLEMS[problem], **changes}
    if not isinstance(options.get("controller", ""), (str, nn.Module)):
        options["controller"] = options["controller"]()
    rnn = QRNN(D, options.pop("n_qubits"), **options)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in rnn.parameters():
            p.copy_(0.6 * torch.randn(p.shape, generator=generator))
    return rnn.to(dtype)


def inputs(steps=T, batch=B, dtype=torch.float32):
    """Return x (T, B, D)."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(steps, batch, D, generator=generator).to(dtype)


@cache
def solution(problem, lengths=None):
    """Return the dense reference's z (T, B, R) and psi (B, 2^n) for `network` and `inputs`."""
    return reference.run(network(problem).cell, inputs(), lengths)


def gradients(rnn, loss, *inputs):
    """Return the gradients of a scalar loss for all parameters and inputs, by name."""
    for p in rnn.parameters():
        p.grad = None
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    loss(rnn, *inputs).backward()
    named = {name: p.grad for name, p in rnn.named_parameters()}
    named.update({f"input {i}": x.grad for i, x in enumerate(inputs)})
    rnn.zero_grad()
    return named
