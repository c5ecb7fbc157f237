"""The noise of a backend on the fused device: its channels are Aer's, and act where Aer's do."""

import logging

import numpy as np
import pennylane as qml
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import SuperOp

from helpers.commands import qrnn
from helpers.problems import PROBLEMS, inputs, network
from helpers.service_double import Service, install
from qrnn import QRNN, ConfigError, Damping, DeviceError
from qrnn.circuit.noisy_step import assignment
from qrnn.circuit.step import precision_of
from qrnn.devices import open_device
from qrnn.devices.ibm import noise
from qrnn.devices.ibm.backends import fake_backend
from qrnn.devices.noise import described

DOUBLE = torch.float64
# Gates cx, ecr and cz; the first has five qubits in a line.
FAKES = ("fake_manila", "fake_sherbrooke", "fake_torino")


@pytest.mark.parametrize("name", FAKES)
def test_the_channels_of_each_gate_are_those_of_aer(name):
    backend = fake_backend(name)
    pair = next(iter(backend.target.build_coupling_map().get_edges()))
    circuit = QuantumCircuit(max(pair) + 1)
    for qubit in pair:
        circuit.x(qubit)
    model = backend.noise([circuit]).model
    checked = []
    for gate, errors in model._local_quantum_errors.items():
        for qubits, error in errors.items():
            if gate not in ("sx", "x", "cx", "ecr", "cz"):
                continue
            wires = list(range(len(qubits)))
            ours = np.eye(4 ** len(qubits))
            for channel in noise.channels(backend.target, gate, qubits, wires):
                kraus = [  # Qiskit's first qubit is the last factor
                    qml.math.expand_matrix(k, channel.wires, wires[::-1])
                    for k in channel.kraus_matrices()
                ]
                ours = sum(np.kron(k.conj(), k) for k in kraus) @ ours
            np.testing.assert_allclose(ours, SuperOp(error).data, rtol=0, atol=1e-10)
            checked.append(gate)
    assert {"sx", "x"} < set(checked)
    assert {"cx", "ecr", "cz"} & set(checked)


@pytest.mark.parametrize(
    ("fake", "problem"),
    [
        ("fake_manila", "default"),
        ("fake_sherbrooke", "affine function"),
        ("fake_manila", "CRX on a ring"),
    ],
)
def test_states_and_gradients_are_those_of_default_mixed_with_the_same_channels(fake, problem):
    rnn = network(problem, DOUBLE).on("fused", noise=fake)
    cell, memory = rnn.cell, rnn.cell.memory
    circuit, n = memory.circuit, memory.n_wires
    theta = torch.randn(2, cell.circuit.n_angles, dtype=DOUBLE, requires_grad=True)

    @qml.qnode(qml.device("default.mixed", wires=n))
    def density(theta):
        for angles in theta:
            circuit.apply(angles)
        return qml.density_matrix(wires=range(n))

    state = memory.start(1, theta)
    for angles in theta:
        z, state = memory.step(state, angles[None] - cell.quantum.bias)
    with precision_of(theta):
        rho = density(theta)
        expected = torch.stack(cell.qnode((theta - cell.quantum.bias).flatten(), cell.quantum.bias))
    torch.testing.assert_close(memory.amplitudes(state)[0], rho, rtol=0, atol=1e-10)
    torch.testing.assert_close(z[0], expected, rtol=0, atol=1e-10)
    slopes = [torch.autograd.grad(found.sin().sum(), theta)[0] for found in (z, expected)]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-10)


DRAWN = {"trajectories": 4000, "twirl_damping": True, "seed": 1}


class Twirled(qml.AmplitudeDamping):
    """Amplitude damping, averaged over Pauli words."""

    @staticmethod
    def compute_decomposition(gamma, wires):
        paulis = [np.eye(2), *(gate.compute_matrix() for gate in (qml.X, qml.Y, qml.Z))]
        kraus = qml.AmplitudeDamping.compute_kraus_matrices(float(gamma))
        return [qml.QubitChannel([p @ k @ p / 2 for k in kraus for p in paulis], wires)]


@pytest.mark.parametrize("fake", ["fake_manila", "fake_sherbrooke"])
def test_trajectories_have_the_same_channels_with_twirled_damping(fake):
    rnn = network("affine function", DOUBLE).on("fused", noise=fake, **DRAWN)
    cell, memory = rnn.cell, rnn.cell.memory
    circuit = memory.circuit
    damping = [type(gate) is qml.AmplitudeDamping for gate in circuit.gates]
    assert any(damping)
    circuit.gates = [
        Twirled(gate.data[0], gate.wires) if damped else gate
        for gate, damped in zip(circuit.gates, damping, strict=True)
    ]
    theta = torch.randn(2, cell.circuit.n_angles, dtype=DOUBLE)

    @qml.qnode(qml.device("default.mixed", wires=3))
    def expected(theta):
        for angles in theta:
            circuit.apply(angles)
        return circuit.expvals()

    state = memory.start(1, theta)
    with torch.no_grad(), precision_of(theta):
        for angles in theta:
            z, state = memory.step(state, angles[None] - cell.quantum.bias)
        exact = circuit.values(torch.stack(expected(theta)))
    assert ((z[0] - exact).abs() <= 5 * state.standard_error[0]).all()


@pytest.mark.parametrize("readout", ["XYZ", ["ZI"]])
@pytest.mark.parametrize("noise", [{"noise": "fake_manila"}, {"noise": "readout", "strength": 0.1}])
def test_the_qnode_takes_batches_and_single_words(noise, readout):
    rnn = QRNN(2, 2, readout=readout).on("fused", **noise)
    cell, memory = rnn.cell, rnn.cell.memory
    bias = cell.quantum.bias
    theta = torch.randn(3, cell.circuit.n_angles)
    z, _ = memory.step(memory.start(3, theta), theta)
    for row, given in ((0, theta[0]), (slice(None), theta)):
        found = cell.qnode(given, bias)
        assert len(found) == cell.n_readouts
        torch.testing.assert_close(torch.stack(list(found), -1).float(), z[row], atol=1e-5, rtol=0)


def test_the_gradient_is_that_of_finite_differences():
    rnn = network("CRX on a ring", DOUBLE).on("fused", noise="fake_manila")
    x = inputs(3, 2, DOUBLE).requires_grad_()
    lengths = torch.tensor([3, 2])

    def run(x, *parameters):
        return rnn(x, lengths=lengths)[0]

    assert torch.autograd.gradcheck(run, (x, *rnn.parameters()), fast_mode=True)


@pytest.mark.parametrize("fake", ["fake_manila", "fake_sherbrooke"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_without_errors_the_transpiled_step_is_the_step(monkeypatch, fake, problem):
    # Also where the qubits are routed: the swaps at the end of a step undo it.
    monkeypatch.setattr(noise, "channels", lambda *args: iter(()))
    monkeypatch.setattr(noise, "_misread", lambda *args: (0.0, 0.0))
    rnn, x = network(problem, DOUBLE), inputs(dtype=DOUBLE)
    noisy = rnn.on("fused", noise=fake, strategy="fused")
    torch.testing.assert_close(noisy(x)[0], rnn(x)[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("problem", "left"),
    # Where qubits are routed, several steps at once need other gates than each alone.
    [("default", 0.15), ("CRX on a ring", 0.5)],
)
def test_readouts_are_those_of_the_fake_backend(problem, left):
    cell = network(problem, DOUBLE).cell
    controls = torch.randn(4, 3, cell.circuit.n_angles, dtype=DOUBLE)
    fake = cell.on("fake_manila", shots=20000, seed=1)
    with torch.no_grad():
        measured = fake.memory.run(controls)
        errors = [
            (one.memory.run(controls) - measured).square().mean().sqrt()
            for one in (cell, cell.on("fused", noise="fake_manila"))
        ]
    assert errors[1] < left * errors[0]


def test_readout_errors_act_on_each_letter():
    generator = np.random.default_rng(0)
    misread = generator.uniform(0, 0.2, (3, 2))
    probabilities = generator.dirichlet(np.ones(8))
    confusion = np.eye(1)
    for p10, p01 in misread:
        confusion = np.kron(confusion, [[1 - p10, p01], [p10, 1 - p01]])

    def means(words, outcomes):
        letters = {"I": [1, 1], "Z": [1, -1]}
        return [
            np.kron(np.kron(letters[a], letters[b]), letters[c]) @ outcomes for a, b, c in words
        ]

    words = ["ZII", "IZZ", "ZZZ"]
    read, mixing, constant = assignment(words, misread)
    assert read[:3] == words
    found = mixing @ means(read, probabilities) + constant
    np.testing.assert_allclose(found, means(words, confusion @ probabilities), rtol=0, atol=1e-12)


def test_the_layout_is_that_of_the_device_or_the_one_that_is_set():
    rnn, x = network(dtype=DOUBLE), inputs(dtype=DOUBLE)
    chosen = rnn.on("fake_torino", shots=1)
    with torch.no_grad():
        chosen(x[:1])
    layout = chosen.cell.plugin.transpiler.layout
    same = rnn.on("fused", noise="fake_torino", initial_layout=list(layout))
    other = rnn.on("fused", noise="fake_torino", initial_layout=[0, 1, 2])
    z = [one(x)[0] for one in (rnn.on("fused", noise="fake_torino"), same, other)]
    torch.testing.assert_close(z[0], z[1], rtol=0, atol=1e-12)
    assert (z[0] - z[2]).abs().max() > 0.01


def test_a_backend_of_the_account_has_the_noise_of_its_target(tmp_path, monkeypatch):
    install(Service(tmp_path), monkeypatch.setattr)
    states, x = [], inputs(dtype=DOUBLE)
    for name in ("fake_manila", "ibm_double"):
        cell = network(dtype=DOUBLE, feedback=False).on("fused", noise=name).cell
        z, state = cell.sequence(x)
        states.append((z, state.amplitudes()))
    (z, rho), (other_z, other_rho) = states
    torch.testing.assert_close(rho, other_rho, rtol=0, atol=1e-12)
    # The double states only the mean of the two readout errors, so readouts are shifted.
    shift = z - other_z
    torch.testing.assert_close(shift, shift[:1, :1].expand_as(shift), rtol=0, atol=1e-12)
    assert shift.abs().max() > 0.01


def test_what_has_no_noise_of_a_backend_is_refused():
    def damped(angles, wires):
        qml.RX(angles[0], wires=wires[0])
        Damping(angles[1], wires=wires[0])

    cases = [
        (
            ConfigError,
            "fake backend 'fake_manilla' is not known: did you mean fake_manila",
            {},
            "fake_manilla",
        ),
        (
            ConfigError,
            "device.strength must be left out with device.noise=fake_manila",
            {"strength": 0.1},
            "fake_manila",
        ),
        (
            DeviceError,
            "`initial_layout` must name one qubit for each of the 3",
            {"initial_layout": [0]},
            "fake_manila",
        ),
        (
            DeviceError,
            "`optimization_level` must be 0, 1, 2 or 3",
            {"optimization_level": 4},
            "fake_manila",
        ),
        (
            ConfigError,
            "device.initial_layout must be left out without",
            {"initial_layout": [0], "strength": 0.1},
            "readout",
        ),
    ]
    for kind, message, options, name in cases:
        with pytest.raises(kind, match=message):
            network().on("fused", noise=name, **options)
    with pytest.raises(ConfigError, match=r"must be on device fused, got default.mixed"):
        open_device("default.mixed", noise="fake_manila")
    with pytest.raises(DeviceError, match="at most 5 on fake_manila, but got 6"):
        network(n_qubits=6).on("fused", noise="fake_manila")
    with pytest.raises(DeviceError, match=r"routing it takes . more: use topology=line"):
        network(n_qubits=8, topology="ring").on("fused", noise="fake_torino")
    with pytest.raises(DeviceError, match=r"does not model the ancilla of model\.forget"):
        network(n_qubits=2, ansatz=damped, n_angles=2).on("fused", noise="fake_manila")
    with pytest.raises(DeviceError, match="cannot measure mid-circuit"):
        network().on("fused", readout_mode="measure", noise="fake_manila")


def test_tables_name_the_backend():
    assert described({"noise": "fake_fez"}) == "noise of fake_fez"
    assert described({"noise": "readout", "strength": 0.1}) == "readout 0.1"
    drawn = {"noise": "fake_fez", "trajectories": 8, "twirl_damping": True}
    assert described(drawn) == "noise of fake_fez, twirled, 8 trajectories"
    drawn = {"noise": "depolarizing", "strength": 0.1, "trajectories": 1}
    assert described(drawn) == "depolarizing 0.1, 1 trajectory"


def test_a_training_with_the_noise_of_a_backend_prints_no_log_of_qiskit(tmp_path):
    logging.getLogger("qiskit").setLevel(logging.NOTSET)
    size = ["model.n_qubits=2", "model.layers=1", "task=copying", "task.delay=1"]
    short = ["trainer.epochs=3", "trainer.steps_per_epoch=1", "trainer.lr=9"]
    given = [*size, *short, "device.noise=fake_manila", "hydra.run.dir=run"]
    done = qrnn("train", *given, cwd=tmp_path)
    assert "checkpoint" in done.stdout, done.stderr
    assert "Pass:" not in done.stdout + done.stderr
    assert "HYDRA" not in done.stdout + done.stderr
