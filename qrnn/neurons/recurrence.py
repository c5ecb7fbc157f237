"""The recurrence over time: T steps of the transfer matrices as one autograd node.

At each step, sequences are sorted by input value, so that each value takes one matrix product.
"""

from __future__ import annotations

from math import isqrt
from typing import Any, NamedTuple

import torch
from typing_extensions import override

from qrnn.utils.autograd import once_differentiable

# Workspace states up to this total size are kept at every step, larger ones at every sqrt(T)-th.
KEEP_BYTES = 64 * 2**20


class Plan(NamedTuple):
    """For each step, the order of the sequences by input value.

    Attributes:
        order: (T, B) sequence indices, sorted by input value.
        hop: (T, B) position of each in the order of the step before; at the first step, its index.
        counts: number of sequences with each input value, for each step.
    """

    order: torch.Tensor
    hop: torch.Tensor
    counts: list[list[int]]

    def sort(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (T, B, ...) with each step's rows sorted by input value."""
        return rows.take_along_dim(self.order.reshape(*self.order.shape, *[1] * (rows.ndim - 2)), 1)

    def unsort(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (T, B, ...) with rows in the original order of the sequences."""
        back = self.order.argsort(1)
        return rows.take_along_dim(back.reshape(*back.shape, *[1] * (rows.ndim - 2)), 1)


def plan(x: torch.Tensor, values: int) -> Plan:
    """Return the plan for inputs x (T, B) of 0..values-1."""
    order = x.argsort(1)
    hop = torch.cat([order[:1], order[:-1].argsort(1).gather(1, order[1:])])
    steps = torch.arange(len(x), device=x.device)[:, None] * values
    counts = (x + steps).flatten().bincount(minlength=values * len(x))
    return Plan(order, hop, counts.reshape(-1, values).tolist())


def multiply_by_value(
    rows: torch.Tensor, matrices: torch.Tensor, counts: list[int], out: torch.Tensor
) -> torch.Tensor:
    """Multiply sorted rows (B, m) by their values' matrices (V, m, n), into `out` (B, n)."""
    first = 0
    for matrix, count in zip(matrices.unbind(), counts, strict=True):
        if count:
            part = slice(first, first + count)
            torch.mm(rows[part], matrix, out=out[part])
            first += count
    return out


def sample(weights: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Return outcomes (B,) for unnormalised weights (B, Y) and random numbers (B,) in [0, 1)."""
    reached = weights.cumsum(1)
    level = draws[:, None] * reached[:, -1:]
    return (reached <= level).sum(1).clamp_(max=weights.shape[1] - 1)


def projected(
    u: torch.Tensor, psi: torch.Tensor, outcome: torch.Tensor, active: torch.Tensor | None
) -> torch.Tensor:
    """Return the normalised block `outcome` (B,) of u (B, Y, W); psi for inactive sequences."""
    block = u[torch.arange(len(u), device=u.device), outcome]
    new = block / torch.linalg.vector_norm(block, dim=1, keepdim=True)
    return new if active is None else torch.where(active[:, None], new, psi)


class Recurrence(torch.autograd.Function):
    """T steps, of which only the normalised workspace states psi_t are kept.

    With u = A_v psi_t, psi_t is all that the backward pass needs: it gives |u_y|^2 and psi_(t+1).
    The steps cannot be undone like those of a unitary circuit: projecting in/out on the target
    discards amplitudes, and a neuron shrinks some by sqrt(c^2 + q^2), which can be as small as
    2^((1 - 2^k) / 2), so undoing it would amplify rounding errors by as much for each neuron. Long
    runs keep psi_t at every sqrt(T)-th step and recompute the steps between. States of in/out and
    workspace together, 2^io times as large, exist for only about sqrt(T) steps at a time.
    """

    @staticmethod
    def forward(ctx: Any, matrices, psi, x, targets, draws, active):
        """Run the steps.

        Args:
            ctx: torch's context.
            matrices: (V, W, Y, W), see `qrnn.neurons.transfer.Transfer`.
            psi: normalised workspace states (B, W).
            x: inputs (T, B) of 0..V-1.
            targets: outcomes to project on (T, B), or None.
            draws: random numbers (T, B) in [0, 1) that select the outcomes if targets is None.
            active: (T, B) bool, or None; inactive sequences keep their state.

        Returns:
            log p (T, B, Y); psi after the last step (B, W); the outcomes (T, B); and
            log |A_v psi|^2 (T, B), up to the matrices' scale, without gradient.
        """
        steps, batch = x.shape
        values, w, classes, _ = matrices.shape
        flat = matrices.flatten(2)
        todo = plan(x, values)
        drawn = None if draws is None else todo.sort(draws)
        outcomes = torch.empty_like(x) if targets is None else todo.sort(targets)
        moving = None if active is None else todo.sort(active)
        size = steps * psi.numel() * psi.element_size()
        every = 1 if size <= KEEP_BYTES else chunk_length(steps)
        kept = psi.new_empty(-(-steps // every), batch, w)
        u = psi.new_empty(batch, classes * w)
        weights = psi.new_empty(steps, batch, classes)
        for t in range(steps):
            psi = psi[todo.hop[t]]
            if t % every == 0:
                kept[t // every] = psi
            blocks = multiply_by_value(psi, flat, todo.counts[t], u).unflatten(1, (classes, w))
            torch.sum(blocks.square(), 2, out=weights[t])
            if drawn is not None:
                outcomes[t] = sample(weights[t], drawn[t])
            psi = projected(blocks, psi, outcomes[t], None if moving is None else moving[t])
        total = weights.sum(2)
        log_p = todo.unsort((weights / total[:, :, None]).log())
        last = torch.empty_like(psi)
        last[todo.order[-1]] = psi
        outcomes = todo.unsort(outcomes)
        ctx.save_for_backward(matrices, kept, x, outcomes, active)
        ctx.every = every
        log_norm = todo.unsort(total.log())
        ctx.mark_non_differentiable(outcomes, log_norm)
        return log_p, last, outcomes, log_norm

    @staticmethod
    @once_differentiable()
    @override
    def backward(ctx: Any, grad_log_p, grad_psi, *_):
        matrices, kept, x, outcomes, active = ctx.saved_tensors
        steps, batch = x.shape
        values, w, classes, _ = matrices.shape
        flat = matrices.flatten(2)
        transposed = flat.transpose(1, 2)
        grad_flat = torch.zeros_like(flat)
        todo = plan(x, values)
        inputs, targets = todo.sort(x), todo.sort(outcomes)
        moving = None if active is None else todo.sort(active)
        g = todo.sort(grad_log_p)
        back = grad_psi[todo.order[-1]]
        rows = torch.arange(batch, device=x.device)
        length = chunk_length(steps)
        for first in range((steps - 1) // length * length, -1, -length):
            part = slice(first, min(first + length, steps))
            if ctx.every == 1:
                psi = kept[part]
            else:
                psi = recompute(flat, kept[first // ctx.every], todo, targets, moving, part)
            # The part of the gradient that does not recur: all steps of the chunk at once.
            order = inputs[part].flatten().argsort()
            counts = [sum(column) for column in zip(*todo.counts[part], strict=True)]
            states = psi.flatten(0, 1)[order]
            sorted_u = multiply_by_value(
                states, flat, counts, states.new_empty(len(order), flat.shape[2])
            )
            u = torch.empty_like(sorted_u)
            u[order] = sorted_u
            u = u.reshape(-1, batch, classes, w)
            n = u.square().sum(3).clamp_(min=torch.finfo(u.dtype).tiny)
            slope = g[part] / n - (g[part].sum(2) / n.sum(2))[:, :, None]
            grad_u = 2 * u * slope[..., None]
            for t in range(part.stop - 1, first - 1, -1):
                i, y = t - first, targets[t]
                length_y = n[i, rows, y].sqrt()[:, None]
                new = u[i, rows, y] / length_y
                here = back if moving is None else back * moving[t][:, None]
                along = (new * here).sum(1, keepdim=True)
                grad_u[i, rows, y] += (here - new * along) / length_y
                grad = multiply_by_value(
                    grad_u[i].flatten(1), transposed, todo.counts[t], torch.empty_like(back)
                )
                if moving is not None:
                    grad += back * ~moving[t][:, None]
                back = torch.empty_like(grad)
                back[todo.hop[t]] = grad
            add_products(grad_flat, states, grad_u.flatten(0, 1).flatten(1)[order], counts)
        return grad_flat.reshape_as(matrices), back, None, None, None, None


def chunk_length(steps: int) -> int:
    """Return the number of steps per chunk, about sqrt(T)."""
    return max(1, isqrt(steps))


def recompute(flat, psi, todo: Plan, targets, moving, part: slice) -> torch.Tensor:
    """Recompute psi_t (steps, B, W) for some steps from the first one."""
    states = [psi]
    u = psi.new_empty(len(psi), flat.shape[2])
    for t in range(part.start, part.stop - 1):
        blocks = multiply_by_value(psi, flat, todo.counts[t], u).unflatten(1, (-1, psi.shape[1]))
        psi = projected(blocks, psi, targets[t], None if moving is None else moving[t])
        psi = psi[todo.hop[t + 1]]
        states.append(psi)
    return torch.stack(states)


def add_products(
    out: torch.Tensor, left: torch.Tensor, right: torch.Tensor, counts: list[int]
) -> None:
    """Add each value's product of sorted rows, left (B, m)^T right (B, n), to out (V, m, n)."""
    first = 0
    for value, count in enumerate(counts):
        part = slice(first, first + count)
        out[value].addmm_(left[part].T, right[part])
        first += count
