"""Calls of a cell or a network that are refused, each in one line."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from helpers.problems import D, Twin, inputs, network
from qrnn import QRNN, ConfigError, Controller, QRNNCell
from qrnn.devices import DeviceOptions
from qrnn.errors import DeviceError

DOUBLE = torch.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feedback_readout": "Z"}, r"feedback_readout must be the first of readout \(XII IXI"),
        (
            {"readout": "Z", "feedback_readout": "ZX"},
            "feedback_readout must be the first of readout",
        ),
        (
            {"feedback_readout": "X", "feedback": False},
            "feedback_readout needs feedback=True, got 'X'",
        ),
        ({"feedback_readout": "XW"}, "^feedback_readout must be letters out of XYZ"),
        ({"feedback_readout": 3}, "^feedback_readout must be letters out of XYZ .*got 3"),
        ({"feedback_readout": []}, "^feedback_readout must measure something"),
    ],
)
def test_readouts_that_cannot_be_fed_back_are_refused(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        QRNNCell(D, 3, **options)
    assert "\n" not in str(caught.value)


class Returning(nn.Module):
    """A controller with one linear layer, that returns a function of its angles."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(D + 9, 12), function

    def forward(self, inputs):
        return self.function(self.layer(inputs))


WRONG = {
    "another width": (lambda r, x: r(x[..., :1]), r"must have shape \(T, B, 2\), got \(3, 3, 1\)"),
    "another width, batch first": (
        lambda r, x: QRNN(D, 2, batch_first=True)(torch.rand(3, 7, 5)),
        r"must have shape \(B, T, 2\), got \(3, 7, 5\)",
    ),
    "another width of one sequence": (
        lambda r, x: r(torch.rand(3, 5)),
        r"must have shape \(T, 2\), got \(3, 5\)",
    ),
    "another width, packed": (
        lambda r, x: r(pack_padded_sequence(torch.rand(4, 2, 5), torch.tensor([4, 2]))),
        r"must be a PackedSequence of 2 features, got data of shape \(6, 5\)",
    ),
    "no steps, batch first": (
        lambda r, x: QRNN(D, 2, batch_first=True)(torch.rand(3, 0, 2)),
        r"at least one step and one sequence, got shape \(3, 0, 2\)",
    ),
    "nested tensors": (
        lambda r, x: r(torch.nested.nested_tensor([x[:, 0], x[:2, 0]], layout=torch.jagged)),
        r"x must be a padded tensor, got a nested one: use x\.to_padded_tensor\(0\.0\) and",
    ),
    "weights elsewhere": (
        lambda r, x: r.to("meta")(x),
        r"x must be on meta, like the cell's parameters, got one on cpu: use x\.to\('meta'\)",
    ),
    "inputs elsewhere": (
        lambda r, x: r(x.to("meta")),
        "x must be on cpu, like the cell's parameters, got one on meta",
    ),
    "inputs of one dimension": (lambda r, x: r(x[0, 0]), r"x must have 2 or 3 dimensions, got"),
    "inputs of four dimensions": (lambda r, x: r(x[None]), r"x must have 2 or 3 dimensions, got"),
    "no steps": (lambda r, x: r(x[:0]), r"at least one step and one sequence, got.*\(0, 3, 2\)"),
    "no sequences": (lambda r, x: r(x[:, :0]), r"at least one step and one sequence, got"),
    "a length of zero": (
        lambda r, x: r(x, lengths=torch.tensor([3, 0, 1])),
        r"lengths must be 3 whole numbers of 1..3, got \[3, 0, 1\]",
    ),
    "a length beyond the end": (
        lambda r, x: r(x, lengths=torch.tensor([3, 4, 1])),
        r"lengths must be 3 whole numbers of 1..3, got \[3, 4, 1\]",
    ),
    "too few lengths": (lambda r, x: r(x, lengths=torch.tensor([3])), "must be 3 whole numbers"),
    "lengths beside a PackedSequence": (
        lambda r, x: r(pack_padded_sequence(x, torch.tensor([3, 2, 1])), lengths=[3, 2, 1]),
        r"lengths must be left out with a PackedSequence",
    ),
    "a state of another batch": (
        lambda r, x: r(x, r(x[:, :2])[1]),
        r"state must be from this cell's last call: 3 sequences of 3 qubits on fused, got 2 of 3",
    ),
    "a state of another strategy": (
        lambda r, x: r(x, r.on("default.qubit")(x)[1]),
        r"state must be from this cell's last call.*on fused, got 3 of 3 in CarriedVectors",
    ),
    "a state of other readouts": (
        lambda r, x: r(x, network(readout="Z")(x)[1]),
        r"state must be from this cell's last call",
    ),
    "a state of other qubits and as many readouts": (
        lambda r, x: network(n_qubits=1, readout=["Z"])(x, network(readout=["ZII"])(x)[1]),
        r"state must be from this cell's last call: 3 sequences of 1 qubits on fused, got 3 of 3",
    ),
    "inputs of another precision than the cell": (
        lambda r, x: r.double()(x),
        r"x must be torch.float64, like the cell's parameters, got torch.float32: use x\.to",
    ),
    "weights in half precision": (
        lambda r, x: r.bfloat16().cell(x[0]),
        r"the cell must be float32 or float64, got torch.bfloat16: use \.float\(\) on the network",
    ),
    "weights and inputs in half precision": (
        lambda r, x: r.half()(x.half()),
        r"the cell must be float32 or float64, got torch.float16: use \.float\(\) on the network",
    ),
    "an array": (
        lambda r, x: r(x.numpy()),
        r"x must be a torch\.Tensor, got ndarray: use torch\.from_numpy\(x\)",
    ),
    "a list": (
        lambda r, x: r.cell(x[0].tolist()),
        r"x must be a torch\.Tensor, got list: use torch\.tensor\(x\)",
    ),
    "a sparse tensor": (lambda r, x: r(x.to_sparse()), r"use x\.to_dense\(\)"),
    "torch.jit.script": (lambda r, x: torch.jit.script(r), "save its state_dict, or export its"),
    "torch.jit.trace": (lambda r, x: torch.jit.trace(r, (x,)), "must be run by qrnn itself, not"),
    "torch.export": (lambda r, x: torch.export.export(r, (x,)), "must be run by qrnn itself, not"),
    "torch.func.vmap": (
        lambda r, x: torch.func.vmap(lambda one: r(one[:, None])[0], 1)(x),
        r"x must have its sequences in its batch, not in torch\.func\.vmap: pass \(T, B, D\)",
    ),
    "a controller of another precision": (
        lambda r, x: r.cell.controller.double() and r(x),
        "controller must be torch.float32, like x, got torch.float64: use .to",
    ),
    "a state of another precision": (
        lambda r, x: r(x, network(dtype=DOUBLE)(x.double())[1]),
        "state must be torch.float32, like x, got torch.float64: start from None",
    ),
    "a mask of the wrong shape": (
        lambda r, x: r.cell.sequence(x, None, torch.ones(1, 3) > 0),
        r"active must be torch.bool of shape \(3, 3\), got torch.bool of shape \(1, 3\)",
    ),
    "a mask of numbers": (
        lambda r, x: r.cell(x[0], None, torch.ones(3)),
        r"active must be torch.bool of shape \(3,\), got torch.float32 of shape \(3,\)",
    ),
    "a cell without steps": (lambda r, x: r.cell.sequence(x[:0]), "at least one step and one"),
    "a cell without sequences": (lambda r, x: r.cell(x[0, :0]), "at least one step and one"),
    "a controller without feedback": (
        lambda r, x: network(controller=Controller(D, 0, 12)),
        "must map D = 2 inputs and 9 readouts to P = 12 angles, got one from 2 to 12 values: use",
    ),
    "a controller of one angle more": (
        lambda r, x: network(controller=Controller(D, 9, 13)),
        "must map D = 2 inputs and 9 readouts to P = 12 angles, got one from 11 to 13 values: use",
    ),
    "a controller that returns one angle": (
        lambda r, x: network(controller=Twin(D + 9, 1))(x),
        r"of shape \(B, P\) = \(3, 12\), got one of shape \(3, 1\): it maps D = 2 inputs",
    ),
    "a controller that returns a pair": (
        lambda r, x: network(controller=Returning(lambda a: (a, None)))(x),
        r"must return a torch.float32 tensor of shape \(B, P\) = \(3, 12\), got tuple: return the",
    ),
    "a controller that returns an array": (
        lambda r, x: network(controller=Returning(lambda a: a.detach().numpy()))(x),
        r"must return a torch.float32 tensor of .*, got ndarray",
    ),
    "a controller that returns double precision": (
        lambda r, x: network(controller=Returning(lambda a: a.double()))(x),
        r"must return a torch.float32 tensor of .*, got torch.float64: use \.to\(x\.dtype\)",
    ),
    "a controller that returns complex numbers": (
        lambda r, x: network(controller=Returning(lambda a: a + 0j)).on("default.qubit")(x),
        r"must return a torch.float32 tensor of .*, got torch.complex64: use \.to\(x\.dtype\)",
    ),
    "a controller that is none": (
        lambda r, x: QRNN(2, n_qubits=1, controller=None),
        "controller must be a name or a torch.nn.Module, got None: leave it out",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_refused_with_what_must_hold_and_what_was_given(case):
    call, message = WRONG[case]
    with pytest.raises(ConfigError, match=message) as caught:
        call(network(), inputs())
    assert "\n" not in str(caught.value)


def test_gradients_in_batches_are_refused_where_they_are_computed_by_hand():
    rnn, x = network(), inputs()
    jacobian = torch.autograd.functional.jacobian
    with pytest.raises(DeviceError, match=r"use vectorize=False, or \.on\('default\.qubit'\)"):
        jacobian(lambda v: rnn(v)[0], x, vectorize=True)
    expected = jacobian(lambda v: rnn(v)[0], x)
    found = jacobian(lambda v: rnn.on("default.qubit")(v)[0], x, vectorize=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_shots_of_numpy_are_whole_numbers():
    options = DeviceOptions("default.qubit", shots=np.int64(20))
    assert type(options.shots) is int
    assert network().on(options)(inputs())[0].shape[-1] == 9
    with pytest.raises(ConfigError, match=r"device\.shots must be a whole number"):
        DeviceOptions("default.qubit", shots=np.float64(20))
