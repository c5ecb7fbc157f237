"""The cell of `systems.py` in JAX: by hand as matrix products, and in TensorCircuit-NG.

Both are one compiled function of a `scan` over the steps, with the gradients of `value_and_grad`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from systems import kron, pauli_tables, sign_tables

CELL = "rnn.cells.0"
BIAS, CONTROLLER = f"{CELL}.quantum.bias", f"{CELL}.controller"


class JAXCell:
    """A cell in JAX.

    Args:
        system: `jax GEMM` or `tensorcircuit`.
        n_qubits: number of qubits n.
        state: the state dict of the torch cell.
    """

    def __init__(self, system: str, n_qubits: int, state: dict[str, torch.Tensor]):
        self.names = [name for name in state if name.startswith((BIAS, CONTROLLER))]
        self.parameters = {name: jnp.asarray(state[name].numpy()) for name in self.names}
        make = gemm if system == "jax GEMM" else tensorcircuit
        step, start = make(n_qubits)

        def loss(parameters: dict[str, jax.Array], x: jax.Array) -> jax.Array:
            first, second = (
                [parameters[name] for name in sorted(self.names) if name != BIAS][i : i + 2]
                for i in (0, 2)
            )

            def body(carry: Any, x_t: jax.Array) -> tuple[Any, jax.Array]:
                psi, z = carry
                hidden = jnp.concatenate([x_t, z], 1) @ first[1].T + first[0]
                hidden = jax.nn.gelu(hidden, approximate=False)
                psi, z = step(psi, parameters[BIAS] + hidden @ second[1].T + second[0])
                return (psi, z), z

            z = jnp.zeros((len(x), 3 * n_qubits)).at[:, 2 * n_qubits :].set(1.0)
            _, readouts = jax.lax.scan(body, (start(len(x)), z), x.swapaxes(0, 1))
            return jnp.mean(readouts**2)

        self.compiled = jax.jit(jax.value_and_grad(loss))

    def gradients(self, x: torch.Tensor) -> tuple[float, dict[str, torch.Tensor]]:
        """Return the loss and its gradients, for x (B, T, D)."""
        loss, found = self.compiled(self.parameters, jnp.asarray(x.numpy()))
        return float(loss), {name: torch.tensor(np.asarray(g)) for name, g in found.items()}


def gemm(n: int) -> tuple[Callable, Callable]:
    """Return the step of `systems.GEMMCell`, and its first state."""
    a = n // 2
    sizes = 2**a, 2 ** (n - a)
    paulis = [jnp.asarray(table) for table in pauli_tables(n)]
    left_signs, right_signs, cz = (jnp.asarray(table) for table in sign_tables(n))

    def step(state: jax.Array, theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        batch, half = len(theta), theta / 2
        cos, sin = jnp.cos(half), jnp.sin(half)
        for first in (0, 2 * n):
            left = kron(jnp, cos[:, first : first + a], sin[:, first : first + a])
            right = kron(jnp, cos[:, first + a : first + n], sin[:, first + a : first + n])
            state = state.reshape(batch, 2 * sizes[0], -1) @ right.swapaxes(1, 2)
            state = state.reshape(batch, 2, *sizes).swapaxes(1, 2).reshape(batch, sizes[0], -1)
            state = (left @ state).reshape(batch, sizes[0], 2, -1).swapaxes(1, 2)
            f = half[:, first + n : first + n + a] @ left_signs
            g = half[:, first + n + a : first + 2 * n] @ right_signs
            phase = f[:, :, None] + g[:, None]
            re, im = jnp.cos(phase) * cz, jnp.sin(phase) * cz
            state = jnp.stack(
                [state[:, 0] * re - state[:, 1] * im, state[:, 0] * im + state[:, 1] * re], 1
            )
        re, im = state[:, 0], state[:, 1]
        rows = jnp.concatenate([re, im], 2)
        columns = state.reshape(batch, -1, sizes[1])
        products = [
            rows @ rows.swapaxes(1, 2),
            columns.swapaxes(1, 2) @ columns,
            jnp.concatenate([im, -re], 2) @ rows.swapaxes(1, 2),
            jnp.concatenate([im, -re], 1).swapaxes(1, 2) @ columns,
        ]
        ra, rb, ia, ib = (one.reshape(batch, -1) for one in products)
        order = zip((ra, rb, ia, ib, ra, rb), (0, 3, 1, 4, 2, 5), strict=True)
        return state, jnp.concatenate([one @ paulis[i] for one, i in order], 1)

    return step, lambda batch: jnp.zeros((batch, 2, *sizes)).at[:, 0, 0, 0].set(1.0)


def tensorcircuit(n: int) -> tuple[Callable, Callable]:
    """Return the step in TensorCircuit-NG, with `vmap` over the batch, and its first state."""
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype("complex64")

    def one(psi: jax.Array, theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        circuit = tc.Circuit(n, inputs=psi)
        for first in (0, 2 * n):
            for q in range(n):
                circuit.ry(q, theta=theta[first + q])
            for q in range(n):
                circuit.rz(q, theta=theta[first + n + q])
            for q in range(n - 1):
                circuit.cz(q, q + 1)
        psi = circuit.state()
        read = tc.Circuit(n, inputs=psi)
        values = [read.expectation_ps(**{axis: [q]}) for axis in "xyz" for q in range(n)]
        return psi, jnp.real(jnp.stack(values))

    def start(batch: int) -> jax.Array:
        return jnp.zeros((batch, 2**n), jnp.complex64).at[:, 0].set(1.0)

    return jax.vmap(one), start
