"""An ablation: the circuit is replaced by an orthogonal matrix and plane rotations.

Everything else is as in the hybrid cell: a state of the same size and norm, the same controller and
feedback of the same readouts. So the comparison isolates the effect of the circuit's structure.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import nn
from typing_extensions import override

from qrnn.cell.state import CellState
from qrnn.circuit.observables import pauli_words
from qrnn.config.models import OrthogonalConfig
from qrnn.controllers import Controller
from qrnn.devices import DeviceOptions
from qrnn.errors import ConfigError
from qrnn.networks.layers import Layers, StepCell
from qrnn.networks.scornn import Cayley
from qrnn.utils.checks import flag, whole
from qrnn.utils.limits import check_memory


class OrthogonalCell(StepCell):
    """A cell whose hidden state is a real unit vector, updated by an orthogonal map.

        theta_t = controller([x_t ; z_(t-1)])      (P,)  radians
        s_t     = W G(theta_t) s_(t-1)             (N,)  N = 2^(n+1)
        z_t,r   = sum_k sigma_rk (v_k . s_t)^2     (R,)  in [-1, 1]

    with s_0 = (1, 0, ..., 0) and z_0 its readouts. G(theta) rotates N/2 disjoint planes (entries i
    and i + N/2), plane i by angle i modulo P, like a qubit rotation, which rotates many planes by
    one angle. W is orthogonal (`qrnn.networks.scornn.Cayley`, with a dense random initial value)
    and replaces the entanglers. With psi = s[:N/2] + i s[N/2:], the readouts are the Pauli
    expectation values of n qubits: v_k are the eigenvectors of a letter on all qubits, sigma the
    eigenvalues.

    Args:
        input_size: number of input features D.
        n_qubits: number of emulated qubits n.
        n_angles: number of angles P; None: the smaller of 4n and 2^n.
        readout: letters of XYZ; R = n times their number.
        learned: whether W is learned.
        skew_lr: learning rate of W's parameter, relative to the other parameters.
        **controller: `kind`, `width`, `depth`, `dropout` of `qrnn.controllers.Controller`.

    Shape:
        x (T, B, D), z (T, B, R).

    Raises:
        ConfigError: a value is out of range.
    """

    bases: torch.Tensor
    signs: torch.Tensor
    turned_by: torch.Tensor

    def __init__(
        self,
        input_size: int,
        n_qubits: int,
        n_angles: int | None = None,
        readout: str = OrthogonalConfig.readout,
        learned: bool = OrthogonalConfig.learned,
        skew_lr: float = OrthogonalConfig.skew_lr,
        **controller,
    ):
        n_planes = 2 ** whole("n_qubits", n_qubits, 1, 14)
        # W with the workspace of its linear solve, and the readout bases in double precision.
        check_memory("the model", 100 * n_planes**2, f"lower model.n_qubits={n_qubits}")
        super().__init__(input_size, len(pauli_words(readout, n_qubits, ())))
        n_angles = min(4 * n_qubits, n_planes) if n_angles is None else n_angles
        n_angles = whole("n_angles", n_angles)
        if not 1 <= n_angles <= n_planes:
            raise ConfigError(f"n_angles must be in 1..2^n = {n_planes}, got {n_angles}")
        self.controller = Controller(input_size, self.n_readouts, n_angles, **controller)
        self.mix = Cayley(2 * n_planes, skew_lr=skew_lr)
        nn.init.normal_(self.mix.skew, std=(2 * n_planes) ** -0.5)
        self.mix.skew.requires_grad_(flag("learned", learned))
        self.register_buffer("turned_by", torch.arange(n_planes) % n_angles, persistent=False)
        bases, signs = zip(*(pauli_basis(letter, n_qubits) for letter in readout), strict=True)
        self.register_buffer("bases", torch.cat(bases, 1), persistent=False)
        self.register_buffer("signs", torch.block_diag(*signs), persistent=False)

    @override
    def start(self, batch: int, like: torch.Tensor) -> CellState:
        """The state carries s (B, N)."""
        s = like.new_zeros(batch, self.mix.n)
        s[:, 0] = 1
        return CellState(self.read(s), (s,))

    def read(self, s: torch.Tensor) -> torch.Tensor:
        """Return z (B, R) of s (B, N)."""
        return (s @ self.bases).square() @ self.signs

    @override
    def prepare(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """W is shared."""
        return x, self.mix()

    @override
    def step(self, x: torch.Tensor, state: CellState, shared: torch.Tensor) -> CellState:
        theta = self.controller(torch.cat([x, state.z], 1))[:, self.turned_by]
        cos, sin = theta.cos(), theta.sin()
        a, b = state.carried[0].chunk(2, 1)
        s = torch.cat([cos * a - sin * b, sin * a + cos * b], 1) @ shared.T
        return CellState(self.read(s), (s,))


def pauli_basis(letter: str, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the readouts of one letter on each of n qubits as squares in a fixed basis.

    Args:
        letter: X, Y or Z.
        n: number of qubits.

    Returns:
        V (N, N) and sigma (N, n) with z = (s V)^2 sigma. V's columns are orthogonal, scaled to
        entries 0, 1 and -1, which are exact in any precision; sigma includes the inverse scale.
    """
    one = {"X": [[1, 1], [1, -1]], "Y": [[1, -1j], [1, 1j]], "Z": [[1, 0], [0, 1]]}
    turn = torch.tensor(one[letter], dtype=torch.complex128)
    full = reduce(torch.kron, [turn] * n)  # psi in the letter's eigenbasis is full psi
    real = torch.cat([torch.cat([full.real, -full.imag], 1), torch.cat([full.imag, full.real], 1)])
    k = torch.arange(2 * 2**n)[:, None]  # the bits of k modulo 2^n, wire 0 first
    signs = 1 - 2 * (k >> torch.arange(n - 1, -1, -1) & 1)
    default = torch.get_default_dtype()
    return real.T.to(default), (signs / real[0].square().sum()).to(default)


def orthogonal(config: OrthogonalConfig, input_size: int, device: DeviceOptions) -> Layers:
    """Build the network of a configuration; it has no circuit, and ignores the device."""
    return Layers(
        lambda size: OrthogonalCell(
            size,
            config.n_qubits,
            config.n_angles,
            config.readout,
            config.learned,
            config.skew_lr,
            kind=config.controller,
            width=config.width,
            depth=config.depth,
            dropout=config.dropout,
        ),
        input_size,
        config,
    )
