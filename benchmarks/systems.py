"""One recurrent cell in each simulator: the same circuit, controller, data and loss.

Each system is a module with `loss(x)`. The parameters of all quantum systems have the same names
and shapes, so that they can share weights.
"""

import sys
from types import ModuleType
from typing import Any

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


class OurCell(nn.Module):
    """A QRNN on one of its devices."""

    def __init__(self, n_qubits: int, device: str):
        super().__init__()
        self.rnn = QRNN(N_FEATURES, n_qubits, device=device, batch_first=True)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean square of all readouts, for x (B, T, D)."""
        return self.rnn(x)[0].square().mean()


class TorchQuantumCell(nn.Module):
    """The same cell in TorchQuantum, with its gates and expval, and autograd through time."""

    def __init__(self, n_qubits: int):
        super().__init__()
        twin = QRNN(N_FEATURES, n_qubits)
        self.rnn = nn.Module()
        self.rnn.cell = nn.Module()
        self.rnn.cell.controller = twin.cell.controller
        self.rnn.cell.quantum = nn.Module()
        self.rnn.cell.quantum.bias = nn.Parameter(twin.cell.quantum.bias.detach().clone())
        self.n = n_qubits
        # Angles in the order of the traced circuit: the gate, its wires, its angle or None.
        self.gates, angle = [], 0
        for gate in twin.cell.circuit.gates:
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
        z = x.new_zeros(batch, 3 * self.n)
        z[:, 2 * self.n :] = 1
        readouts = []
        cell = self.rnn.cell
        for t in range(steps):
            theta = cell.quantum.bias + cell.controller(torch.cat([x[:, t], z], 1))
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


class LSTM(nn.Module):
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


QUANTUM = ("fused", "default.qubit", "lightning.qubit", "torchquantum")
SYSTEMS = (*QUANTUM, "lstm")


def build(system: str, n_qubits: int) -> nn.Module:
    """Return a system with weights from seed 0."""
    torch.manual_seed(0)
    ours = OurCell(n_qubits, "fused")
    if system == "lstm":
        return LSTM(sum(p.numel() for p in ours.parameters()))
    other = TorchQuantumCell(n_qubits) if system == "torchquantum" else OurCell(n_qubits, system)
    other.load_state_dict(ours.state_dict())
    return other


def data(batch: int, steps: int) -> torch.Tensor:
    """Return inputs (B, T, D) from seed 1."""
    return torch.randn(batch, steps, N_FEATURES, generator=torch.Generator().manual_seed(1))
