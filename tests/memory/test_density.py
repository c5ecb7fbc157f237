"""Noise on the fused device: density matrices as values of Pauli words."""

import pickle

import numpy as np
import pennylane as qml
import pytest
import torch

from helpers.gate_examples import GATE_EXAMPLES, around
from helpers.problems import gradients, inputs, network
from qrnn import QRNN, ConfigError, Damping, DeviceError, export
from qrnn.circuit.channels import KINDS, CircuitNoise
from qrnn.circuit.step import precision_of
from qrnn.devices.noise import MODELS, noise_transform
from qrnn.memory import fused_density
from qrnn.memory.fused_density import FusedDensities, Moment
from qrnn.memory.kernels.density_program import PERMUTE, ROTATE, compile_density_program

DOUBLE = torch.float64
BOTH = {"": (("amplitude_damping", 0.1), ("depolarizing", 0.05)), "CZ": (("phase_damping", 0.2),)}


def memory_of(cell, noise):
    return FusedDensities(cell.circuit, cell.quantum, noise)


@pytest.mark.parametrize("name", GATE_EXAMPLES)
def test_every_gate_and_its_noise_act_as_on_default_mixed(name):
    cell = network("default", DOUBLE, readout=["XYZ", "IZI"], **around(name)).cell
    noise = CircuitNoise(BOTH)
    memory = memory_of(cell, noise)
    controls = torch.randn(1, cell.circuit.n_angles, dtype=DOUBLE)

    @noise_transform(noise)
    @qml.qnode(qml.device("default.mixed", wires=3))
    def density(theta):
        for angles in (theta, -theta):
            cell.circuit.apply(angles)
        return qml.density_matrix(wires=range(3))

    with torch.no_grad(), precision_of(controls):
        bias = cell.quantum.bias
        state = memory.start(1, controls)
        _, state = memory.step(state, controls - bias)
        _, state = memory.step(state, -controls - bias)
        rho = density(controls[0])
    np.testing.assert_allclose(memory.amplitudes(state)[0], rho, rtol=0, atol=1e-10)


@pytest.mark.parametrize("noise", MODELS)
@pytest.mark.parametrize("problem", ["default", "CRX on a ring", "affine function"])
def test_the_gradient_is_that_of_finite_differences(noise, problem):
    rnn = network(problem, DOUBLE).on("fused", noise=noise, strength=0.1)
    x = inputs(3, 2, DOUBLE).requires_grad_()
    lengths = torch.tensor([3, 2])

    def run(x, *parameters):
        return rnn(x, lengths=lengths)[0]

    assert torch.autograd.gradcheck(run, (x, *rnn.parameters()), fast_mode=True)


def test_clifford_gates_and_channels_that_scale_are_one_instruction_a_layer():
    circuit = network(n_qubits=4).cell.circuit

    def kinds(noise):
        return compile_density_program(circuit, noise).instructions[:, 0].tolist()

    scaled = kinds(CircuitNoise({"": (("depolarizing", 0.1),)}))
    assert len(scaled) == 2 * (4 + 1)
    assert scaled.count(PERMUTE) == 2
    assert ROTATE not in kinds(CircuitNoise(BOTH))


def test_states_that_were_not_kept_are_computed_again(monkeypatch):
    rnn = network(dtype=DOUBLE).on("fused", noise="depolarizing", strength=0.01)
    lengths = torch.tensor([40, 31])

    def loss(net, x):
        return net(x, lengths=lengths)[0].square().mean()

    x = inputs(40, 2, DOUBLE)
    found = gradients(rnn, loss, x)
    monkeypatch.setattr(fused_density, "isqrt", lambda steps: 1)  # keep all
    torch.testing.assert_close(found, gradients(rnn, loss, x), rtol=0, atol=0)


def test_few_states_are_kept():
    moments = [Moment(torch.zeros(1))]
    for _ in range(1000):
        moments.append(Moment(torch.zeros(1), (moments[-1], None, None, None)))
    kept = [moment.kept for moment in moments]
    assert kept[0]
    assert sum(kept) < 3 * len(kept) ** 0.5
    assert max(np.diff(np.flatnonzero(kept))) < 2 * len(kept) ** 0.5


def test_a_graph_can_be_differentiated_twice_and_a_loss_on_early_steps_too():
    rnn = network(dtype=DOUBLE).on("fused", noise="phase_damping", strength=0.1)
    x = inputs(20, 2, DOUBLE).requires_grad_()
    z, _ = rnn(x)
    first = torch.autograd.grad(z[:17].sum(), x, retain_graph=True)[0]
    again = torch.autograd.grad(z[:17].sum(), x, retain_graph=True)[0]
    short = torch.autograd.grad(rnn(x[:17])[0].sum(), x)[0]
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    torch.testing.assert_close(first, short, rtol=0, atol=1e-12)
    with pytest.raises(DeviceError, match=r"use .on\('default.mixed'\)"):
        torch.autograd.grad(z.sum(), x, create_graph=True)


def test_a_state_is_pickled_as_its_values():
    rnn, x = network().on("fused", noise="depolarizing", strength=0.1), inputs()
    _, state = rnn(x)
    copied = pickle.loads(pickle.dumps(state))
    torch.testing.assert_close(rnn(x, copied)[0], rnn(x, state)[0], rtol=0, atol=0)
    torch.testing.assert_close(copied.amplitudes(), state.amplitudes(), rtol=0, atol=0)


def test_a_network_with_noise_is_pickled():
    rnn, x = network().on("fused", noise="depolarizing", strength=0.1), inputs()
    torch.testing.assert_close(pickle.loads(pickle.dumps(rnn))(x)[0], rnn(x)[0], rtol=0, atol=0)


def test_what_cannot_run_with_noise_is_refused():
    with pytest.raises(DeviceError, match=r"takes at most 12 coupled qubits .*, got 13"):
        network(n_qubits=13).on("fused", noise="depolarizing", strength=0.1)
    rnn = network(n_qubits=8).on("fused", noise="depolarizing", strength=0.1)
    with pytest.raises(ConfigError, match=r"the state of 1000000 sequences must fit .* GB"):
        rnn(torch.zeros(1, 10**6, 2))
    with pytest.raises(DeviceError, match=r"device 'fused' with device.noise needs .* on cpu"):
        rnn.cell.memory.kernels(torch.device("cuda"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_angle_of_a_channel_is_defined_for_every_strength(kind):
    for strength in (0.0, 0.5, 1.0):
        assert np.isfinite(KINDS[kind].angle(strength))


def forgetting(angles, wires):
    """A layer of gates, with damping by two of the angles."""
    for wire in range(3):
        qml.RY(angles[wire], wires=wires[wire])
    qml.CZ(wires=wires[:2])
    Damping(angles[3], wires=wires[1])
    Damping(0.5 * angles[4] + 0.2, wires=wires[0])
    qml.CNOT(wires=wires[1:])


FORGETTING = {"n_qubits": 3, "ansatz": forgetting, "n_angles": 5}


@pytest.mark.parametrize("noise", [{}, {"noise": "depolarizing", "strength": 0.05}])
def test_damping_by_the_controllers_angles_is_that_of_default_mixed(noise):
    # An amplitude damping for each sequence and step, with its gradient: a forget gate.
    rnn, x = network("default", DOUBLE, **FORGETTING), inputs(dtype=DOUBLE)

    def loss(net, x):
        return net(x)[0].sin().mean()

    found = [gradients(rnn.on(device, **noise), loss, x) for device in ("fused", "default.mixed")]
    torch.testing.assert_close(*found, rtol=0, atol=1e-10)
    z = [rnn.on(device, **noise)(x)[0] for device in ("fused", "default.mixed")]
    torch.testing.assert_close(*z, rtol=0, atol=1e-10)
    assert torch.autograd.gradcheck(lambda x: rnn(x)[0], x.requires_grad_(), fast_mode=True)


def test_damping_has_the_strength_of_its_angle():
    def function(angles, wires):
        qml.X(wires=wires[0])
        Damping(angles[0], wires=wires[0])

    cell = network(n_qubits=1, ansatz=function, n_angles=1, readout="Z", dtype=DOUBLE).cell
    phi = torch.tensor([[0.0], [0.4], [torch.pi / 2]], dtype=DOUBLE)
    memory = cell.memory
    with torch.no_grad():
        z, _ = memory.step(memory.start(3, phi), phi - cell.quantum.bias)
    np.testing.assert_allclose(z, 2 * np.sin(phi) ** 2 - 1, rtol=0, atol=1e-12)
    source = export.source(cell, [0.4])
    assert f"qml.AmplitudeDamping({float(np.sin(0.4) ** 2)!r}"[:30] in source


def test_another_channel_in_a_circuit_is_refused():
    with pytest.raises(ConfigError, match=r"noise as a device's noise model"):
        QRNN(1, 1, ansatz=lambda a, w: qml.AmplitudeDamping(a[0], wires=w[0]), n_angles=1)


GROUPS = {
    "circuits": ({"n_qubits": 4, "circuits": 2, "layers": 1}, [[0, 1], [2, 3]]),
    "interleaved": ({"n_qubits": 5, "topology": [[0, 3], [4, 1]]}, [[0, 3], [1, 4], [2]]),
    "coupled by a readout": (
        {"n_qubits": 4, "circuits": 4, "readout": ["ZIZI", "XIII", "IIIY", "IZII"]},
        [[0, 2], [1], [3]],
    ),
}


@pytest.mark.parametrize("noise", [{}, {"noise": "depolarizing", "strength": 0.05}])
@pytest.mark.parametrize("problem", GROUPS)
def test_groups_of_qubits_have_states_of_their_own(problem, noise):
    options, wires = GROUPS[problem]
    rnn = network("default", DOUBLE, forget="gate", **{"readout": "XY+ZZ", **options})
    x, lengths = inputs(5, 2, DOUBLE), torch.tensor([5, 3])
    fused, reference = (rnn.on(device, **noise) for device in ("fused", "default.mixed"))
    program = fused.cell.memory.program
    assert program.wires == wires
    assert program.numbers == sum(4 ** len(group) for group in wires)

    def loss(net, x):
        return net(x, lengths=lengths)[0].sin().mean()

    (z, state), (expected, carried) = fused(x), reference(x)
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(state.amplitudes(), carried.amplitudes(), rtol=0, atol=1e-10)
    found = [gradients(net, loss, x) for net in (fused, reference)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-10)
    expected = reference(x, lengths=lengths)[0].float()
    in_one_call = rnn.float().on("fused", **noise)(x.float(), lengths=lengths)[0]
    torch.testing.assert_close(in_one_call, expected, rtol=0, atol=2e-5)


def test_many_qubits_in_small_groups_are_simulated():
    rnn = QRNN(2, 15, circuits=5, forget="gate", width=4)
    z, state = rnn(torch.zeros(2, 1, 2))
    assert z.shape == (2, 1, 45)
    with pytest.raises(DeviceError, match="shows the state of at most 12 qubits"):
        state.amplitudes()
