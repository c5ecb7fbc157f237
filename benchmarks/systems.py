"""One recurrent cell in each simulator: the same circuit, controller, data and loss.

Each system has `gradients(x)`, which returns the loss and the gradient of each parameter. The
parameters of all quantum systems have the same names and shapes, so that they can share weights.
"""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from qrnn import QRNN

N_FEATURES = 8


def torchquantum() -> Any:
    """Return TorchQuantum.

    Its data sets import torchvision, whose wheel on PyPI requires CUDA's libraries. They are not
    used here, so an empty module replaces them.
    """
    sys.modules.setdefault("torchquantum.dataset", ModuleType("torchquantum.dataset"))
    import torchquantum
    import torchquantum.measurement

    return torchquantum


class Cell(nn.Module):
    """A cell whose gradients are torch's; subclasses implement `loss`."""

    def gradients(self, x: torch.Tensor) -> tuple[float, dict[str, torch.Tensor]]:
        """Return the loss and its gradients, for x (B, T, D)."""
        self.zero_grad()
        loss = self.loss(x)
        loss.backward()
        return loss.item(), {name: p.grad for name, p in self.named_parameters()}


class OurCell(Cell):
    """A QRNN on one of its devices."""

    def __init__(self, n_qubits: int, device: str):
        super().__init__()
        self.rnn = QRNN(N_FEATURES, n_qubits, device=device, batch_first=True)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean square of all readouts, for x (B, T, D)."""
        return self.rnn(x)[0].square().mean()


class TwinCell(Cell):
    """A cell with the parameters of a QRNN, and a simulator of its own."""

    def __init__(self, n_qubits: int):
        super().__init__()
        self.rnn = QRNN(N_FEATURES, n_qubits)
        self.n = n_qubits

    def angles(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the angles (B, P) of a step."""
        cell = self.rnn.cell
        return cell.quantum.bias + cell.controller(torch.cat([x, z], 1))

    def first_readouts(self, x: torch.Tensor) -> torch.Tensor:
        """Return the readouts of |0...0> (B, 3n)."""
        z = x.new_zeros(len(x), 3 * self.n)
        z[:, 2 * self.n :] = 1
        return z


class TorchQuantumCell(TwinCell):
    """The same cell in TorchQuantum, with its gates and expval, and autograd through time."""

    def __init__(self, n_qubits: int):
        super().__init__(n_qubits)
        # Angles in the order of the traced circuit: the gate, its wires, its angle or None.
        self.gates, angle = [], 0
        for gate in self.rnn.cell.circuit.gates:
            self.gates.append((gate.name.lower(), list(gate.wires), angle if gate.data else None))
            angle += len(gate.data)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean square of all readouts, for x (B, T, D)."""
        tq = torchquantum()
        batch, steps = x.shape[:2]
        device = tq.QuantumDevice(n_wires=self.n, bsz=batch, device=x.device)
        device.reset_states(batch)
        copy = tq.QuantumDevice(n_wires=self.n, bsz=batch, device=x.device)
        bases = [[kind() for _ in range(self.n)] for kind in (tq.PauliX, tq.PauliY, tq.PauliZ)]
        z, readouts = self.first_readouts(x), []
        for t in range(steps):
            theta = self.angles(x[:, t], z)
            for name, wires, angle in self.gates:
                gate = getattr(tq.functional, name)
                if angle is None:
                    gate(device, wires=wires)
                else:
                    gate(device, wires=wires, params=theta[:, angle])
            values = []
            for observables in bases:
                copy.states = device.states  # expval rotates its input state
                values.append(tq.measurement.expval(copy, list(range(self.n)), observables))
            z = torch.cat(values, 1).to(x.dtype)
            readouts.append(z)
        return torch.stack(readouts, 1).square().mean()


class GEMMCell(TwinCell):
    """The same cell by hand, as matrix products, compiled by torch, with autograd through time.

    A layer of RY is two real Kronecker products of half the qubits each, RZ and CZ are one phase,
    and the readouts come from the reduced density matrices of the two halves.
    """

    def __init__(self, n_qubits: int):
        super().__init__(n_qubits)
        tables = {f"pauli{i}": torch.tensor(m) for i, m in enumerate(pauli_tables(n_qubits))}
        tables |= {f"sign{i}": torch.tensor(m) for i, m in enumerate(sign_tables(n_qubits))}
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)
        self.step = torch.compile(self._step, dynamic=False)

    def _step(self, state: torch.Tensor, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return state (B, 2, A, C) and readouts; A and C: amplitudes of the two halves."""
        n, a, batch = self.n, self.n // 2, len(theta)
        sizes = 2**a, 2 ** (n - a)
        half = theta / 2
        cos, sin = half.cos(), half.sin()
        for first in (0, 2 * n):
            left = kron(torch, cos[:, first : first + a], sin[:, first : first + a])
            right = kron(torch, cos[:, first + a : first + n], sin[:, first + a : first + n])
            state = torch.bmm(state.reshape(batch, 2 * sizes[0], -1), right.transpose(1, 2))
            state = state.reshape(batch, 2, *sizes).transpose(1, 2).reshape(batch, sizes[0], -1)
            state = torch.bmm(left, state).reshape(batch, sizes[0], 2, -1).transpose(1, 2)
            f = half[:, first + n : first + n + a] @ self.sign0
            g = half[:, first + n + a : first + 2 * n] @ self.sign1
            phase = f[:, :, None] + g[:, None]
            re, im = phase.cos() * self.sign2, phase.sin() * self.sign2
            state = torch.stack(
                [state[:, 0] * re - state[:, 1] * im, state[:, 0] * im + state[:, 1] * re], 1
            )
        re, im = state[:, 0], state[:, 1]
        rows = torch.cat([re, im], 2)
        columns = state.reshape(batch, -1, sizes[1])
        turned = torch.cat([im, -re], 2), torch.cat([im, -re], 1)
        products = [
            torch.bmm(rows, rows.transpose(1, 2)),
            torch.bmm(columns.transpose(1, 2), columns),
            torch.bmm(turned[0], rows.transpose(1, 2)),
            torch.bmm(turned[1].transpose(1, 2), columns),
        ]
        ra, rb, ia, ib = (one.reshape(batch, -1) for one in products)
        tables = (self.pauli0, self.pauli3, self.pauli1, self.pauli4, self.pauli2, self.pauli5)
        pairs = zip((ra, rb, ia, ib, ra, rb), tables, strict=True)
        return state, torch.cat([one @ table for one, table in pairs], 1)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean square of all readouts, for x (B, T, D)."""
        a = self.n // 2
        state = x.new_zeros(len(x), 2, 2**a, 2 ** (self.n - a))
        state[:, 0, 0, 0] = 1
        z, readouts = self.first_readouts(x), []
        for t in range(x.shape[1]):
            state, z = self.step(state, self.angles(x[:, t], z))
            readouts.append(z)
        return torch.stack(readouts, 1).square().mean()


def kron(np: Any, cos: Any, sin: Any) -> Any:
    """Return the Kronecker product of RY of k qubits (B, 2^k, 2^k), from angles (B, k).

    Args:
        np: torch, or jax.numpy.
        cos: cosine of half the angles.
        sin: sine of half the angles.
    """
    product = None
    for c, s in zip(cos.T, sin.T, strict=True):
        one = np.stack([np.stack([c, -s], 1), np.stack([s, c], 1)], 1)
        if product is None:
            product = one
        else:
            size = 2 * product.shape[1]
            product = (product[:, :, None, :, None] * one[:, None, :, None, :]).reshape(
                len(c), size, size
            )
    return product


def pauli_tables(n: int) -> list[np.ndarray]:
    """Return X, Y, Z of each half's qubits: (4^k, k), to multiply reduced density matrices with.

    The matrix of Y is that of the imaginary part.
    """
    out = []
    for k in (n // 2, n - n // 2):
        for pauli in ([[0, 1], [1, 0]], [[0, -1], [1, 0]], [[1, 0], [0, -1]]):
            sign = -1 if pauli[0][1] == -1 else 1
            words = [
                sign * np.kron(np.kron(np.eye(2**q), pauli), np.eye(2 ** (k - 1 - q))).T
                for q in range(k)
            ]
            out.append(np.stack([word.ravel() for word in words], 1).astype(np.float32))
    return out


def sign_tables(n: int) -> list[np.ndarray]:
    """Return the signs of RZ on each half, (k, 2^k), and those of all CZ, (2^a, 2^(n-a))."""
    a = n // 2
    bits = (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1
    halves = [
        2.0 * ((np.arange(2**k)[:, None] >> np.arange(k)[::-1]) & 1).T - 1 for k in (a, n - a)
    ]
    cz = (-1.0) ** (bits[:, :-1] * bits[:, 1:]).sum(1)
    return [table.astype(np.float32) for table in (*halves, cz.reshape(2**a, -1))]


class LSTM(Cell):
    """A torch LSTM with about the same number of parameters."""

    def __init__(self, parameters: int):
        super().__init__()
        width = 1
        while 4 * (width + 1) * (N_FEATURES + width + 3) <= parameters:
            width += 1
        self.rnn = nn.LSTM(N_FEATURES, width, batch_first=True)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean square of all hidden states, for x (B, T, D)."""
        return self.rnn(x)[0].square().mean()


QUANTUM = (
    "fused",
    "torch GEMM",
    "jax GEMM",
    "tensorcircuit",
    "torchquantum",
    "default.qubit",
    "lightning.qubit",
)
SYSTEMS = (*QUANTUM, "lstm")
TWINS = {"torchquantum": TorchQuantumCell, "torch GEMM": GEMMCell}


def build(system: str, n_qubits: int) -> Any:
    """Return a system with weights from seed 0."""
    torch.manual_seed(0)
    ours = OurCell(n_qubits, "fused")
    if system == "lstm":
        return LSTM(sum(p.numel() for p in ours.parameters()))
    if system in ("jax GEMM", "tensorcircuit"):
        from jax_systems import JAXCell

        return JAXCell(system, n_qubits, ours.state_dict())
    other = TWINS[system](n_qubits) if system in TWINS else OurCell(n_qubits, system)
    other.load_state_dict(ours.state_dict())
    return other


def data(batch: int, steps: int) -> torch.Tensor:
    """Return inputs (B, T, D) from seed 1."""
    return torch.randn(batch, steps, N_FEATURES, generator=torch.Generator().manual_seed(1))
