"""`state[rows]`: states of some sequences; values and gradients are those of running them alone."""

import numpy as np
import pytest
import torch

from helpers import reference
from helpers.problems import D, Twin, gradients, inputs, network
from qrnn import ConfigError
from qrnn.cell.state import CellState
from qrnn.networks.classical import Classical
from qrnn.neurons import QuantumNeuronRNN

DOUBLE = torch.float64
ROWS = [3, 0, 3, 1]

# What carries the state.
STRATEGIES = {
    "fused": {"device": "fused"},
    "carried": {"device": "default.qubit"},
    "carried on lightning": {"device": "lightning.qubit"},
    "carried densities": {"device": "default.mixed"},
    "replayed": {"device": "default.qubit", "strategy": "replayed"},
    "density matrices": {"device": "fused", "noise": "depolarizing", "strength": 0.05},
    "trajectories": {
        "device": "fused",
        "noise": "depolarizing",
        "strength": 0.05,
        "trajectories": 20,
        "seed": 3,
    },
}
EXACT = [one for one in STRATEGIES if one != "trajectories"]
FAST = ["fused", "carried", "replayed", "density matrices"]
LAYOUTS = {"one layer": {}, "two layers, both directions": {"num_layers": 2, "bidirectional": True}}


def on(strategy, dtype=torch.float32, **options):
    options = {"n_qubits": 2, "num_layers": 1, **options}
    chosen = dict(STRATEGIES[strategy])
    return network(dtype=dtype, **options).on(chosen.pop("device"), **chosen)


def indexed(rnn, x, later):
    """Return a loss on steps of some rows after steps of all, by a state that is indexed."""
    z, state = rnn(x)
    rest, last = rnn(later, state[ROWS])
    return z[-1].square().sum() + (rest * rest.cumsum(0)).sum() + last.z[0].prod()


def alone(rnn, x, later):
    """Return the same loss, the chosen rows run alone, without an indexed state."""
    z, _ = rnn(x)
    total = z[-1].square().sum()
    for k, row in enumerate(ROWS):
        _, state = rnn(x[:, row : row + 1])
        rest, last = rnn(later[:, k : k + 1], state)
        total = total + (rest * rest.cumsum(0)).sum()
        if k == 0:
            total = total + last.z[0].prod()
    return total


@pytest.mark.parametrize(
    ("strategy", "layout"),
    [
        *((one, "one layer") for one in EXACT),
        *((one, "two layers, both directions") for one in FAST),
    ],
)
def test_values_and_gradients_are_those_of_the_rows_alone_on_default_qubit(strategy, layout):
    rnn = on(strategy, DOUBLE, **LAYOUTS[layout])
    other = "default.mixed" if strategy == "density matrices" else "default.qubit"
    noise = {"noise": "depolarizing", "strength": 0.05} if strategy == "density matrices" else {}
    x, later = inputs(2, 5, DOUBLE), inputs(3, 4, DOUBLE)
    mine = gradients(rnn, indexed, x, later)
    theirs = gradients(rnn.on(other, **noise), alone, x, later)
    for name, grad in theirs.items():
        torch.testing.assert_close(mine[name], grad, rtol=1e-5, atol=1e-8, msg=name)
    assert (mine["input 0"][:, 4] != 0).any()  # it is not chosen, but read


# n, B and rows: 16 sequences share a block, and less than 4 of 12 qubits are spread over the lanes.
KERNELS = {
    "a part of a block": (2, 4, [3, 0]),
    "of two blocks": (2, 20, [*range(19, -1, -3), 19]),
    "more than a block": (2, 3, [0, 2, 1] * 6),
    "spread from then on": (12, 4, [3, 1]),
    "no longer spread": (12, 3, [2, 0, 0, 1, 2]),
}


@pytest.mark.parametrize("controller", ["in the kernels", "custom"])
@pytest.mark.parametrize("case", KERNELS)
def test_the_kernels_go_on_in_any_layout_as_the_dense_reference(case, controller):
    n, batch, rows = KERNELS[case]
    custom = {} if controller != "custom" else {"controller": Twin(D + n, 2 * n)}
    rnn, x = network(n_qubits=n, layers=1, readout="Z", **custom), inputs(3, batch)
    if n == 2:
        z = torch.as_tensor(reference.run(rnn.cell, x[:, rows])[0]).float()
    else:
        z, _ = rnn.on("default.qubit")(x[:, rows])
    _, state = rnn(x[:2])
    rest, last = rnn(x[2:, rows], state[rows])
    torch.testing.assert_close(rest, z[2:], rtol=0, atol=1e-5)
    norms = last.amplitudes().abs().square().sum(1)
    torch.testing.assert_close(norms, torch.ones(len(rows)), rtol=0, atol=1e-5)


def test_a_trajectory_keeps_the_errors_that_its_sequence_draws():
    x, later = inputs(2, 5, DOUBLE), inputs(3, 4, DOUBLE)

    def kept(rnn, x, later):
        """Run all rows on, and read those that are chosen."""
        z, state = rnn(x)
        total = z[-1].square().sum()
        for k, row in enumerate(ROWS):
            all_of_it = torch.stack([later[:, k]] * 5, 1)
            rest, last = rnn(all_of_it, state)
            rest = rest[:, row]
            total = total + (rest * rest.cumsum(0)).sum()
            if k == 0:
                total = total + last.z[row].prod()
        return total

    mine = gradients(on("trajectories", DOUBLE), indexed, x, later)
    theirs = gradients(on("trajectories", DOUBLE), kept, x, later)
    for name, grad in theirs.items():
        torch.testing.assert_close(mine[name], grad, rtol=1e-6, atol=1e-9, msg=name)


def test_states_in_several_groups_of_trajectories_are_chosen_from_all(monkeypatch):
    monkeypatch.setattr("qrnn.memory.fused_trajectories.GROUP", 1)
    rnn = on("trajectories")
    x = inputs(3, 5)
    with torch.no_grad():
        _, state = rnn(x[:2])
        assert len(state.carried.pure) > 3
        whole, _ = rnn(x[2:], state)
        some, last = rnn(x[2:, [4, 1]], state[[4, 1]])
    torch.testing.assert_close(some, whole[:, [4, 1]], rtol=0, atol=1e-6)
    assert last.carried.standard_error.shape == (2, 6)


@pytest.mark.parametrize("strategy", EXACT)
def test_a_state_is_unchanged_by_what_is_taken_from_it(strategy):
    # The reversible backward pass undoes psi: of the state, and of its rows.
    rnn, x = on(strategy, DOUBLE), inputs(4, 3, DOUBLE)

    def branches(rnn, x, order):
        _, state = rnn(x[:2])
        taken = state[[2, 0]]
        calls = {
            "all": lambda: rnn(x[2:], state)[0][-1].square().sum(),
            "some": lambda: rnn(x[2:, [2, 0]], taken)[0][-1].prod(1).sum(),
            "again": lambda: rnn(x[2:, :1], taken[1:])[0].sum(),
        }
        return sum(calls[name]() for name in order)

    first = gradients(rnn, lambda r, x: branches(r, x, ["all", "some", "again"]), x)
    parts = [
        gradients(rnn, lambda r, x, k=k: branches(r, x, [k]), x) for k in ("some", "all", "again")
    ]
    for name, grad in first.items():
        total = sum(part[name] for part in parts)
        torch.testing.assert_close(grad, total, rtol=1e-6, atol=1e-9, msg=name)


def test_rows_are_chosen_in_every_way_of_torch():
    rnn, x = network(), inputs(2, 5)
    _, state = rnn(x)
    mask = torch.tensor([True, False, True, False, True])
    ways = [
        slice(None, None, 2),
        [0, 2, 4],
        (0, 2, -1),
        torch.tensor([0, 2, 4]),
        torch.tensor([0, 2, 4], dtype=torch.int32),
        mask,
        mask.tolist(),
        np.array([0, 2, 4]),
        range(0, 5, 2),
    ]
    for rows in ways:
        chosen = state[rows]
        torch.testing.assert_close(chosen.z, state.z[mask], rtol=0, atol=0)
        torch.testing.assert_close(chosen.amplitudes(), state.amplitudes()[mask], rtol=0, atol=0)
        assert chosen.step == 2
    torch.testing.assert_close(state[::-1].z, state.z.flip(0), rtol=0, atol=0)
    assert state[[1, 1, 1]].detach().z.shape == (3, 9)


WRONG = {
    "one": (1, r"rows must be a slice.*got 1: \[\[1\]\] is one sequence; .*state.z"),
    "none": ([], "rows must choose at least one of 3 sequences, got none"),
    "an empty mask": (torch.zeros(3) > 0, "rows must choose at least one of 3 sequences"),
    "an empty slice": (slice(3, 3), "rows must choose at least one of 3 sequences"),
    "a short mask": ([True, False], r"a mask of rows must have shape \(3,\), got \(2,\)"),
    "beyond the end": ([0, 3], r"rows must be in -3..2, got \[0, 3\]"),
    "before the start": ([-4], r"rows must be in -3..2, got \[-4\]"),
    "fractions": ([0.5], r"rows must be a slice.*got torch.float32 of shape \(1,\)"),
    "two axes": ([[0, 1]], r"rows must be a slice.*got torch.int64 of shape \(1, 2\)"),
    "bytes": (torch.tensor([1, 0, 1], dtype=torch.uint8), "torch.uint8: use .bool"),
    "a name": ("all", "rows must be a slice.*got 'all'"),
    "a slice of names": (slice("a", None), "rows must be a slice.*got slice"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("layers", [1, 2])
def test_rows_that_do_not_exist_are_refused(case, layers):
    rows, message = WRONG[case]
    _, state = network(num_layers=layers)(inputs())
    with pytest.raises(ConfigError, match=message) as caught:
        state[rows]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_the_states_of_the_baselines_have_rows_too(kind):
    network, x = Classical(kind, D, 3, num_layers=2), inputs(3, 4).transpose(0, 1)
    _, state = network(x[:, :2])
    some, _ = network(x[[2, 0], 2:], state[[2, 0]])
    torch.testing.assert_close(some, network(x)[0][[2, 0], 2:])


@pytest.mark.parametrize("device", ["fused", "default.qubit"])
def test_quantum_neurons_have_rows_too(device):
    rnn = QuantumNeuronRNN(1, 1, order=1, device=device)
    x, y = torch.tensor([[0, 1, 1], [1, 1, 0]]), torch.tensor([[1, 1, 0], [0, 1, 0]])
    log_p, _ = rnn(x, y)
    _, state = rnn(x[:1], y[:1])
    assert isinstance(state, CellState)
    some, _ = rnn(x[1:, [2, 0]], y[1:, [2, 0]], state[[2, 0]])
    torch.testing.assert_close(some, log_p[1:, [2, 0]])
