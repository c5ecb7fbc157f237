"""Stacked and bidirectional networks: those of torch.nn.RNN, of cells."""

import pytest
import torch

from qrnn import QRNN, ConfigError

DOUBLE = torch.float64

LAYERS = [{"num_layers": 2}, {"bidirectional": True}, {"num_layers": 2, "bidirectional": True}]


def layered(seed=0, **options):
    torch.manual_seed(seed)
    return QRNN(2, n_qubits=2, width=4, batch_first=True, **options).double()


@pytest.mark.parametrize("options", LAYERS)
def test_layers_and_directions_are_those_of_torch(options):
    rnn, torchs = layered(**options), torch.nn.RNN(2, 6, batch_first=True, **options)
    x, lengths = torch.rand(3, 5, 2, dtype=DOUBLE), torch.tensor([5, 2, 4])
    z, state = rnn(x, lengths=lengths)
    assert z.shape == torchs(x.float())[0].shape
    assert len(state.cells) == len(torchs(x.float())[1])
    for b, length in enumerate(lengths):  # each sequence alone, cell by cell
        layer = x[b, :length]
        for first in range(0, len(rnn.cells), rnn.directions):
            parts = [torch.stack([z for z, _ in walk(rnn.cells[first], layer)])]
            if rnn.directions == 2:
                back = [z for z, _ in walk(rnn.cells[first + 1], layer.flip(0))]
                parts.append(torch.stack(back[::-1]))
            layer = torch.cat(parts, 1)
        assert torch.allclose(z[b, :length], layer)
        assert (z[b, length:] == 0).all()
        ends = [layer[-1, :6], layer[0, 6:]] if rnn.directions == 2 else [layer[-1]]
        assert torch.allclose(state.z[b], torch.cat(ends))


def walk(cell, x):
    state = None
    for row in x:
        z, state = cell(row[None], state)
        yield z[0], state


def test_stacked_layers_go_on_from_their_states():
    rnn, x = layered(num_layers=2), torch.rand(3, 5, 2, dtype=DOUBLE)
    whole, last = rnn(x)
    first, state = rnn(x[:, :2])
    second, state = rnn(x[:, 2:], state.detach())
    assert torch.allclose(torch.cat([first, second], 1), whole)
    assert torch.allclose(state.z, last.z)
    sizes = [{}, {"bidirectional": True}, {"num_layers": 2}]
    words = ["1 layer in 1 direction", "1 layer in 2 directions", "2 layers in 1 direction"]
    states = [layered(**size)(torch.rand(3, 5, 2, dtype=DOUBLE))[1] for size in sizes]
    for size, own in zip(sizes, words, strict=True):
        for state, other in zip(states, words, strict=True):
            if own == other:
                continue
            said = f"state must be from this network's {own}, got one of {other}: start from None"
            with pytest.raises(ConfigError, match=said):
                layered(**size)(x, state)
    with pytest.raises(ConfigError, match="num_layers must be at least 1, got 0"):
        layered(num_layers=0)


@pytest.mark.parametrize("options", LAYERS)
def test_every_layer_gets_a_gradient_and_runs_on_another_device(options):
    rnn, x = layered(**options), torch.rand(3, 4, 2, dtype=DOUBLE)
    rnn(x, lengths=torch.tensor([4, 1, 3]))[0].square().sum().backward()
    assert all((p.grad != 0).any() for p in rnn.parameters())
    assert torch.allclose(rnn.on("default.qubit")(x)[0], rnn(x)[0])
