"""The quantum-neuron cell as a user meets it: states, padding, samples, errors."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from helpers.neuron_reference import assert_close, cell_of, gradients, run, tokens
from qrnn.errors import ConfigError
from qrnn.neurons import QuantumNeuronCell, QuantumNeuronRNN

SIZES = st.fixed_dictionaries(
    {
        "w": st.integers(1, 3),
        "io": st.integers(1, 3),
        "stages": st.integers(0, 2),
        "order": st.integers(1, 3),
        "degree": st.integers(1, 4),
        "seed": st.integers(0, 1000),
    }
)
SHAPE = st.tuples(st.integers(1, 6), st.integers(1, 5))


def problem(sizes, shape):
    cell = cell_of(**sizes)
    x, targets = tokens(sizes["io"], *shape, seed=sizes["seed"] + 1)
    return cell, x, targets


@given(SIZES, SHAPE, st.booleans())
def test_probabilities_sum_to_one_and_the_state_stays_normalised(sizes, shape, sampled):
    cell, x, targets = problem(sizes, shape)
    log_p, state = cell.sequence(x, targets=None if sampled else targets)
    assert_close(log_p.exp().sum(2), torch.ones(*shape).double())
    assert_close(state.carried[0].norm(dim=1), torch.ones(shape[1]).double())
    assert (cell.kept > 0).all()
    assert (cell.kept <= 1 + 1e-12).all()
    assert torch.equal(state.z, log_p[-1])


@given(SIZES, SHAPE, st.integers(0, 1000))
def test_a_sequence_does_not_depend_on_its_batch(sizes, shape, seed):
    cell, x, targets = problem(sizes, shape)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(shape[1], (1 + seed % 4,), generator=generator)
    whole, state = cell.sequence(x, targets=targets)
    part, state_of_part = cell.sequence(x[:, chosen], targets=targets[:, chosen])
    assert_close(part, whole[:, chosen])
    assert_close(state_of_part.carried[0], state.carried[0][chosen])
    assert_close(state_of_part.carried[1], state.carried[1][chosen])


@given(SIZES, SHAPE, st.booleans(), st.data())
def test_a_sequence_cut_in_two_is_the_sequence(sizes, shape, sampled, data):
    cell, x, targets = problem(sizes, (shape[0] + 1, shape[1]))
    active = torch.rand(x.shape, generator=torch.Generator().manual_seed(sizes["seed"])) < 0.7
    cut = data.draw(st.integers(1, shape[0]))

    def advance(part, state, generator):
        wanted = None if sampled else targets[part]
        log_p, state = cell.sequence(x[part], state, active[part], wanted, generator)
        return log_p, state, cell.kept, cell.outcomes

    one = torch.Generator().manual_seed(1)
    two = torch.Generator().manual_seed(1)
    whole, last, kept, outcomes = advance(slice(None), None, one)
    a, state, kept_a, outcomes_a = advance(slice(None, cut), None, two)
    b, state, kept_b, outcomes_b = advance(slice(cut, None), state, two)
    assert_close(torch.cat([a, b]), whole)
    torch.testing.assert_close(torch.cat([kept_a, kept_b]), kept, equal_nan=True)
    assert torch.equal(torch.cat([outcomes_a, outcomes_b])[active], outcomes[active])
    assert_close(state.carried[0], last.carried[0])


@given(SIZES, SHAPE, st.data())
def test_padding_does_not_reach_the_state(sizes, shape, data):
    cell, x, targets = problem(sizes, shape)
    steps, batch = shape
    lengths = data.draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch))
    rnn = QuantumNeuronRNN(1, 1)
    rnn.cell = cell
    padding = torch.arange(steps)[:, None] >= torch.tensor(lengths)
    log_p, state = rnn(
        x.masked_fill(padding, 99), targets.masked_fill(padding, -7), lengths=lengths
    )
    assert (log_p[padding] == 0).all()
    for b, length in enumerate(lengths):
        alone, last = cell.sequence(x[:length, b : b + 1], targets=targets[:length, b : b + 1])
        assert_close(log_p[:length, b], alone[:, 0])
        assert_close(state.carried[0][b], last.carried[0][0])
        assert_close(state.z[b], alone[-1, 0])


def test_a_sequence_that_is_not_active_keeps_state_and_log_p():
    cell = cell_of(2, 2)
    x, targets = tokens(2, 4, 2)
    active = torch.tensor([[0, 1], [1, 0], [0, 0], [1, 1]]).bool()
    log_p, _ = cell.sequence(x, None, active, targets)
    assert torch.equal(cell.kept.isnan(), ~active)
    alone, _ = cell.sequence(x[[1, 3], :1], targets=targets[[1, 3], :1])
    assert_close(log_p[0, 0].exp(), torch.full((4,), 0.25).double())  # nothing is known yet
    assert_close(log_p[[1, 2, 3], 0], alone[[0, 0, 1], 0])


@pytest.mark.parametrize("sampled", [False, True])
def test_steps_are_the_sequence(sampled):
    cell = cell_of(2, 2)
    x, targets = tokens(2, 5, 3)
    active = torch.rand(5, 3) < 0.6
    one, two = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    whole, _ = cell.sequence(x, None, active, None if sampled else targets, one)
    state, out = None, []
    for t in range(5):
        z, state = cell(x[t], state, active[t], None if sampled else targets[t], two)
        out.append(z)
    assert_close(torch.stack(out), whole)


def test_samples_follow_p_and_the_state_follows_the_samples():
    cell, batch = cell_of(2, 2, order=1, spread=0.2), 4000
    x = torch.tensor([1, 3, 0])[:, None].expand(3, batch)
    log_p, state = cell.sequence(x, generator=torch.Generator().manual_seed(1))
    drawn = cell.outcomes
    for t in range(3):
        p = log_p[t].exp()
        share = torch.nn.functional.one_hot(drawn[t], 4).double()
        error = ((p * (1 - p)).mean(0) / batch).sqrt()
        assert ((share - p).mean(0).abs() < 5 * error).all()
        assert (share.mean(0) > 0.01).all()  # each outcome was drawn
    given_p, given_state = cell.sequence(x, targets=drawn)
    assert_close(given_p, log_p)
    assert_close(given_state.carried[0], state.carried[0])


def test_the_generator_chooses_the_samples():
    cell = cell_of(2, 2)
    x = torch.randint(4, (6, 20))
    cell.sequence(x, generator=torch.Generator().manual_seed(1))
    first = cell.outcomes
    cell.sequence(x, generator=torch.Generator().manual_seed(1))
    assert torch.equal(cell.outcomes, first)
    cell.sequence(x, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(cell.outcomes, first)


def test_the_first_wire_is_the_most_significant_bit():
    cell = cell_of(1, 2, stages=0, order=1, degree=1)
    with torch.no_grad():
        for p in cell.parameters():
            p.zero_()
        cell.theta[:] = -torch.pi / 2  # eta = 0: a neuron that does nothing
        cell.theta[0] = torch.pi / 2  # eta = pi/2: the workspace turns to 1 ...
        cell.phi[0, 0] = -torch.pi  # ... unless control 0, the first in/out wire, is 1
        cell.phi[2, 1] = torch.pi  # output neuron 1 (wire 1) copies the workspace
    x = torch.tensor([[0, 1, 2, 3]])
    log_p, _ = cell.sequence(x, targets=torch.tensor([[1, 1, 0, 0]]))
    assert_close(log_p.exp()[0], torch.eye(4)[[1, 1, 0, 0]].double())


def test_batch_first_one_sequence_and_packed_are_the_same():
    rnn = QuantumNeuronRNN(2, 2, batch_first=True)
    assert rnn.output_size == 4
    x, targets = torch.randint(4, (2, 3, 5))
    log_p, _ = rnn(x, targets)
    assert log_p.shape == (3, 5, 4)
    plain, _ = rnn.cell.sequence(x.T, targets=targets.T)
    assert_close(log_p, plain.transpose(0, 1))
    one, _ = rnn(x[0], targets[0])
    assert_close(one, log_p[0], atol=1e-6)
    lengths = [2, 5, 3]
    packed, last = rnn(
        *(pack_sequence([v[b, :n] for b, n in enumerate(lengths)], False) for v in (x, targets))
    )
    padded, expected_last = rnn(x, targets, lengths=torch.tensor(lengths))
    assert_close(last.z, expected_last.z, atol=1e-6)
    assert_close(last.carried[0], expected_last.carried[0], atol=1e-6)
    expected = pack_sequence([padded[b, :n] for b, n in enumerate(lengths)], False)
    assert_close(packed.data, expected.data)


def test_the_cell_learns_a_cycle():
    torch.manual_seed(2)
    rnn = QuantumNeuronRNN(3, 2, order=2, degree=2)
    stream = torch.arange(13)[:, None] % 4
    optimizer = torch.optim.Adam(rnn.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        log_p, _ = rnn(stream[:-1], stream[1:])
        loss = torch.nn.functional.nll_loss(log_p.flatten(0, 1), stream[1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 < 1 < losses[0]


def test_wrong_tokens_shapes_and_states_are_refused():
    cell = QuantumNeuronCell(2, 1)
    x = torch.zeros(3, 2, dtype=torch.long)
    with pytest.raises(ConfigError, match=r"x must have shape \(T, B\).*got \(3,\)"):
        cell.sequence(x[:, 0])
    with pytest.raises(ConfigError, match=r"x must have shape \(T, B\), at least"):
        cell.sequence(x[:0])
    with pytest.raises(ConfigError, match=r"x must have shape \(B,\)"):
        cell(x)
    with pytest.raises(ConfigError, match=r"targets must have shape \(3, 2\)"):
        cell.sequence(x, targets=x[:2])
    with pytest.raises(ConfigError, match=r"x must be integers .* got torch.int64 of 0\.\.2"):
        cell.sequence(x + torch.tensor([2, 0]))
    with pytest.raises(ConfigError, match=r"targets must be integers .* of -1\.\.-1"):
        cell.sequence(x, targets=x - 1)
    with pytest.raises(ConfigError, match=r"x must be integers .* got torch.float32"):
        cell.sequence(x.float())
    with pytest.raises(ConfigError, match=r"active must have the shape \(3, 2\)"):
        cell.sequence(x, active=torch.ones(2, 2).bool())
    _, state = cell.sequence(x)
    others = (
        cell.sequence(x[:, :1])[1],
        QuantumNeuronCell(3, 1).start(2),
        QuantumNeuronCell(2, 1).double().start(2),
    )
    for other in others:
        with pytest.raises(ConfigError, match="state must be from this cell's last call"):
            cell.sequence(x, other)
    with pytest.raises(ConfigError, match="state must be from this cell's last call"):
        cell.on("default.qubit").sequence(x, state)
    rnn = QuantumNeuronRNN(2, 1)
    with pytest.raises(ConfigError, match="targets must have the shape"):
        rnn(x, x[:2])
    with pytest.raises(ConfigError, match="PackedSequence if, and only if, x is one"):
        rnn(x, pack_sequence([x[:, 0]]))
    with pytest.raises(ConfigError, match="lengths must be 2 whole numbers"):
        rnn(x, x, lengths=[1, 4])


def test_weights_travel_by_state_dict_and_precision_by_to():
    cell, other = QuantumNeuronCell(2, 2), QuantumNeuronCell(2, 2)
    other.load_state_dict(cell.state_dict())
    x, targets = tokens(2, 4, 3)
    assert_close(other.sequence(x, targets=targets)[0], cell.sequence(x, targets=targets)[0])
    double = cell.double().sequence(x, targets=targets)[0]
    assert double.dtype == torch.float64
    assert_close(other.sequence(x, targets=targets)[0].double(), double, atol=1e-5)


def test_the_reference_tells_cells_apart():
    """The reference's p is not the same for every cell: a test of the tests."""
    x, targets = tokens(2, 3, 2)
    a, _, _ = run(cell_of(2, 2), x, targets)
    for change in ({"order": 1}, {"degree": 1}, {"stages": 0}):
        b, _, _ = run(cell_of(2, 2, **change), x, targets)
        assert (a - b).abs().max() > 1e-3
    cell = cell_of(2, 2, spread=0.3)
    assert gradients(cell, run(cell, x, targets)[0][-1, 0, 0]).abs().max() > 1e-3
