"""Random circuits and controllers against dense matrices, float64, and finite differences.

The reference (`helpers/reference.py`) knows the user's function and the controller, and nothing of
how gates are traced, decomposed, mapped from angles, or run.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pennylane as qml
import torch
from torch import nn

from fuzz.harness import Fuzz
from helpers import reference
from helpers.gate_examples import GATE_EXAMPLES
from qrnn import QRNN
from qrnn.circuit.gates import GATES

DOUBLE = torch.float64
PAULIS = torch.stack([torch.as_tensor(reference.PAULI[letter]) + 0j for letter in "IXYZ"])


def unitary(values: list) -> torch.Tensor:
    """Return exp(-i sum v P) (2, 2) for the Pauli matrices and four values."""
    values = torch.stack([torch.as_tensor(value).to(DOUBLE) for value in values])
    generator = torch.einsum("p,pij->ij", values.to(PAULIS.dtype), PAULIS)
    return torch.linalg.matrix_exp(-1j * generator)


QUEUE = {
    **GATE_EXAMPLES,
    "QubitUnitary": (4, 1, lambda p, w: qml.QubitUnitary(unitary(p), w)),
    "IQP": (2, 2, lambda p, w: qml.IQPEmbedding(torch.stack(list(map(torch.as_tensor, p))), w)),
}


def expression(draw: Random, n_angles: int, n_weights: int, plain: bool):
    """Return a random function of (angles, weights), an affine one if `plain`."""
    i, j = draw.randrange(n_angles), draw.randrange(n_angles)
    k = draw.randrange(n_weights) if n_weights else None
    c, d = draw.uniform(-2, 2), draw.uniform(-1, 1)
    choices = [
        lambda a, w: a[i],
        lambda a, w: c * a[i] + d,
        lambda a, w: a[i] / 3 - a[j],
        lambda a, w: torch.as_tensor(c).to(a),
        lambda a, w: a[i] * a[j],
        lambda a, w: torch.sin(a[i]) + d,
        lambda a, w: a[i].clamp(-1.3, 1.1),
        lambda a, w: torch.where(a[i] > 1.5, 0.3 * a[j], a[i]),
    ]
    if k is not None:
        choices += [
            lambda a, w: w[k],
            lambda a, w: a[i] - c * w[k],
            lambda a, w: a[i] * w[k],
            lambda a, w: torch.tanh(w[k]) + a[j],
        ]
    return draw.choice(choices[:4] + choices[8:10] if plain else choices)


def ansatz(draw: Random, n: int, n_angles: int, weights: list[nn.Parameter]):
    """Return a random function of (angles, wires) that uses all angles."""
    names = [name for name, (_, wires, _) in QUEUE.items() if wires <= n]
    names += 2 * [name for name in names if name in GATES]
    plan = []
    plain = draw.random() < 0.5  # then whole sequences run at once
    n_weights = sum(weight.numel() for weight in weights)
    for _ in range(draw.randint(1, 7)):
        n_parameters, n_wires, queue = QUEUE[draw.choice(names)]
        values = [expression(draw, n_angles, n_weights, plain) for _ in range(n_parameters)]
        plan.append((queue, values, draw.sample(range(n), n_wires)))
    held = tuple(weights)

    def function(angles, wires):
        angles = torch.as_tensor(angles)
        for index in range(n_angles):
            qml.RY(angles[index], wires[index % n])
        w = torch.cat([weight.reshape(-1) for weight in held]) if held else None
        for queue, values, places in plan:
            queue([value(angles, w) for value in values], [wires[place] for place in places])

    return function


class Gated(nn.Module):
    """A controller that is none of qrnn's."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.a, self.b = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out)

    def forward(self, seen):
        return 2 * torch.tanh(self.a(seen)) * torch.sigmoid(self.b(seen))


def network(draw: Random) -> QRNN:
    """Return a random network in float64."""
    n, n_angles, size = draw.randint(1, 4), draw.randint(1, 5), draw.randint(1, 3)
    weights = [nn.Parameter(torch.randn(draw.randint(1, 2))) for _ in range(draw.choice([0, 0, 2]))]
    words = {"".join(draw.choice("IXYZ") for _ in range(n)) for _ in range(draw.randint(1, 4))}
    readout = sorted(words - {"I" * n}) or ["Z" * n]
    feedback = draw.random() < 0.8
    controller = draw.choice(["linear", "relu", "gelu", "glu", "own"])
    options = {"depth": 0} if controller == "linear" else {"depth": draw.randint(1, 2), "width": 5}
    given = controller
    if controller == "own":
        given, options = Gated(size + feedback * len(readout), n_angles), {}
    rnn = QRNN(
        size,
        n,
        ansatz=ansatz(draw, n, n_angles, weights),
        n_angles=n_angles,
        readout=readout,
        feedback=feedback,
        controller=given,
        bias_range=2.0,
        **options,
    )
    blank = draw.random() < 0.15  # all angles are 0, where decompositions are singular
    with torch.no_grad():
        for name, p in rnn.named_parameters():
            p += 0.3 * torch.randn(p.shape)
            if blank and "ansatz" not in name:
                p.zero_()
    return rnn.to(DOUBLE)


def loss(z: torch.Tensor) -> torch.Tensor:
    """Return a loss in which each readout of each step has its own weight."""
    return (z * torch.linspace(-1, 1, z.numel(), dtype=z.dtype).cos().reshape(z.shape)).sum()


def dense(rnn: QRNN, x: torch.Tensor, lengths: torch.Tensor | None) -> np.ndarray:
    """Return the reference's z (T, B, R)."""
    old = torch.get_default_dtype()
    torch.set_default_dtype(DOUBLE)
    try:
        with torch.no_grad():
            return reference.run(rnn.cell, x, lengths)[0]
    finally:
        torch.set_default_dtype(old)


def slope(rnn: QRNN, x: torch.Tensor, lengths, directions: list[torch.Tensor]) -> float:
    """Return the derivative of the reference's loss along directions of x and the parameters."""
    tensors, values = [x, *rnn.parameters()], []
    h = 1e-7  # at kinks, as of ReLU at 0, the error is not O(h^2)
    for step in (h, -2 * h, h):
        with torch.no_grad():
            for tensor, direction in zip(tensors, directions, strict=True):
                tensor += step * direction
        if step != h or not values:
            values.append(float(loss(torch.as_tensor(dense(rnn, x, lengths)))))
    return (values[0] - values[1]) / (2 * h)


def case(seed: int, folder: Path) -> str | None:
    """Compare one random network; return what differs."""
    draw = Random(seed)
    torch.manual_seed(seed)
    rnn = network(draw)
    steps, batch = draw.randint(1, 3), draw.randint(1, 2)
    x = torch.randn(steps, batch, rnn.cell.input_size, dtype=DOUBLE)
    lengths = None
    if steps > 1 and draw.random() < 0.3:
        lengths = torch.tensor([draw.randint(1, steps) for _ in range(batch)])
    expected = dense(rnn, x, lengths)
    directions = [torch.randn_like(one) for one in (x, *rnn.parameters())]
    exact = slope(rnn, x, lengths, directions)
    others = [
        None,
        None,
        ("default.qubit", {}),
        ("lightning.qubit", {}),
        ("default.mixed", {}),
        ("default.qubit", {"strategy": "replayed"}),
    ]
    second = draw.choice(others)
    for device in [("fused", {}), *([second] if second else [])]:
        there = rnn.on(device[0], **device[1])
        given = x.clone().requires_grad_()
        z, _ = there(given, lengths=lengths)
        if not np.allclose(z.detach(), expected, rtol=0, atol=1e-9):
            return f"{device}: z is {np.abs(z.detach().numpy() - expected).max():.1e} off"
        grads = torch.autograd.grad(
            loss(z), (given, *there.parameters()), allow_unused=True, materialize_grads=True
        )
        got = sum(float((g * d).sum()) for g, d in zip(grads, directions, strict=True))
        if abs(got - exact) > 1e-6 * (
            1
            + sum(float((g.abs() * d.abs()).sum()) for g, d in zip(grads, directions, strict=True))
        ):
            return f"{device}: the slope is {got:.9f}, by finite differences {exact:.9f}"
    return single(rnn, x, lengths)


def single(rnn: QRNN, x: torch.Tensor, lengths: torch.Tensor | None) -> str | None:
    """Compare float32: whole sequences, in values and gradients, and one step after the other."""
    rnn, x = rnn.to(torch.float32), x.to(torch.float32)
    expected = dense(rnn, x, lengths)
    given = x.clone().requires_grad_()
    whole, _ = rnn(given, lengths=lengths)
    grads = torch.autograd.grad(
        loss(whole), (given, *rnn.parameters()), allow_unused=True, materialize_grads=True
    )
    state, stepwise = None, []
    given_too = x.clone().requires_grad_()
    for t in range(len(x)):
        active = None if lengths is None else lengths > t
        z, state = rnn.cell(given_too[t], state, active)
        stepwise.append(z if active is None else z * active[:, None])
    z = torch.stack(stepwise)
    for name, values in (("whole", whole), ("stepwise", z)):
        worst = np.abs(values.detach().numpy() - expected).max()
        if not worst < 3e-4:
            return f"fused in float32, {name}: z is {worst:.1e} off"
    again = torch.autograd.grad(
        loss(z), (given_too, *rnn.parameters()), allow_unused=True, materialize_grads=True
    )
    worst = max(
        float((a - b).abs().max() / (1 + b.abs().max())) for a, b in zip(grads, again, strict=True)
    )
    return None if worst < 1e-3 else f"fused in float32: whole and stepwise differ by {worst:.1e}"


FUZZ = Fuzz("circuits", 1000, case)
