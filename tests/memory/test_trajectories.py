"""Noise on the fused device by trajectories: held to dense circuits and to density matrices."""

import pickle
from itertools import product

import numpy as np
import pennylane as qml
import pytest
import torch

from helpers.gate_examples import GATE_EXAMPLES, around
from helpers.problems import gradients, inputs, network
from qrnn import QRNN, ConfigError, Damping, DeviceError
from qrnn.circuit.channels import KINDS, CircuitNoise, JointDepolarizing
from qrnn.circuit.pauli_errors import Location, PauliErrors, probabilities
from qrnn.memory import trajectories
from qrnn.memory.fused_trajectories import Draws, FusedTrajectories

DOUBLE = torch.float64
PAULIS = [np.eye(2), *(gate.compute_matrix() for gate in (qml.X, qml.Z, qml.Y))]  # as numbered
NOISE = {"noise": "depolarizing", "strength": 0.05}


def dense(letters):
    """Return the matrix of a Pauli word, given by the numbers of its letters."""
    found = np.eye(1)
    for letter in letters:
        found = np.kron(found, PAULIS[letter])
    return found


def with_errors(gates, bits, psi):
    """Return a state of three qubits after gates, each followed by the Pauli words of `bits`."""
    words = iter(bits.reshape(-1, 2))
    for gate in gates:
        psi = np.asarray(qml.matrix(gate, wire_order=range(3))) @ psi
        silent = gate.name in ("Identity", "GlobalPhase")  # no device executes them
        for wire in () if silent else gate.wires:
            x, z = next(words)
            psi = dense([x + 2 * z if w == wire else 0 for w in range(3)]) @ psi
    assert next(words, None) is None
    return psi


@pytest.mark.parametrize("name", GATE_EXAMPLES)
def test_a_trajectory_is_the_circuit_with_its_pauli_words(name):
    words = ["XYZ", "IZI", "YII"]
    cell = network("default", DOUBLE, readout=words, **around(name)).cell
    noise = CircuitNoise({"": (("depolarizing", 0.5),)})
    memory = FusedTrajectories(cell.circuit, cell.quantum, noise, 1, Draws(3))
    controls = torch.randn(2, cell.circuit.n_angles, dtype=DOUBLE)
    psi = np.zeros((2, 8), complex)
    psi[:, 0] = 1
    readouts = [dense(["IXZY".index(letter) for letter in word]) for word in words]
    with torch.no_grad():
        state = memory.start(2, controls)
        for _ in range(2):
            samples, numbers = memory.paths.errors.sample(state.seeds, state.steps, 1)
            bits = np.zeros((2, memory.paths.errors.n_bits), int)
            bits[samples, numbers] = 1
            for b in range(2):
                gates = cell.circuit.operations(controls[b] + cell.quantum.bias)
                psi[b] = with_errors(gates, bits[b], psi[b])
            z, state = memory.step(state, controls)
            expected = [[(one.conj() @ m @ one).real for m in readouts] for one in psi]
            np.testing.assert_allclose(z, expected, rtol=0, atol=1e-10)
    rho = np.einsum("bi,bj->bij", psi, psi.conj())
    np.testing.assert_allclose(memory.amplitudes(state), rho, rtol=0, atol=1e-10)


def twirl(monkeypatch):
    """Replace the amplitude damping of default.mixed by its Pauli twirl."""

    def channel(p, wires):
        found = probabilities(qml.AmplitudeDamping(p, wires=0))
        return qml.QubitChannel(
            [np.sqrt(q) * m for q, m in zip(found, PAULIS, strict=True)], wires=wires
        )

    kind = KINDS["amplitude_damping"]
    replaced = {**KINDS, "amplitude_damping": type(kind)(channel, kind.angle)}
    monkeypatch.setattr("qrnn.devices.noise.KINDS", replaced)


@pytest.mark.parametrize("noise", KINDS)
@pytest.mark.parametrize("problem", ["default", "CRX on a ring", "nonlinear function"])
def test_the_mean_is_that_of_density_matrices(noise, problem, monkeypatch):
    twirl(monkeypatch)
    count, rnn, x = 3000, network(problem, DOUBLE), inputs(dtype=DOUBLE)
    options = {"twirl_damping": True} if noise == "amplitude_damping" else {}
    noisy = rnn.on("fused", noise=noise, strength=0.1, trajectories=count, seed=1, **options).cell
    controls, found, errors, state = [], [], [], None
    z = noisy.circuit.start_readout().to(x).expand(x.shape[1], -1)
    with torch.no_grad():
        for x_t in x:
            controls.append(noisy.controller(torch.cat([x_t, z[:, : noisy.n_fed_back]], 1)))
            z, state = noisy(x_t, state)
            found.append(z)
            errors.append(state.carried.standard_error)
        # With the angles of the closed loop, each step is a test of its own.
        mixed = rnn.on("default.mixed", noise=noise, strength=0.1).cell
        expected = mixed.memory.run(torch.stack(controls, 1)).transpose(0, 1)
    off = (torch.stack(found) - expected).abs()
    assert (off <= 5 * torch.stack(errors) + 1e-9).all()
    assert off.max() > 1e-5  # it did sample


@pytest.mark.parametrize("noise", ["depolarizing", "phase_damping"])
def test_the_mean_gradient_is_that_of_density_matrices(noise):
    count, cell = 2000, network("default", DOUBLE).cell
    one = torch.randn(1, 3, cell.circuit.n_angles, dtype=DOUBLE)

    def gradient(controls, **options):
        controls = controls.clone().requires_grad_()
        cell.on("fused", noise=noise, strength=0.1, **options).memory.run(controls).sum().backward()
        return controls.grad

    found = gradient(one.expand(count, -1, -1), trajectories=1, seed=2)
    error = found.std(0) / count**0.5
    off = (found.mean(0) - gradient(one)[0]).abs()
    assert (off <= 5 * error + 1e-9).all()
    assert off.max() > 1e-5


@pytest.mark.parametrize("problem", ["default", "CRX on a ring", "nonlinear function"])
def test_the_gradient_of_the_drawn_errors_is_that_of_finite_differences(problem):
    rnn = network(problem, DOUBLE).on("fused", **NOISE, trajectories=3)
    x, lengths = inputs(3, 2, DOUBLE).requires_grad_(), torch.tensor([3, 2])

    def run(x, *parameters):
        rnn.cell.device.reseed(4)
        return rnn(x, lengths=lengths)[0]

    assert torch.autograd.gradcheck(run, (x, *rnn.parameters()), fast_mode=True)


def test_errors_that_are_certain_are_gates(monkeypatch):
    def flipped(angles, wires):
        qml.RY(angles[0], wires=wires[0])
        qml.X(wires[0])
        qml.CRX(angles[1], wires=wires)
        qml.X(wires[0])
        qml.X(wires[1])

    def plain(angles, wires):
        qml.RY(angles[0], wires=wires[0])
        qml.CRX(angles[1], wires=wires)

    options = {"n_qubits": 2, "n_angles": 2, "dtype": DOUBLE}
    certain = np.array([0.0, 1.0, 0.0, 0.0])
    monkeypatch.setattr(trajectories, "probabilities", lambda channel: certain)
    noisy = network(ansatz=plain, **options).on("fused", **NOISE, trajectories=2)
    x = inputs(dtype=DOUBLE)

    def loss(net, x):
        return net(x)[0].sin().sum()

    found, expected = noisy(x)[0], network(ansatz=flipped, **options)(x)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    grads = [gradients(net, loss, x) for net in (noisy, network(ansatz=flipped, **options))]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-11)


def pauli_transfer(kraus, n):
    """Return the factors of the Pauli words (4^n,) by a channel."""
    words = [dense(letters) for letters in product(range(4), repeat=n)]
    return [sum(np.trace(w @ k @ w @ k.conj().T).real for k in kraus) / 2**n for w in words]


@pytest.mark.parametrize(
    "channel",
    [
        *(kind.operator(0.3, wires=0) for kind in KINDS.values()),
        JointDepolarizing(0.9, wires=[0, 1]),
    ],
    ids=str,
)
def test_the_words_of_a_channel_scale_pauli_words_as_it_does(channel):
    found, n = probabilities(channel), len(channel.wires)
    words = [dense(letters) for letters in product(range(4), repeat=n)]
    kraus = [np.sqrt(p) * word for p, word in zip(found, words, strict=True)]
    expected = pauli_transfer(channel.compute_kraus_matrices(*channel.data), n)
    np.testing.assert_allclose(pauli_transfer(kraus, n), expected, atol=1e-12)
    assert abs(found.sum() - 1) < 1e-12


def test_channels_in_a_row_are_one_location_whose_words_have_their_probabilities():
    joint, damping = JointDepolarizing(0.3, wires=[4, 2]), qml.PhaseDamping(0.4, wires=2)
    depolarizing = qml.DepolarizingChannel(0.2, wires=4)
    location = Location((4, 2), probabilities(joint))
    for one in (damping, depolarizing):
        location.add(tuple(one.wires), probabilities(one))
    expected = np.kron(probabilities(depolarizing), probabilities(damping))
    expected = 0.7 * expected + 0.3 / 16
    np.testing.assert_allclose(location.probabilities, expected, atol=1e-12)
    single = Location((1,), probabilities(qml.DepolarizingChannel(0.3, wires=1)))
    count, errors = 200_000, PauliErrors([single, location])
    samples, numbers = errors.sample(np.array([5], np.uint64), np.array([2], np.uint64), count)
    bits = np.zeros((count, errors.n_bits), int)
    bits[samples, numbers] = 1
    for first, one in ((0, single), (2, location)):
        digits = bits[:, first : first + 2 * len(one.wires)].reshape(count, -1, 2) @ [1, 2]
        found = digits @ 4 ** np.arange(len(one.wires))[::-1]
        seen = np.bincount(found, minlength=len(one.probabilities)) / count
        p = one.probabilities
        assert (abs(seen - p) <= 5 * np.sqrt(p * (1 - p) / count)).all()


def test_a_seed_gives_the_same_errors_in_any_batches_and_new_ones_in_each_call():
    rnn, x = network(), inputs(3, 8)

    def drawn(seed):
        return rnn.on("fused", **NOISE, trajectories=4, seed=seed)

    def differ(a, b):
        return (a - b).abs().max() > 0.01

    with torch.no_grad():
        noisy, again = drawn(1), drawn(1)
        z = noisy(x)[0]
        split = torch.cat([again(x[:, :3])[0], again(x[:, 3:])[0]], 1)
        torch.testing.assert_close(split, z, rtol=0, atol=1e-6)
        assert differ(noisy(x)[0], z)
        assert differ(drawn(2)(x)[0], z)
        repeated = []
        for net in (noisy, again, noisy):  # a training does so at each epoch
            net.cell.device.reseed(7)
            repeated.append(net(x)[0])
        torch.testing.assert_close(repeated[:2], repeated[1:], rtol=0, atol=0)
        assert differ(repeated[0], z)
        free = []
        for seed in (3, 3, 4):
            np.random.seed(seed)
            free.append(drawn(None)(x)[0])
        torch.testing.assert_close(free[0], free[1], rtol=0, atol=0)
        assert differ(free[0], free[2])


def test_a_pause_moves_neither_the_state_nor_the_errors():
    rnn, x = network(), inputs(3, 2)
    pause = torch.tensor([[True, True], [False, True], [True, True]])
    with torch.no_grad():
        z, _ = rnn.on("fused", **NOISE, trajectories=4, seed=1).cell.sequence(x, active=pause)
        alone = rnn.on("fused", **NOISE, trajectories=4, seed=1)(x[::2])[0]
    torch.testing.assert_close(z[::2, 0], alone[:, 0], rtol=0, atol=1e-6)


def test_layers_have_errors_of_their_own():
    rnn = QRNN(2, 2, num_layers=2, device="fused").on("fused", **NOISE, trajectories=4, seed=1)
    first, second = (cell.memory.draws.seeds(3) for cell in rnn.cells)
    assert not set(first) & set(second)


def test_a_state_goes_on_when_it_is_pickled_and_when_it_is_detached():
    rnn, x = network().on("fused", **NOISE, trajectories=4, seed=1), inputs()
    _, state = rnn(x)
    z, _ = rnn(x, state)
    for other in (pickle.loads(pickle.dumps(state)), state.detach()):
        torch.testing.assert_close(rnn(x, other)[0], z, rtol=0, atol=0)
        torch.testing.assert_close(other.amplitudes(), state.amplitudes(), rtol=0, atol=0)
    assert rnn(x, state.detach())[0].requires_grad
    with pytest.raises(ConfigError, match="a cell with another number of trajectories"):
        network().on("fused", **NOISE, trajectories=5)(x, state)
    copied = pickle.loads(pickle.dumps(network().on("fused", **NOISE, trajectories=4, seed=1)))
    again = network().on("fused", **NOISE, trajectories=4, seed=1)
    torch.testing.assert_close(copied(x)[0], again(x)[0], rtol=0, atol=0)


def test_groups_of_trajectories_are_the_whole(monkeypatch):
    rnn, x = network(dtype=DOUBLE), inputs(dtype=DOUBLE)

    def run(net, x):
        return net(x)[0].sin().mean()

    def found():
        noisy = rnn.on("fused", **NOISE, trajectories=20, seed=1)
        return gradients(noisy, run, x), noisy(x)[1].amplitudes()

    whole = found()
    monkeypatch.setattr("qrnn.memory.fused_trajectories.GROUP", 1)
    torch.testing.assert_close(found(), whole, rtol=0, atol=1e-12)


def test_readout_errors_alone_are_exact_for_many_qubits():
    rnn, x = network(n_qubits=13, layers=1), inputs(2, 1)
    noisy = rnn.on("fused", noise="readout", strength=0.1)
    with torch.no_grad():
        _, state = rnn.cell(x[0])
        z, _ = noisy.cell(x[0])
    torch.testing.assert_close(z, 0.8 * state.z, rtol=0, atol=1e-6)
    assert isinstance(noisy.cell.memory, FusedTrajectories)


def test_each_cell_has_errors_of_its_own_however_often_it_is_moved():
    rnn = network("default", num_layers=2).on("fused", trajectories=2, seed=1, **NOISE)
    for cell in rnn.cells:
        cell.use(rnn.cell.device)
    first, second = (cell.memory.draws.seeds(3) for cell in rnn.cells)
    assert not (first == second).any()


def test_another_default_dtype_changes_nothing():
    rnn, x = network("default").on("fused", trajectories=3, seed=1, **NOISE), inputs()
    torch.set_default_dtype(DOUBLE)
    try:
        assert rnn(x)[0].dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_state_of_many_qubits_is_not_shown():
    rnn = QRNN(1, 13, readout="Z", width=2).on("fused", noise="readout", strength=0.1)
    with pytest.raises(DeviceError, match="shows the state of at most 12 qubits with noise"):
        rnn(torch.zeros(1, 1, 1))[1].amplitudes()


def test_what_trajectories_cannot_do_is_refused():
    rnn = network()
    with pytest.raises(ConfigError, match=r"trajectories must be left out without noise of gates"):
        rnn.on("fused", noise="readout", strength=0.1, trajectories=2)
    with pytest.raises(ConfigError, match=r"trajectories must be left out without noise of gates"):
        rnn.on("fused", trajectories=2)
    with pytest.raises(ConfigError, match=r"ignore device.seed, as it draws nothing"):
        rnn.on("fused", **NOISE, seed=1)
    with pytest.raises(ConfigError, match=r"device.trajectories must be finite and at least 1"):
        rnn.on("fused", **NOISE, trajectories=0)
    with pytest.raises(
        ConfigError, match=r"amplitude damping of .*: set device.twirl_damping=true"
    ):
        rnn.on("fused", noise="amplitude_damping", strength=0.1, trajectories=2)
    with pytest.raises(ConfigError, match=r"twirl_damping must be left out without trajectories"):
        rnn.on("fused", noise="amplitude_damping", strength=0.1, twirl_damping=True)
    with pytest.raises(ConfigError, match=r"twirl_damping must be left out without trajectories"):
        rnn.on("fused", **NOISE, trajectories=2, twirl_damping=True)
    with pytest.raises(DeviceError, match=r"at most 12 coupled qubits .* set device.trajectories"):
        network(n_qubits=13).on("fused", **NOISE)

    def forgetting(angles, wires):
        Damping(angles[0], wires=wires[0])

    with pytest.raises(DeviceError, match=r"trajectories must be left out with Damping"):
        network(ansatz=forgetting, n_angles=1).on("fused", **NOISE, trajectories=2)
    memory = network(n_qubits=12, layers=1).on("fused", **NOISE, trajectories=1).cell.memory
    with pytest.raises(ConfigError, match="1000 density matrices must fit"):
        memory.amplitudes(memory.start(1000, torch.zeros(1)))
