"""What `qrnn.inspect` finds: states, gradients and comparisons against dense references."""

import re
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import qrnn
from helpers import reference
from helpers.problems import D, network
from qrnn import QRNN, ConfigError
from qrnn.data import IGNORED, Split, Stream, TaskData
from qrnn.inspection import inspect_model, trace
from qrnn.inspection.hybrid_cells import angle_names, hybrid_cells
from qrnn.inspection.quantities import fidelities
from qrnn.inspection.summary import parting, summary
from qrnn.models.sequence import SequenceClassifier, SequenceLabeller
from qrnn.models.translation import BOS, Translator

DOUBLE = torch.float64
CLOSE = {"rtol": 0, "atol": 1e-9}
SINGLE = {"rtol": 0, "atol": 1e-5}


def sequence(steps=4, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, steps, D, generator=generator, dtype=DOUBLE)


def dense_states(cell, theta):
    """Return |psi_0> and the states (T, 2^n) behind each step of given angles, by dense U."""
    states = [np.eye(2**cell.circuit.n_wires)[0].astype(complex)]
    for angles in theta:
        states.append(reference.step_matrix(cell.circuit.ansatz, angles) @ states[-1])
    return states[0], np.array(states[1:])


@pytest.mark.parametrize(
    ("problem", "device"),
    [
        ("default", "fused"),
        ("default", "default.qubit"),
        ("default", "lightning.qubit"),
        ("CRX on a ring", "fused"),
        ("affine function", "fused"),
        ("nonlinear function", "default.qubit"),
        ("glu", "fused"),
    ],
)
def test_states_angles_and_readouts_are_the_dense_ones(problem, device):
    rnn = network(problem, DOUBLE, device=device)
    rnn.batch_first = True
    cell, x = rnn.cell, sequence()
    found = trace(cell, lambda: rnn(x)[0].sum())
    z, _ = reference.run(cell, x.transpose(0, 1))
    np.testing.assert_allclose(found.x, x[0])
    np.testing.assert_allclose(found.z, z[:, 0], **CLOSE)
    words = [reference.word_matrix(word) for word in cell.circuit.words]
    before = np.concatenate([[[o[0, 0].real for o in words]], z[:-1, 0]])
    with torch.no_grad():
        controls = cell.controller(torch.cat([x[0], torch.as_tensor(before)], 1))
    np.testing.assert_allclose(found.theta, controls + cell.quantum.bias.detach(), **CLOSE)
    start, states = dense_states(cell, found.theta)
    np.testing.assert_allclose(found.state, states, **CLOSE)

    n = cell.circuit.n_wires
    for q in range(n):
        for k, letter in enumerate("XYZ"):
            p = reference.word_matrix("I" * q + letter + "I" * (n - q - 1))
            expected = [(psi.conj() @ p @ psi).real for psi in states]
            np.testing.assert_allclose(found.bloch[:, q, k], expected, **CLOSE)
    overlap = [abs(np.vdot(start, psi)) ** 2 for psi in states]
    np.testing.assert_allclose(found.fidelity_start, overlap, **CLOSE)
    pairs = zip([start, *states[:-1]], states, strict=True)
    np.testing.assert_allclose(
        found.fidelity_previous, [abs(np.vdot(a, b)) ** 2 for a, b in pairs], **CLOSE
    )
    schmidt = np.linalg.svd(states.reshape(len(states), 2 ** (n // 2), -1), compute_uv=False) ** 2
    bits = -(schmidt * np.log2(np.clip(schmidt, 1e-300, None))).sum(1)
    np.testing.assert_allclose(found.half_chain_entropy, bits, **CLOSE)
    length = np.linalg.norm(found.bloch, axis=2)
    p = np.clip((1 + length) / 2, 0, 1 - 1e-15)
    np.testing.assert_allclose(
        found.entropy, -p * np.log2(p) - (1 - p) * np.log2(1 - p), rtol=0, atol=1e-6
    )
    np.testing.assert_array_equal(found.state_entropy, 0)
    assert found.bloch.std(0).max() > 0.1  # the states move: nothing above is trivially so


def tail_loss(rnn, head, x, y, psi, z):
    """Return the loss if, behind some step, amplitudes and readouts are these; x: what follows."""
    cell, psi = rnn.cell, psi / np.linalg.norm(psi)
    words = [reference.word_matrix(word) for word in cell.circuit.words]
    for step in x:
        with torch.no_grad():
            controls = cell.controller(torch.cat([step, torch.as_tensor(z)])[None])[0]
        theta = (controls + cell.quantum.bias.detach()).numpy()
        psi = reference.step_matrix(cell.circuit.ansatz, theta) @ psi
        z = np.array([(psi.conj() @ o @ psi).real for o in words])
    with torch.no_grad():
        return cross_entropy(head(torch.as_tensor(z))[None], y).item()


def finite_differences(loss, psi, z, h=1e-5):
    """Return the gradient's norm with respect to real and imaginary amplitudes and readouts."""
    values = np.concatenate([psi.real, psi.imag, z])
    n, square = len(psi), 0.0
    for k in range(len(values)):
        ends = []
        for shift in (h, -h):
            moved = values.copy()
            moved[k] += shift
            ends.append(loss(moved[:n] + 1j * moved[n : 2 * n], moved[2 * n :]))
        square += ((ends[0] - ends[1]) / (2 * h)) ** 2
    return np.sqrt(square)


@pytest.mark.parametrize("device", ["fused", "default.qubit", "lightning.qubit"])
def test_gradient_norms_are_finite_differences_of_a_dense_recurrence(device):
    rnn = network("default", DOUBLE, n_qubits=2, device=device)
    rnn.batch_first = True
    head, x, y = nn.Linear(6, 3).double(), sequence(3), torch.tensor([1])
    found = trace(rnn.cell, lambda: cross_entropy(head(rnn(x)[0][:, -1]), y))
    expected = [
        finite_differences(
            lambda psi, z, t=t: tail_loss(rnn, head, x[0, t + 1 :], y, psi, z),
            found.state[t],
            found.z[t],
        )
        for t in range(3)
    ]
    np.testing.assert_allclose(found.gradient_norm, expected, rtol=1e-6)
    assert np.ptp(found.gradient_norm) > 0.01
    # The states are those of the way forward, whatever the way back did with its memory.
    plain = trace(rnn.cell, lambda: rnn(x))
    assert plain.gradient_norm is None
    np.testing.assert_array_equal(found.state, plain.state)
    np.testing.assert_array_equal(found.z, plain.z)


def test_a_trace_needs_one_sequence_and_leaves_no_hook():
    rnn = network()
    with pytest.raises(ConfigError, match="one sequence through the cell, got 3 at once"):
        trace(rnn.cell, lambda: rnn(torch.rand(2, 3, D)))
    with pytest.raises(ConfigError, match="run must call the cell, but did not"):
        trace(rnn.cell, lambda: network()(torch.rand(2, 1, D)))
    assert not rnn.cell._forward_hooks
    assert not rnn.cell.controller._forward_hooks


def test_long_sequences_are_looked_at_in_parts(monkeypatch):
    rnn, x = network("default", DOUBLE), sequence(7).transpose(0, 1)
    whole = trace(rnn.cell, lambda: rnn(x))
    monkeypatch.setattr("qrnn.inspection.tracing.CHUNK", 20)  # two states of three qubits
    parts = trace(rnn.cell, lambda: rnn(x))
    for one in fields(whole):
        a, b = getattr(whole, one.name), getattr(parts, one.name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, **CLOSE)


def classification(count=4, steps=5, lengths=None, features=D):
    """Return data whose test part has other sequences than its training part."""
    x = torch.randn(2 * count, steps, features, generator=torch.Generator().manual_seed(5))
    y = torch.arange(2 * count) % 3
    parts = [
        Split(x[k : k + count], y[k : k + count], lengths and torch.tensor(lengths))
        for k in (0, count)
    ]
    return TaskData(parts[0], parts[0], parts[1], classes=("a", "b", "c"))


def classifier(**options):
    """Return a classifier whose cells move their states."""
    torch.manual_seed(11)
    rnn = QRNN(D, 3, batch_first=True, width=4, bias_range=1.5, **options)
    return SequenceClassifier(rnn, 3).eval()


def test_sequences_of_several_lengths_are_padded_with_nothing():
    model, data = classifier(), classification(lengths=[5, 2, 4, 3])
    found = inspect_model(model, data, [1, 3, 0], states=True)
    assert found.index.tolist() == [1, 3, 0]
    assert found.length.tolist() == [2, 3, 5]
    assert found.position.tolist() == [[0, 1, -1, -1, -1], [0, 1, 2, -1, -1], [0, 1, 2, 3, 4]]
    assert found.labels.tolist() == data.test.y[[1, 3, 0]].reshape(3, 1).tolist()
    over_time = (
        "x",
        "z",
        "theta",
        "bloch",
        "entropy",
        "half_chain_entropy",
        "state_entropy",
        "fidelity_previous",
        "fidelity_start",
        "gradient_norm",
        "state",
    )
    for row, (index, length) in enumerate(zip([1, 3, 0], [2, 3, 5], strict=True)):
        alone = inspect_model(model, data, index, states=True)
        one = found.sequence(row)
        assert (one.index, one.length) == (index, length)
        for name in over_time:
            values = getattr(found.trace, name)
            assert values.shape[:2] == (3, 5), name
            assert np.isnan(values[row, length:]).all(), name
            assert not np.isnan(values[row, :length]).any(), name
            np.testing.assert_array_equal(getattr(alone.trace, name)[0], values[row, :length])
            np.testing.assert_array_equal(getattr(one.trace, name), values[row, :length])
    with torch.no_grad():
        logits = model(data.test.x[[1, 3, 0]], torch.tensor([2, 3, 5]))
        loss = cross_entropy(logits, data.test.y[[1, 3, 0]], reduction="none")
    np.testing.assert_allclose(found.trace.loss, loss, **SINGLE)
    assert found.trace.predictions[:, 0].tolist() == logits.argmax(1).tolist()
    assert inspect_model(model, data, 1, split="train").trace.x[0, 0, 0] == data.train.x[1, 0, 0]
    for name in ("gradient_norm", "state"):
        assert getattr(inspect_model(model, data, 1, gradient=False).trace, name) is None


def test_cells_of_several_layers_and_directions_have_numbers():
    model = classifier(num_layers=2, bidirectional=True)
    data = classification(lengths=[5, 3, 4, 2])
    names = ["layer 1, forward", "layer 1, backward", "layer 2, forward", "layer 2, backward"]
    assert [place.name for place in hybrid_cells(model)] == names
    found = [inspect_model(model, data, 1, cell=k).sequence(0) for k in range(4)]
    assert [one.cell_name for one in found] == names
    forward, backward, second, _ = found
    assert forward.position.tolist() == [0, 1, 2]
    assert backward.position.tolist() == [2, 1, 0]
    np.testing.assert_array_equal(forward.trace.x, data.test.x[1, :3])
    np.testing.assert_array_equal(backward.trace.x, data.test.x[1, [2, 1, 0]])
    both = np.concatenate([forward.trace.z, backward.trace.z[::-1]], 1)
    np.testing.assert_allclose(second.trace.x, both, **SINGLE)
    with torch.no_grad():
        z, _ = model.rnn(data.test.x[1:2, :3])
    last = np.concatenate([found[2].trace.z, found[3].trace.z[::-1]], 1)
    np.testing.assert_allclose(last, z[0], **SINGLE)
    with pytest.raises(ConfigError, match=r"cell must be one of 0 \(layer 1, forward\), .*, got 4"):
        inspect_model(model, data, 1, cell=4)


def test_a_backward_cell_reads_the_tokens_from_the_end():
    torch.manual_seed(3)
    model = SequenceClassifier(
        QRNN(4, 2, batch_first=True, bidirectional=True), 3, nn.Embedding(6, 4)
    ).eval()
    part = Split(
        torch.tensor([[4, 5, 2, 0], [5, 3, 4, 1]]), torch.tensor([0, 1]), torch.tensor([3, 4])
    )
    data = TaskData(part, part, part, classes=("a", "b", "c"), vocabulary=tuple("uvwxyz"))
    forward, backward = (inspect_model(model, data, [0, 1], cell=k) for k in range(2))
    assert forward.tokens.tolist() == [[4, 5, 2, -1], [5, 3, 4, 1]]
    assert backward.tokens.tolist() == [[2, 5, 4, -1], [1, 4, 3, 5]]
    with torch.no_grad():
        embedded = model.embed(torch.tensor([1, 4, 3, 5]))
    np.testing.assert_array_equal(backward.trace.x[1], embedded)


def test_translations_have_an_encoder_and_a_decoder_that_goes_on_from_it():
    torch.manual_seed(1)
    rnns = [QRNN(4, 2, batch_first=True, bias_range=1.5) for _ in range(2)]
    model = Translator(*rnns, nn.Embedding(6, 4), nn.Embedding(7, 4), 7).eval()
    x = torch.tensor([[4, 5, 2, 0], [5, 3, 4, 2]])
    y = torch.tensor([[4, 3, IGNORED], [6, 4, 3]])
    part = Split(x, y, torch.tensor([3, 4]))
    data = TaskData(
        part, part, part, classes=tuple("0123456"), kind="translate", vocabulary=tuple("abcdef")
    )
    encoder = inspect_model(model, data, [0, 1], states=True)
    decoder = inspect_model(model, data, [0, 1], cell=1, states=True)
    assert [encoder.cell_name, decoder.cell_name] == ["encoder, layer 1", "decoder, layer 1"]
    assert encoder.tokens.tolist() == [[4, 5, 2, -1], [5, 3, 4, 2]]
    assert encoder.vocabulary == tuple("abcdef")
    assert decoder.tokens.tolist() == [[BOS, 4, -1], [BOS, 6, 4]]
    assert decoder.vocabulary == data.classes
    assert decoder.length.tolist() == [2, 3]
    assert decoder.labels.tolist() == [[4, 3, -1], [6, 4, 3]]
    with torch.no_grad():
        logits = [model.answer(part.batch([row])).logits[0] for row in range(2)]
    for row, length in enumerate([2, 3]):
        assert decoder.trace.predictions[row, :length].tolist() == logits[row].argmax(1).tolist()
        # The decoder starts from the encoder's last state.
        last = encoder.sequence(row).trace.state[-1:]
        first = decoder.sequence(row).trace.state[:1]
        np.testing.assert_allclose(
            decoder.trace.fidelity_start[row, 0], fidelities(first, last), **SINGLE
        )
        assert abs(last[0, 0]) < 0.99
    assert (encoder.trace.gradient_norm[1] > 0).all()
    said = "\n".join(summary(decoder))
    assert [int(n) for n in re.findall(r", (\d) of", said)] == [
        int((row.argmax(1) == t).sum()) for row, t in zip(logits, (y[0, :2], y[1]), strict=True)
    ]


def test_a_text_is_cut_into_windows_that_begin_anew():
    torch.manual_seed(2)
    tokens = torch.randint(5, (30,))
    rnn = QRNN(4, 2, batch_first=True, bias_range=1.5)
    model = SequenceLabeller(rnn, 5, nn.Embedding(5, 4)).eval()
    part = Stream(tokens, steps=7)
    data = TaskData(
        part, part, part, classes=tuple("abcde"), kind="label", vocabulary=tuple("abcde")
    )
    found = inspect_model(model, data, [0, 3])
    assert found.tokens.tolist() == [tokens[:7].tolist(), tokens[21:28].tolist()]
    assert found.labels.tolist() == [tokens[1:8].tolist(), tokens[22:29].tolist()]
    with torch.no_grad():
        z, _ = rnn(model.embed(tokens[None, 21:28]))
    np.testing.assert_allclose(found.trace.z[1], z[0], **SINGLE)
    with pytest.raises(ConfigError, match=r"0\.\.3 \(test has 4 sequences\), got 4"):
        inspect_model(model, data, 4)


def test_two_exact_devices_do_not_part():
    model, data = classifier(), classification(lengths=[5, 2, 4, 3])
    found = inspect_model(model, data, [1, 2], device="lightning.qubit")
    assert (found.device, found.device_beside) == ("fused", "lightning.qubit")
    for row, length in enumerate([2, 4]):
        assert np.isnan(found.rms_z[row, length:]).all()
        assert found.rms_z[row, :length].max() < 1e-5
        np.testing.assert_allclose(found.fidelity[row, :length], 1, atol=1e-5)
    for name in ("bloch", "entropy", "half_chain_entropy", "fidelity_start"):
        a, b = getattr(found.trace, name), getattr(found.beside, name)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)
    assert found.beside.gradient_norm is None
    assert parting(found.sequence(0).rms_z) is None
    assert "the devices differ only by rounding" in "\n".join(summary(found))


def test_noise_parts_two_devices_step_by_step():
    model, data = classifier(), classification()
    noise = {"noise": "depolarizing", "strength": 0.01}
    options = qrnn.devices.DeviceOptions("default.mixed", **noise)
    found = inspect_model(model, data, [2], device=options, states=True)
    one = found.sequence(0)
    assert found.device_beside == "default.mixed, depolarizing 0.01"
    with torch.no_grad():
        z, state = model.rnn.on("default.mixed", **noise)(data.test.x[2:3])
        exact, _ = model.rnn(data.test.x[2:3])
    np.testing.assert_allclose(one.beside.z, z[0], **SINGLE)
    np.testing.assert_allclose(one.beside.state[-1], state.amplitudes()[0], **SINGLE)
    np.testing.assert_allclose(one.rms_z, ((z - exact)[0] ** 2).mean(1).sqrt(), **SINGLE)
    psi, rho = one.trace.state, one.beside.state
    np.testing.assert_allclose(
        one.fidelity, np.einsum("ti,tij,tj->t", psi.conj(), rho, psi).real, **SINGLE
    )
    assert (np.diff(one.fidelity) < 0).all()
    assert one.fidelity[0] < 0.999
    assert one.rms_z[-1] > one.rms_z[0] > 0
    assert (np.diff(one.beside.state_entropy) > 0).all()
    np.testing.assert_array_equal(one.trace.state_entropy, 0)
    lengths = [np.linalg.norm(trace.bloch, axis=2).mean(1) for trace in (one.trace, one.beside)]
    assert (lengths[1] < lengths[0]).all()


def test_the_step_in_which_two_devices_part_most():
    assert parting(np.array([0.1, 0.12, 0.3, 0.31])) == 3
    assert parting(np.array([0.5, 0.4, 0.6])) == 1
    assert parting(np.array([1e-6, 3e-5])) is None


def test_a_device_that_samples_shows_readouts_and_angles_alone(tmp_path):
    model, data = classifier(), classification()
    device = qrnn.devices.DeviceOptions("fake_manila", shots=300)
    found = inspect_model(model, data, [0, 1], device=device, folder=tmp_path)
    assert found.device_beside == "fake_manila, 300 shots"
    assert found.beside.z.shape == found.trace.z.shape
    assert found.beside.theta.shape == found.trace.theta.shape
    assert found.fidelity is None
    for name in ("bloch", "entropy", "half_chain_entropy", "state", "gradient_norm"):
        assert getattr(found.beside, name) is None
    assert (found.rms_z > 0.01).all()
    said = list(summary(found))
    assert said[-1] == "fake_manila provides no state, only readouts and angles"
    assert sum("provides no state" in line for line in said) == 1
    # Its jobs are recorded: the same call samples nothing anew.
    assert len(list((tmp_path / "jobs").glob("fake_manila-*"))) == 2
    again = inspect_model(model, data, [0, 1], device=device, folder=tmp_path)
    np.testing.assert_array_equal(again.beside.z, found.beside.z)

    own = inspect_model(model.on("default.qubit", shots=100, seed=1), data, 0)
    assert own.trace.z.shape == (1, 5, 9)
    assert own.trace.bloch is None
    assert own.trace.gradient_norm is None
    assert list(summary(own))[-1].startswith("default.qubit provides no state")


def test_the_arrays_are_kept_in_a_file_without_code(tmp_path):
    model, data = classifier(), classification(lengths=[5, 2, 4, 3])
    found = inspect_model(model, data, [1, 2], device="default.qubit", states=True)
    path = found.save(tmp_path / "a" / "b.npz")
    kept = np.load(path, allow_pickle=False)
    assert sorted(kept.files) == sorted(found.arrays())
    for name, values in found.arrays().items():
        np.testing.assert_array_equal(kept[name], values)
    assert kept["angles"][:4].tolist() == ["RY 0", "RY 1", "RY 2", "RZ 0"]
    assert kept["words"].tolist() == list(found.words)
    np.testing.assert_array_equal(kept["beside_bloch"], found.beside.bloch)
    np.testing.assert_array_equal(kept["bloch"], found.trace.bloch)
    assert {"state", "beside_state", "rms_z", "fidelity", "gradient_norm"} <= set(kept.files)
    assert "tokens" not in kept.files
    assert "state" not in inspect_model(model, data, 1).arrays()


@pytest.mark.parametrize(
    ("problem", "names"),
    [
        (
            "default",
            [
                "RY 0",
                "RY 1",
                "RY 2",
                "RZ 0",
                "RZ 1",
                "RZ 2",
                "RY 0 (2)",
                "RY 1 (2)",
                "RY 2 (2)",
                "RZ 0 (2)",
                "RZ 1 (2)",
                "RZ 2 (2)",
            ],
        ),
        (
            "CRX on a ring",
            [
                "RX 0",
                "RX 1",
                "RX 2",
                "RX 3",
                "RY 0",
                "RY 1",
                "RY 2",
                "RY 3",
                "CRX 0,1",
                "CRX 1,2",
                "CRX 2,3",
                "CRX 3,0",
            ],
        ),
        ("affine function", ["0", "1", "2"]),
        ("nonlinear function", ["0", "1", "2"]),
    ],
)
def test_angles_are_named_after_the_gate_that_each_turns_alone(problem, names):
    assert angle_names(network(problem).cell.circuit) == names


@pytest.mark.parametrize(
    ("index", "shown"),
    [
        (4, "4"),
        (-1, "-1"),
        ([], r"\[\]"),
        ([0, 9], r"\[0, 9\]"),
        ("x", "'x'"),
        (1.5, "1.5"),
        (True, "True"),
        (None, "None"),
        ([[0]], r"\[\[0\]\]"),
    ],
)
def test_there_must_be_such_a_sequence(index, shown):
    match = rf"0\.\.3 \(test has 4 sequences\), got {shown}: use index=12 or index=\[3,12\]"
    with pytest.raises(ConfigError, match=match):
        inspect_model(classifier(), classification(), index)


def test_indices_may_be_numpys():
    found = inspect_model(classifier(), classification(), np.flatnonzero([0, 1, 1]))
    assert found.index.tolist() == [1, 2]


def test_other_models_and_splits_are_refused():
    data = classification()
    with pytest.raises(ConfigError, match="split 'tests' is not known: did you mean test"):
        inspect_model(classifier(), data, 0, split="tests")
    with pytest.raises(ConfigError, match="must have a hybrid cell, got LSTM: only model=hybrid"):
        inspect_model(nn.LSTM(D, 4), data, 0)
    with pytest.raises(ConfigError, match="device must be named with its options, got only shots"):
        qrnn.inspect("none.ckpt", 0, shots=5)
