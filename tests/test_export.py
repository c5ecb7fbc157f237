"""The circuits that other programs get: the same state and readouts as the cell's own."""

import io
import math
import sys
from functools import partial

import numpy as np
import pennylane as qml
import pytest
import torch
from qiskit import qasm3, qpy
from qiskit.quantum_info import DensityMatrix, Operator, Statevector

from helpers import reference
from helpers.commands import qrnn
from helpers.gate_examples import GATE_EXAMPLES
from helpers.problems import PROBLEMS, D, inputs, network
from qrnn import QRNN, ConfigError, MissingExtraError, export
from qrnn.cli.export import angles_of, cell_of
from qrnn.config import ExportConfig, TrainConfig, to_plain
from qrnn.data import DigitsConfig, Shape, Split, Stream, digits
from qrnn.models.build import build_model
from qrnn.models.sequence import SequenceClassifier
from qrnn.networks.classical import LSTMConfig
from qrnn.networks.hybrid import HybridConfig
from qrnn.networks.quantum_neuron import QuantumNeuronConfig
from qrnn.training.checkpoint import load_model

DOUBLE = torch.float64
EXACT = {"rtol": 0, "atol": 1e-10}


def all_gates(angles, wires):
    """Every gate of the gate set, and some that are decomposed into it."""
    angles = iter(angles)
    for n_params, n_wires, gate in GATE_EXAMPLES.values():
        gate([next(angles) for _ in range(n_params)], wires[3 - n_wires :])


N_ALL = sum(n_params for n_params, _, _ in GATE_EXAMPLES.values())
NETWORKS = [*PROBLEMS, "all gates"]


def build(name):
    if name == "all gates":
        options = {"ansatz": all_gates, "n_angles": N_ALL, "readout": ["XYI", "ZIZ", "IIY"]}
        return QRNN(D, 3, **options, width=4, bias_range=3).to(DOUBLE)
    return network(name, DOUBLE)


def run(name):
    """Return a network's cell, and angles (T, P) of a sequence with readouts by dense matrices."""
    rnn, x = build(name), inputs(batch=1, dtype=DOUBLE)
    z, _ = reference.run(rnn.cell, x)
    return rnn.cell, export.angles(rnn, x)[0], torch.as_tensor(z[:, 0])


def through_qasm(circuit):
    return qasm3.loads(qasm3.dumps(circuit, disable_constants=True))


def through_qpy(circuit):
    qpy.dump(circuit, file := io.BytesIO())
    file.seek(0)
    (loaded,) = qpy.load(file)
    return loaded


def assert_same_unitary(circuit, u):
    """Compare a Qiskit circuit with a matrix in PennyLane's order, up to a global phase."""
    found = Operator(circuit).reverse_qargs().data
    overlap = (u.conj() * found).sum() / len(u)
    assert abs(overlap) == pytest.approx(1)
    np.testing.assert_allclose(found, overlap * u, **EXACT)


def execute(tape):
    (results,) = qml.execute([tape], qml.device("default.qubit"), diff_method=None)
    return torch.stack([torch.as_tensor(result) for result in results])


def tape_of(source):
    names = {}
    exec(source, names)
    return names["tape"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_tape_has_the_readouts_of_the_cell(name):
    cell, theta, z = run(name)
    torch.testing.assert_close(execute(export.tape(cell, theta)), z[-1], **EXACT)
    torch.testing.assert_close(execute(export.tape(cell, theta[0])), z[0], **EXACT)
    torch.testing.assert_close(execute(export.tape(cell.circuit, theta[:2])), z[1], **EXACT)
    again = tape_of(export.source(cell, theta))
    names = [[op.name for op in t.operations] for t in (again, export.tape(cell, theta))]
    assert names[0] == names[1]
    torch.testing.assert_close(execute(again), z[-1], **EXACT)


@pytest.mark.parametrize("name", NETWORKS)
def test_qiskit_and_openqasm_have_the_unitary_of_the_cell(name):
    cell, theta, _ = run(name)
    u = np.linalg.multi_dot(
        [reference.step_matrix(cell.circuit.ansatz, step) for step in theta.flip(0)]
    )
    circuit = export.qiskit_circuit(cell, theta)
    assert circuit.num_qubits == cell.circuit.n_wires
    assert not circuit.clbits
    assert not circuit.parameters
    text = export.qasm3(cell, theta)
    assert text.startswith("OPENQASM 3.0;")
    for loaded in (circuit, through_qpy(circuit), qasm3.loads(text)):
        assert_same_unitary(loaded, u)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_bases_together_measure_all_readouts(name):
    cell, theta, z = run(name)
    found = {}
    for basis in export.bases(cell):
        circuit = qasm3.loads(export.qasm3(cell, theta, basis))
        # What is on each wire's qubit, and which bit of register c says so.
        read = {}
        for item in circuit.data:
            if item.operation.name == "measure":
                ((register, bit),) = circuit.find_bit(item.clbits[0]).registers
                assert register.name == "c"
                read[circuit.find_bit(item.qubits[0]).index] = bit
        measured = [wire for wire, letter in enumerate(basis) if letter != "I"]
        assert read == {wire: bit for bit, wire in enumerate(measured)}
        state = Statevector(circuit.remove_final_measurements(inplace=False))
        for word in cell.circuit.words:
            wires = [wire for wire, letter in enumerate(word) if letter != "I"]
            if all(basis[wire] == word[wire] for wire in wires):
                p = state.probabilities(wires)
                parity = [bin(i).count("1") for i in range(len(p))]
                found[word] = (p * (-1.0) ** np.array(parity)).sum()
    values = torch.tensor([found[word] for word in cell.circuit.words], dtype=DOUBLE)
    torch.testing.assert_close(values, z[-1], **EXACT)


def test_wire_0_is_qubit_0_and_the_rightmost_bit():
    def ansatz(angles, wires):
        qml.RY(angles[0], wires=wires[0])

    cell = QRNN(1, 3, ansatz=ansatz, n_angles=1, readout="Z").cell
    assert execute(export.tape(cell, [math.pi])).tolist() == [-1, 1, 1]
    circuit = export.qiskit_circuit(cell, [math.pi])
    assert Statevector(circuit).probabilities_dict()["001"] == pytest.approx(1)
    assert "ry(3.141592653589793) q[0];" in export.qasm3(cell, [math.pi])
    assert export.qasm3(cell, [math.pi], "XIY").endswith(
        "h q[0];\nsdg q[2];\nh q[2];\nc[0] = measure q[0];\nc[1] = measure q[2];\n"
    )


def test_angles_near_a_fraction_of_pi_are_written_in_full():
    cell = QRNN(1, 1, layers=1, rotations=("RX", "RY", "RZ")).cell
    near = [math.pi / 2 + 1e-11, 1e-11, 0.1 + 2**-50]
    assert [gate.params for gate in qasm3.loads(export.qasm3(cell, near)).data] == [
        [value] for value in near
    ]
    written = tape_of(export.source(cell, near))
    assert [gate.data for gate in written.operations] == [(value,) for value in near]


def mean_outcomes(circuit):
    """Return the mean of each bit of register m, over the outcomes of the bits before it."""
    rho, means = DensityMatrix.from_label("0" * circuit.num_qubits), {}
    for item in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        if item.operation.name == "measure":
            ((register, bit),) = circuit.find_bit(item.clbits[0]).registers
            if register.name == "m":
                assert qubits == [circuit.num_qubits - 1]
                means[bit] = rho.probabilities(qubits)[1]
        elif item.operation.name == "reset":
            rho = rho.reset(qubits)
        else:
            rho = rho.evolve(item.operation, qubits)
    return torch.tensor([means[bit] for bit in range(len(means))], dtype=DOUBLE)


@pytest.mark.parametrize("words", ["XY", ["YZ", "XX", "IY"]])
def test_measured_readouts_are_kept_mid_circuit(words):
    options = {"readout": words, "readout_mode": "measure", "readout_angle": 0.7}
    rnn = QRNN(D, 2, device="default.mixed", bias_range=2, **options).to(DOUBLE)
    x = inputs(steps=3, batch=1, dtype=DOUBLE)
    z = torch.as_tensor(reference.run_measured(rnn.cell, x))
    cell, theta = rnn.cell, export.angles(rnn, x)[0]
    circuit = export.qiskit_circuit(cell, theta, "ZZ")
    assert circuit.num_qubits == 3
    assert {register.name: register.size for register in circuit.cregs} == {
        "c": 2,
        "m": 3 * cell.n_readouts,
    }
    for loaded in (circuit, through_qpy(circuit), through_qasm(circuit)):
        found = cell.circuit.values(mean_outcomes(loaded).reshape(3, -1))
        torch.testing.assert_close(found, z[:, 0], **EXACT)
    # On state vectors each outcome is deferred to a qubit of its own: two steps are enough.
    for tape in (export.tape(cell, theta[:2]), tape_of(export.source(cell, theta[:2]))):
        tapes, post = qml.defer_measurements(tape)
        found = post([execute(one) for one in tapes])
        torch.testing.assert_close(cell.circuit.values(found), z[1, 0], **EXACT)


def test_a_tape_has_the_gradient_of_the_cell():
    cell, theta, _ = run("affine function")
    theta.requires_grad_()
    tape = export.tape(cell, theta)
    (results,) = qml.execute([tape], qml.device("default.qubit"), diff_method="backprop")
    (found,) = torch.autograd.grad(torch.stack(results).square().sum(), theta)
    bias = cell.quantum.bias.detach()
    z = cell.memory.run((theta - bias)[None])[0, -1]
    (expected,) = torch.autograd.grad(z.square().sum(), theta)
    torch.testing.assert_close(found, expected, **EXACT)


def test_angles_are_of_the_cell_that_was_chosen():
    rnn = QRNN(D, 2, num_layers=2).to(DOUBLE)
    x = inputs(batch=2, dtype=DOUBLE)
    with torch.no_grad():
        z, _ = rnn(x)
    theta = export.angles(rnn, x, cell=rnn.cells[1])
    assert theta.shape == (2, len(x), rnn.cells[1].circuit.n_angles)
    torch.testing.assert_close(execute(export.tape(rnn.cells[1], theta[1])), z[-1, 1], **EXACT)
    with pytest.raises(ConfigError, match=r"must hold one hybrid cell, got 2: pass cell="):
        export.angles(rnn, x)
    with pytest.raises(ConfigError, match="must call the cell"):
        export.angles(rnn, x, cell=QRNN(D, 2).cell)
    assert not rnn.cells[1].controller._forward_hooks


@pytest.mark.parametrize(
    ("theta", "basis", "message"),
    [
        (torch.zeros(7), None, r"\(T, P\) of T steps, P = 8, got shape \(7,\)"),
        (torch.zeros(1, 2, 8), None, r"got shape \(1, 2, 8\)"),
        (torch.zeros(0, 8), None, r"got shape \(0, 8\)"),
        (torch.full((8,), math.nan), None, "finite angles, got NaN or infinity"),
        (torch.zeros(8), "X", "basis must be 2 of the letters I, X, Y, Z, not all I, got 'X'"),
        (torch.zeros(8), "XA", "got 'XA': qrnn.export.bases lists"),
        (torch.zeros(8), "II", "not all I, got 'II'"),
    ],
)
def test_what_cannot_be_exported_is_one_line(theta, basis, message):
    with pytest.raises(ConfigError, match=message):
        export.qasm3(QRNN(1, 2).cell, theta, basis)


def test_without_qiskit_the_error_says_what_to_install(monkeypatch):
    cell = QRNN(1, 2).cell
    monkeypatch.setitem(sys.modules, "qiskit", None)
    with pytest.raises(
        MissingExtraError, match=r"OpenQASM 3 needs .*pip install 'pennylane-qrnn\[ibm\]'"
    ):
        export.qasm3(cell, torch.zeros(8))
    assert "qml.RY" in export.source(cell, torch.zeros(8))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained model with large angles, kept as `qrnn train` keeps a trained one."""
    torch.manual_seed(3)
    config, shape = TrainConfig(task=DigitsConfig()), digits(DigitsConfig()).shape
    config.model.n_qubits, config.model.width, config.model.bias_range = 3, 4, 3.0
    weights = build_model(config, shape).state_dict()
    path = tmp_path_factory.mktemp("export") / "best.ckpt"
    content = {"config": to_plain(config), "shape": vars(shape)}
    torch.save({"qrnn": content, "state_dict": {f"model.{k}": v for k, v in weights.items()}}, path)
    return path


@pytest.fixture
def command(checkpoint, qrnn_command, monkeypatch, tmp_path):
    """What runs `qrnn export`: arguments to (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    return partial(qrnn_command, "export", f"checkpoint={checkpoint}")


def test_the_command_exports_the_circuit_of_a_test_sequence(command, checkpoint, tmp_path):
    model, _ = load_model(checkpoint)
    x = digits(DigitsConfig()).test.x[4:5]
    with torch.no_grad():
        z, state = model.rnn(x)
    theta = export.angles(model, x)[0]
    single = {"rtol": 0, "atol": 1e-5}  # the model's own precision

    status, out, err = command("index=4")
    assert (status, err) == (0, "")
    assert out == export.qasm3(model.rnn.cell, theta)
    found = Statevector(qasm3.loads(out)).reverse_qargs().data
    overlap = np.vdot(found, state.amplitudes()[0].numpy())
    assert abs(overlap) == pytest.approx(1, abs=1e-5)

    assert command("index=4", "step=5", "basis=XIY")[1] == export.qasm3(
        model.rnn.cell, theta[5], "XIY"
    )
    status, out, _ = command("index=4", "format=tape", "output=kept/a.py")
    assert (status, out) == (0, "8 steps on 3 qubits saved to kept/a.py\n")
    text = (tmp_path / "kept/a.py").read_text()
    torch.testing.assert_close(execute(tape_of(text)).float(), z[0, -1], **single)

    status, out, _ = command(
        "index=4",
        "format=qiskit",
        "step=0",
        "output=a.qpy",
        "split=test",
        "readout_mode=measure",
        "readout_angle=0.5",
    )
    assert (status, out) == (0, "step 0 on 3 qubits saved to a.qpy\n")
    (circuit,) = qpy.load((tmp_path / "a.qpy").open("rb"))
    read = model.rnn.cell.circuit.read_by("measure", 0.5)
    torch.testing.assert_close(read.values(mean_outcomes(circuit)).float(), z[0, 0], **single)
    assert command("index=4", "split=val")[1] != command("index=4", "split=train")[1]


def test_the_command_refuses_what_it_cannot_do_in_one_line(command):
    for arguments, message in {
        "format=qasm": "format 'qasm' is not known: did you mean qasm3? Allowed: qasm3, qiskit",
        "format=qiskit": "output must name a file for format qiskit, which is binary: output=a.qpy",
        "format=tape basis=XXX": "basis must be left out with format tape, got 'XXX'",
        "step=x": "step must be all, or a number counted from 0, got 'x'",
        "readout_angle=1": "readout_angle must be left out with readout_mode expval",
        "output=.": "output must name a file that can be written, got .: ",
    }.items():
        status, out, err = command(*arguments.split())
        assert (status, out) == (2, ""), arguments
        assert err.startswith("qrnn: ")
        assert message in err
        assert err.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(checkpoint, tmp_path):
    with (tmp_path / "pipe").open("w") as pipe:

        class Closed(io.StringIO):
            fileno = pipe.fileno

            def write(self, text):
                raise BrokenPipeError

        done = qrnn("export", f"checkpoint={checkpoint}", cwd=tmp_path, stdout=Closed())
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": "8"}, r"step must be one of 0\.\.7, got 8"),
        ({"index": -1}, r"index must be one of 0\.\.2, got -1"),
        ({"index": 3}, r"index must be one of 0\.\.2, got 3"),
    ],
)
def test_there_must_be_such_a_sequence_and_step(checkpoint, options, message):
    model, _ = load_model(checkpoint)
    part = Split(torch.rand(3, 8, 8), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ConfigError, match=message):
        angles_of(ExportConfig(**options), model, model.rnn.cell, part)


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (HybridConfig(width=4), Shape("classify", 2, 3), r"^cell must be one of 0\.\.0, got 1$"),
        (LSTMConfig(), Shape("classify", 2, 3), "^checkpoint must be of a hybrid model, got lstm$"),
        (
            QuantumNeuronConfig(),
            Shape("label", 4, 4, tokens=True),
            r"got quantum_neuron: in Python, model.on\('default.qubit'\).tapes\(batch\) returns",
        ),
    ],
)
def test_the_model_must_have_such_a_cell(config, shape, message):
    with pytest.raises(ConfigError, match=message):
        cell_of(build_model(TrainConfig(model=config), shape), config.name, 1)


def test_a_cell_is_chosen_by_its_number():
    config = TrainConfig(model=HybridConfig(width=4, n_qubits=2, num_layers=2, bidirectional=True))
    model = build_model(config, Shape("classify", 2, 3))
    assert [cell_of(model, "hybrid", i) for i in range(4)] == list(model.rnn.cells)


def test_steps_that_pad_a_sequence_are_not_exported():
    model = SequenceClassifier(QRNN(D, 2, batch_first=True), 2).eval()
    x, lengths = torch.randn(3, 5, D), torch.tensor([5, 2, 4])
    part = Split(x, torch.zeros(3, dtype=torch.long), lengths)
    found = angles_of(ExportConfig(index=1), model, model.rnn.cell, part)
    torch.testing.assert_close(found, export.angles(model, x[1:2, :2])[0])
    with pytest.raises(ConfigError, match="must be of a task with separate sequences"):
        angles_of(ExportConfig(), model, model.rnn.cell, Stream(torch.arange(9), 3))
