"""A dense reference for the quantum-neuron cell: one matrix for each gate, no tricks.

Qubits: in/out first, then the workspace; qubit 0 is the most significant bit of an index.
"""

from itertools import combinations

import torch

from qrnn.neurons import QuantumNeuronCell

PI = torch.pi


def cell_of(w, io, stages=1, order=2, degree=3, spread=0.7, seed=5, **options):
    """Return a float64 cell whose weights are large enough to matter."""
    cell = QuantumNeuronCell(w, io, stages=stages, order=order, degree=degree, **options)
    generator = torch.Generator().manual_seed(seed)
    cell.double()
    with torch.no_grad():
        for p in cell.parameters():
            p.copy_(spread * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return cell


def tokens(io, steps, batch, seed=0):
    """Return inputs and targets (T, B)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2**io, (2, steps, batch), generator=generator).unbind()


def neuron(n, target, theta, phi, order, degree):
    """Return a neuron's matrix (2^n, 2^n), not unitary, bit string by bit string."""
    controls = [q for q in range(n) if q != target]
    subsets = [s for j in range(1, degree + 1) for s in combinations(controls, j)]
    entries = {}
    for index in range(2**n):
        bit = {q: index >> (n - 1 - q) & 1 for q in range(n)}
        eta = (PI / 2 + theta) / 2
        for i, subset in enumerate(subsets):
            if all(bit[q] for q in subset):
                eta = eta + phi[i] / 2
        c, q = torch.cos(eta) ** (2**order), torch.sin(eta) ** (2**order)
        flipped = index ^ (1 << (n - 1 - target))
        entries[index, index] = c
        entries[flipped, index] = -q if bit[target] else q
    return dense(n, entries)


def ry(n, target, angle):
    """Return RY on one qubit as a matrix (2^n, 2^n)."""
    entries = {}
    for index in range(2**n):
        one = index >> (n - 1 - target) & 1
        entries[index, index] = torch.cos(angle / 2)
        flipped = index ^ (1 << (n - 1 - target))
        entries[flipped, index] = (-1 if one else 1) * torch.sin(angle / 2)
    return dense(n, entries)


def dense(n, entries):
    rows, columns = torch.tensor(list(entries)).T
    values = torch.stack(list(entries.values()))
    return torch.zeros(2**n, 2**n, dtype=values.dtype).index_put((rows, columns), values)


def gates(cell):
    """Return a step's matrices between the flips, and behind them."""
    d = cell.definition
    n, w, io = d.workspace + d.in_out, d.workspace, d.in_out
    work, last, row = [], [], 0
    for stage in range(1 + d.stages):
        if stage:
            work += [ry(n, io + i, cell.rotation[stage - 1, i]) for i in range(w)]
        for target in range(io, n):
            work.append(neuron(n, target, cell.theta[row], cell.phi[row], d.order, d.degree))
            row += 1
    for target in range(io):
        last.append(neuron(n, target, cell.theta[row], cell.phi[row], d.order, d.degree))
        row += 1
    return work, last


def run(cell, x, targets, active=None):
    """Return p (T, B, 2^io), the share of shots kept (T, B) and psi (B, 2^w)."""
    d = cell.definition
    classes, w = 2**d.in_out, 2**d.workspace
    work, last = gates(cell)
    ps, shares, states = [], [], []
    for b in range(x.shape[1]):
        psi = torch.zeros(w, dtype=cell.theta.dtype)
        psi[0] = 1
        p, share = torch.full((classes,), 1 / classes, dtype=psi.dtype), torch.tensor(1.0).double()
        p_b, share_b = [], []
        for t in range(len(x)):
            if active is None or active[t, b]:
                full = torch.zeros(classes, w, dtype=psi.dtype)
                full = full.index_put((x[t, b][None],), psi[None]).flatten()
                for gate in work:
                    full = gate @ full
                back = torch.zeros(classes, w, dtype=psi.dtype)
                full = back.index_put((torch.tensor([0]),), full.reshape(classes, w)[x[t, b]][None])
                full = full.flatten()
                for gate in last:
                    full = gate @ full
                full = full.reshape(classes, w)
                norm = full.square().sum()
                p = full.square().sum(1) / norm
                reading = share * norm
                psi = full[targets[t, b]] / full[targets[t, b]].norm()
                share = reading * p[targets[t, b]]
            else:
                reading = torch.tensor(torch.nan)
            p_b.append(p)
            share_b.append(reading)
        ps.append(torch.stack(p_b))
        shares.append(torch.stack(share_b))
        states.append(psi)
    return torch.stack(ps, 1), torch.stack(shares, 1).detach(), torch.stack(states)


def gradients(cell, value):
    """Return the gradient of a scalar for all weights as one vector."""
    parts = torch.autograd.grad(value, list(cell.parameters()), allow_unused=True)
    zeros = [torch.zeros_like(p) for p in cell.parameters()]
    filled = [z if g is None else g for g, z in zip(parts, zeros, strict=True)]
    return torch.cat([g.flatten() for g in filled])


def assert_close(a, b, atol=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=atol, equal_nan=True)
