"""How tapes become jobs, PUBs and transpilations; seeds; refusals."""

import copy
import math
import sys
import time
from itertools import pairwise

import numpy as np
import pennylane as qml
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.primitives import BackendSamplerV2
from qiskit.transpiler import CouplingMap
from qiskit_aer import AerSimulator

from helpers.ibm_tapes import N, angles, replay
from qrnn import QRNN
from qrnn.devices.ibm import IBMDevice, fake_names, limits, runtime, transpiling
from qrnn.devices.ibm.backends import fake_backend
from qrnn.devices.ibm.batch import Batch
from qrnn.devices.ibm.circuits import unpack
from qrnn.devices.ibm.jobs import Block, split
from qrnn.devices.ibm.translate import Step, Structure
from qrnn.errors import ConfigError, DeviceError


@pytest.fixture
def sent(monkeypatch):
    """The PUBs of every job that is sent, job by job."""
    calls = []
    make = runtime.local_sampler

    def spy(backend, seed):
        sampler = make(backend, seed)
        run = sampler.run

        def record(pubs):
            calls.append(list(pubs))
            return run(pubs)

        sampler.run = record
        return sampler

    monkeypatch.setattr(runtime, "local_sampler", spy)
    return calls


@pytest.fixture
def transpiled(monkeypatch):
    """The structures that are really transpiled, with a cold cache."""
    done = []
    work = transpiling.Transpiler._transpile

    def spy(self, structure, layout):
        done.append(structure)
        return work(self, structure, layout)

    monkeypatch.setattr(transpiling, "_CACHE", type(transpiling._CACHE)())
    monkeypatch.setattr(transpiling.Transpiler, "_transpile", spy)
    return done


def manila(**options):
    return IBMDevice(wires=N, backend="fake_manila", **{"seed": 5, **options})


def test_the_entry_point_finds_the_device():
    assert isinstance(qml.device("qrnn.ibm", backend="fake_manila", wires=2), IBMDevice)


def test_a_batch_is_one_job_and_one_pub_a_setting(sent):
    device = manila()
    results = device.execute([replay(angles(1, 8)), replay(angles(1, 3)), replay(angles(1))])
    assert [np.shape(r) for r in results] == [(12, 8), (12, 3), (12,)]
    assert device.jobs == len(sent) == 1
    # X, Y and Z of all the qubits; the 8 + 3 + 1 rows of the three tapes share the PUB.
    assert [values.shape[0] for _, values, _ in sent[0]] == [12, 12, 12]


def test_rows_come_back_to_their_tape():
    device = IBMDevice(wires=N, backend="aer", seed=1)
    theta = np.zeros((1, 5, 2 * N))
    flips = np.random.default_rng(0).integers(0, 2, size=(5, N))
    theta[0, :, :N] = np.pi * flips
    first, second = device.execute([replay(theta[:, :2]), replay(theta[:, 2:])])
    z = np.concatenate([np.array(first)[8:], np.array(second)[8:]], axis=1)
    np.testing.assert_array_equal(z, 1 - 2 * flips.T)


def test_parameters_keep_their_order_beyond_ten():
    device = IBMDevice(wires=1, backend="aer", seed=1, shots=4000)
    many = np.linspace(0.1, 2.3, 23)

    @qml.qnode(device)
    def circuit(x):
        for i, value in enumerate(x):
            (qml.RX, qml.RY, qml.RZ)[i % 3](value, 0)
        return [qml.expval(p(0)) for p in (qml.X, qml.Y, qml.Z)]

    exact = qml.QNode(circuit.func, qml.device("default.qubit"))(many)
    np.testing.assert_allclose(circuit(many), exact, atol=0.1)


def test_one_transpilation_a_structure_shared_by_devices(transpiled):
    manila().execute([replay(angles(1, 2))])
    assert len(transpiled) == 3  # one for each measurement setting
    manila().execute([replay(angles(1, 5), shots=16), replay(angles(1))])
    assert len(transpiled) == 3
    manila(optimization_level=1).execute([replay(angles(1))])
    assert len(transpiled) == 6


@pytest.mark.parametrize("ring", [False, True])
def test_the_layout_of_the_first_step_serves_all_steps(ring, transpiled):
    device = IBMDevice(wires=N, backend="fake_fez", seed=5)
    compiler = device.transpiler
    for T in (1, 2, 5):
        device.execute([replay(angles(T), ring=ring)])
    layouts = {compiler(structure).layout for structure in transpiled}
    assert len(layouts) == 1


def test_a_first_step_without_couplings_does_not_scatter_the_qubits():
    # CZ before a measurement of Z does nothing, but the next step needs it.
    rnn = QRNN(2, 4, layers=1, readout="Z", width=4).on("fake_sherbrooke", shots=16, seed=1)
    with torch.no_grad():
        rnn(torch.zeros(3, 1, 2))
    transpiler = rnn.cell.plugin.transpiler
    coupled = {tuple(sorted(pair)) for pair in transpiler.backend.coupling_map}
    for pair in pairwise(transpiler.layout):
        assert tuple(sorted(pair)) in coupled


@pytest.mark.parametrize("ring", [False, True])
@pytest.mark.parametrize("T", [1, 3])
def test_routing_is_undone_in_the_results(ring, T):
    """A ring needs SWAPs on a line of qubits, so qubits end elsewhere than they began."""
    line = AerSimulator(
        coupling_map=CouplingMap.from_line(5), basis_gates=["cx", "rz", "sx", "x", "measure"]
    )
    device = IBMDevice(wires=N, backend=line, seed=5)
    tape = replay(angles(T), shots=40_000, ring=ring)
    exact = qml.device("default.qubit").execute(tape.copy(shots=None))
    np.testing.assert_allclose(device.execute([tape])[0], exact, atol=0.03)


def test_transpile_time_grows_no_faster_than_the_steps(transpiled):
    device = IBMDevice(wires=N, backend="fake_fez", seed=5)
    compiler = device.transpiler
    seconds = {}
    for T in (1, 4, 16):
        structures = _structures(replay(angles(T), ring=True))
        best = np.inf
        for _ in range(3):
            transpiling._CACHE.clear()
            start = time.process_time()
            for structure in structures:
                compiler(structure)
            best = min(best, time.process_time() - start)
        seconds[T] = best
    assert seconds[16] < 16 * seconds[1]
    assert seconds[16] < 6 * seconds[4]


def _structures(tape):
    return [block.structure for block in Batch([tape], qml.wires.Wires(range(N))).blocks]


def test_a_fake_backend_keeps_its_own_noise():
    """In Aer, outcomes equal, shot for shot, those of the fake backend without this package."""
    backend = fake_backend("fake_manila")
    circuit = QuantumCircuit(5, 5)
    circuit.sx([0, 1, 2])
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.measure([0, 1, 2], [0, 1, 2])
    plain, shared = (
        BackendSamplerV2(backend=b, options={"seed_simulator": 3}).run([(circuit, None, 2000)])
        for b in (backend.fake, backend)
    )
    np.testing.assert_array_equal(plain.result()[0].data.c.array, shared.result()[0].data.c.array)


def test_a_fake_backend_costs_what_its_circuits_cost():
    """Aer encodes all of a noise model for each job."""
    backend = fake_backend("fake_fez")
    assert copy.deepcopy(backend) is backend
    circuit = QuantumCircuit(156)
    circuit.cz(3, 4)
    assert set(backend.noise([circuit]).model.noise_qubits) == {3, 4}


def test_without_a_seed_a_circuit_is_transpiled_alike_each_time(transpiled):
    """What is estimated is what runs, and a run that goes on has the circuits it began with."""
    (structure, *_) = _structures(replay(angles(3), ring=True))
    found = []
    for _ in range(3):
        transpiling._CACHE.clear()
        compiled = IBMDevice(wires=N, backend="fake_fez").transpiler(structure)
        gates = [(one.operation.name, one.qubits) for one in compiled.circuit.data]
        found.append((compiled.layout, gates))
    assert len(transpiled) == 3
    assert found[0] == found[1] == found[2]


def test_a_given_layout_is_kept():
    device = manila(initial_layout=[4, 3, 2, 1])
    (structure, *_) = _structures(replay(angles(1)))
    assert device.transpiler(structure).layout == (4, 3, 2, 1)


def test_a_seed_repeats_a_series_of_jobs_and_jobs_differ():
    tape = replay(angles(1, 2))
    first, again = manila(), manila()
    a = [np.array(first.execute([tape])[0]) for _ in range(2)]
    b = [np.array(again.execute([tape])[0]) for _ in range(2)]
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a[0], a[1])
    other = np.array(manila(seed=6).execute([tape])[0])
    assert not np.array_equal(a[0], other)


def test_without_a_seed_outcomes_vary():
    tape = replay(angles(1, 2))
    one, two = (np.array(manila(seed=None).execute([tape])[0]) for _ in range(2))
    assert not np.array_equal(one, two)


def test_jobs_are_split_at_the_limit_only():
    structure = Structure(1, (Step("RX", (0,), 1),), (0,))
    blocks = [Block(structure, np.zeros((rows, 1)), 10) for rows in (5, 7)]
    assert [len(job) for job in split(blocks, 129)] == [2]
    parts = list(split(blocks, 65))
    assert [[(i, len(b.values)) for i, b in job] for job in parts] == [[(0, 5), (1, 1)], [(1, 6)]]
    with pytest.raises(DeviceError, match="at most 9"):
        list(split(blocks, 9))


def test_a_job_has_one_number_of_shots():
    """The executor's Sampler takes no others."""
    structure = Structure(1, (Step("RX", (0,), 1),), (0,))
    blocks = [Block(structure, np.zeros((2, 1)), shots) for shots in (10, 20, 10)]
    assert [[i for i, _ in job] for job in split(blocks, 1000)] == [[0, 2], [1]]


def test_calibration_shares_the_job_of_what_it_corrects(sent):
    device = manila(readout_mitigation=150)
    device.execute([replay(angles(1), shots=64)])
    (job,) = sent
    assert {shots for _, _, shots in job} == {64}
    assert len(job) == 3 + 2 * 3  # three settings; twice 150 shots, in three parts of 64


def test_the_executors_sampler_gives_the_bits_of_the_local_one():
    """What runs on hardware and what runs here differ in nothing but the seconds."""
    pytest.importorskip("qiskit_ibm_runtime.executor_sampler")
    fake = fake_backend("fake_manila").fake
    tapes = [replay(angles(1, 3), shots=4000), _measured_mid_circuit(4000)]
    blocks = Batch(tapes, qml.wires.Wires(range(N))).blocks
    transpiler = manila().transpiler
    for block in blocks:
        compiled = transpiler(block.structure)
        pub = (compiled.circuit, block.values[:, compiled.columns], block.shots)
        pub = pub if compiled.columns else (pub[0], None, pub[2])
        remote, local = (
            unpack(sampler.run([pub]).result()[0].data, block.structure)
            for sampler in (
                runtime.make_sampler(fake, {"simulator": {"seed_simulator": 3}}),
                runtime.local_sampler(fake_backend("fake_manila"), 3),
            )
        )
        assert remote.shape == local.shape
        np.testing.assert_allclose(remote.mean(-2), local.mean(-2), atol=0.06)


def _measured_mid_circuit(shots):
    first = qml.ops.MidMeasure([0], reset=True)
    value = qml.ops.MeasurementValue([first])
    return qml.tape.QuantumScript(
        [qml.X(0), first, qml.ops.Conditional(value, qml.X(1))],
        [qml.expval(value), qml.expval(qml.Z(1))],
        shots=shots,
    )


def test_results_of_a_split_batch_are_put_together(monkeypatch):
    monkeypatch.setattr(limits, "MAX_EXECUTIONS_PER_JOB", 150)
    device = IBMDevice(wires=N, backend="aer", seed=1)
    theta = np.zeros((1, 6, 2 * N))
    theta[0, :, 0] = np.pi * np.array([0, 1, 1, 0, 1, 0])
    z = np.array(device.execute([replay(theta, shots=50)])[0])[8]
    np.testing.assert_array_equal(z, [1, -1, -1, 1, -1, 1])
    assert device.jobs == 6


def test_constants_alone_need_no_job():
    device = manila()
    tape = qml.tape.QuantumScript([qml.RX(0.1, 0)], [qml.expval(qml.I(0))], shots=10)
    assert device.execute([tape]) == (1.0,)
    assert device.jobs == 0


def test_importing_the_package_imports_no_qiskit():
    import subprocess

    code = "import sys, qrnn.devices.ibm; print([m for m in sys.modules if 'qiskit' in m])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_fake_backend_is_found_by_name():
    names = fake_names()
    assert len(names) > 50
    for name in ("fake_manila", "fake_fractional", "fake_fez"):
        assert name in names
        assert IBMDevice(wires=2, backend=name).backend_name == name


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, DeviceError, "needs a backend"),
        ({"backend": "fake_manilla"}, ConfigError, "fake_manila"),
        ({"backend": 3}, DeviceError, "name or a Qiskit BackendV2"),
        ({"backend": "fake_manila", "wires": 6}, DeviceError, "at most 5"),
        ({"backend": "fake_manila", "optimization_level": 4}, DeviceError, "0, 1, 2 or 3"),
        ({"backend": "fake_manila", "initial_layout": [0]}, DeviceError, "one qubit for each"),
        ({"backend": "fake_manila", "initial_layout": [0, 0]}, DeviceError, "different qubits"),
        ({"backend": "fake_manila", "initial_layout": [0, 9]}, DeviceError, "in 0..4"),
        ({"backend": "fake_manila", "max_qpu_seconds": math.nan}, DeviceError, "at least 0, but"),
        ({"backend": "fake_manila", "instance": "crn:x"}, DeviceError, "no account"),
    ],
)
def test_wrong_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        IBMDevice(**{"wires": 2, **options})


def test_analytic_requests_are_refused():
    @qml.qnode(manila())
    def circuit():
        return qml.expval(qml.Z(0))

    with pytest.raises(DeviceError, match="set_shots"):
        circuit()
    assert qml.set_shots(circuit, shots=100)() == pytest.approx(1, abs=0.3)


def test_the_constructor_gives_default_shots_without_a_warning(recwarn, sent):
    @qml.qnode(manila(shots=37))
    def circuit():
        return qml.expval(qml.Z(0))

    circuit()
    assert sent[0][0][2] == 37
    assert not [w for w in recwarn if "hots" in str(w.message)]


@pytest.mark.parametrize(
    ("ops", "measurements", "message"),
    [
        ([], [qml.state()], "expval, var, probs, counts or sample"),
        ([qml.AmplitudeDamping(0.1, 0)], [qml.expval(qml.Z(0))], "AmplitudeDamping"),
    ],
)
def test_what_cannot_run_is_refused_by_name(ops, measurements, message):
    device = manila()
    tape = qml.tape.QuantumScript(ops, measurements, shots=10)
    with pytest.raises(DeviceError, match=message):
        device.preprocess_transforms()([tape])
    assert device.jobs == 0
