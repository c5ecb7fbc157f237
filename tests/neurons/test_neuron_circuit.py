"""The PennyLane circuit against the dense reference, on simulators and simulated backends."""

import pennylane as qml
import pytest
import torch

from helpers.neuron_reference import assert_close, cell_of, gradients, run, tokens
from qrnn.devices.ibm.batch import Batch
from qrnn.errors import ConfigError, DeviceError
from qrnn.neurons import QuantumNeuronRNN
from qrnn.neurons.circuit import apply_neuron
from qrnn.neurons.definition import Definition

ACTIVE = torch.tensor([[1, 1], [0, 1]]).bool()


@pytest.mark.parametrize(
    ("w", "io", "stages", "order", "degree"),
    [
        (1, 1, 1, 1, 1),
        (2, 1, 0, 1, 3),
        (1, 2, 0, 2, 2),
        (2, 1, 1, 2, 1),
        (1, 1, 1, 3, 1),
        (1, 2, 0, 3, 2),
    ],
)
def test_values_and_gradients_on_default_qubit_are_the_dense_ones(w, io, stages, order, degree):
    cell = cell_of(w, io, stages, order, degree, spread=0.4).on("default.qubit")
    x, targets = tokens(io, 2, 2)
    p, _, _ = run(cell, x, targets, ACTIVE)
    log_p, state = cell.sequence(x, None, ACTIVE, targets)
    assert_close(log_p.exp(), p, atol=1e-9)
    assert_close(state.z.exp(), p[-1], atol=1e-9)
    weights = torch.randn_like(p)
    expected = gradients(cell, (p.log() * weights).sum())
    assert expected.abs().max() > 0.01
    assert_close(gradients(cell, (log_p * weights).sum()), expected, atol=1e-6)
    assert cell.kept is None


def test_a_neuron_of_each_order_takes_its_ancillas_and_measurements():
    for order in (1, 2, 3):
        definition = Definition(2, 1, order=order, degree=2)
        weights = definition.start_weights()
        with qml.queuing.AnnotatedQueue() as queue:
            apply_neuron(definition, weights, definition.work_layers[0][0])
        tape = qml.tape.QuantumScript.from_queue(queue)
        measured = [op for op in tape.operations if isinstance(op, qml.ops.MidMeasure)]
        assert len(measured) == 2**order - 1
        assert {op.wires[0] for op in measured} == set(definition.ancillas)
        assert all(op.postselect == 0 for op in measured)


def test_the_network_runs_on_a_device_and_shares_its_weights():
    rnn = QuantumNeuronRNN(1, 1, order=1, degree=1, batch_first=True)
    there = rnn.on("default.qubit")
    assert there.cell.theta is rnn.cell.theta
    assert rnn.cell.replay is None
    x, targets = tokens(1, 2, 3)
    here, _ = rnn(x, targets, lengths=[2, 3])
    assert_close(there(x, targets, lengths=[2, 3])[0], here, atol=1e-5)


def test_steps_that_a_sequence_skips_are_not_in_its_circuit():
    cell = cell_of(1, 1, 1, 1, 1, spread=0.5)
    x, targets = torch.tensor([[0, 1, 1, 0, 1]]).T, torch.tensor([[0, 1, 0, 1, 0]]).T
    active = torch.tensor([[0, 1, 0, 1, 1]]).bool().T
    p, _, _ = run(cell, x, targets, active)
    log_p, _ = cell.on("default.qubit").sequence(x, None, active, targets)
    assert_close(log_p.exp(), p)


def test_a_state_is_carried_on_a_device():
    cell = cell_of(1, 1, 1, 1, 1).on("default.qubit")
    x, targets = tokens(1, 3, 2)
    whole, _ = cell.sequence(x, targets=targets)
    _, state = cell.sequence(x[:1], targets=targets[:1])
    second, state = cell(x[1], state.detach(), None, targets[1])
    third, _ = cell(x[2], state, None, targets[2])
    assert_close(torch.stack([second, third]), whole[1:])


@pytest.mark.parametrize("name", ["default.qubit", "lightning.qubit"])
def test_shots_of_a_simulator_follow_p_and_the_theory_of_those_kept(name):
    check_shots(cell_of(2, 1, 0, 1, 2, spread=0.3), name, 4000, seed=4)


def test_shots_of_ideal_aer_follow_p_and_the_theory_of_those_kept():
    check_shots(cell_of(1, 1, 1, 1, 1, spread=0.3), "aer", 8000, seed=4)


def check_shots(cell, name, shots, **options):
    x, targets = torch.tensor([[0, 1], [1, 1]]), torch.tensor([[1, 0], [0, 0]])
    p, share, _ = run(cell, x, targets)
    device = cell.on(name, shots=shots, **options)
    log_p, _ = device.sequence(x, targets=targets)
    assert not log_p.requires_grad
    assert ((device.kept - share).abs() < 5 * (share * (1 - share) / shots).sqrt()).all()
    error = (p * (1 - p) / (shots * share)[..., None]).sqrt()
    assert ((log_p.exp() - p).abs() < 5 * error).all()
    assert_close(log_p.exp().sum(2), torch.ones(2, 2).double())


def test_samples_are_drawn_on_the_device_step_by_step():
    cell = cell_of(1, 1, 0, 1, 1, spread=0.3)
    x = torch.randint(2, (3, 5))
    device = cell.on("default.qubit")
    log_p, _ = device.sequence(x, generator=torch.Generator().manual_seed(1))
    assert device.outcomes.unique().tolist() == [0, 1]
    p, _, _ = run(cell, x, device.outcomes)
    assert_close(log_p.exp(), p)
    cell.sequence(x, generator=torch.Generator().manual_seed(1))
    assert torch.equal(device.outcomes, cell.outcomes)


def test_a_simulated_backend_runs_the_circuit_and_says_what_it_kept():
    cell = cell_of(1, 1, 0, 1, 1, spread=0.3)
    x, targets = torch.tensor([[1, 0]]), torch.tensor([[1, 0]])
    p, share, _ = run(cell, x, targets)
    device = cell.on("fake_manila", shots=1000, seed=2)
    log_p, _ = device.sequence(x, targets=targets)
    assert_close(log_p.exp(), p, atol=0.15)  # noise
    assert_close(device.kept, share, atol=0.1)


def test_circuits_of_all_inputs_and_targets_have_one_structure():
    cell = cell_of(1, 2, 0, 1, 1).on("aer", shots=10)
    replay = cell.replay
    histories = [([1, 2], [3]), ([0, 3], [0]), ([2, 2], [1])]
    numbers = type(cell.weights)(*(part.detach().numpy() for part in cell.weights))
    tapes, _ = replay.plugin.preprocess_transforms()(
        [replay.tape(numbers, history) for history in histories]
    )
    (block,) = Batch(tapes, replay.plugin.wires).blocks
    assert len(block.values) == 3


def test_no_shot_left_is_an_error():
    cell = cell_of(2, 2).on("default.qubit", shots=1, seed=1)
    x, targets = tokens(2, 3, 2)
    with pytest.raises(DeviceError, match=r"outlast the projections of . steps, but none of 1 did"):
        cell.sequence(x, targets=targets)


def test_devices_that_cannot_postselect_or_are_too_small_are_refused():
    cell = cell_of(2, 2)
    with pytest.raises(DeviceError, match=r"'default.mixed' cannot postselect"):
        cell.on("default.mixed")
    with pytest.raises(ConfigError, match=r"device.strategy must be replayed"):
        cell.on("default.qubit", strategy="carried")
    with pytest.raises(ConfigError, match=r"device.gradient must be backprop or none"):
        cell.on("default.qubit", strategy="replayed", gradient="parameter-shift")
    with pytest.raises(ConfigError, match="fixed readout"):
        cell.on("default.qubit", readout_mode="measure")
    with pytest.raises(DeviceError, match="at most 20 qubits, got 22"):
        cell_of(17, 3, 0, 2, 1).on("default.qubit")


def test_without_a_gradient_on_request():
    cell = cell_of(1, 1, 0, 1, 1).on("default.qubit", strategy="replayed", gradient="none")
    log_p, _ = cell.sequence(torch.zeros(1, 1, dtype=torch.long))
    assert not log_p.requires_grad


def test_the_drawing_shows_the_steps_projections():
    text = cell_of(1, 1, 0, 1, 1).draw(1, decimals=1, max_length=200)
    assert text.count("┤↗₀├") == 2  # a neuron on the workspace, one on in/out
    assert len(text.splitlines()) == 3
