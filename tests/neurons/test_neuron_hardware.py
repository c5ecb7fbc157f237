"""Quantum neurons on backends that cost something: circuits beforehand, prices, kept shots."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pennylane as qml
import pytest
import torch
from pennylane.ops import MidMeasure
from pennylane.tape import QuantumScript

from qrnn import ConfigError, DeviceError, QuantumNeuronRNN
from qrnn.cli import main
from qrnn.data import Split, Stream
from qrnn.devices import DeviceOptions
from qrnn.evaluation.costs import priceable
from qrnn.evaluation.evaluation import check_runnable, evaluate
from qrnn.evaluation.hardware import work_id
from qrnn.evaluation.neuron_costs import neuron_prices
from qrnn.models.next_token import NextToken

SHOTS = 1000


@pytest.fixture
def model():
    torch.manual_seed(0)
    rnn = QuantumNeuronRNN(1, 1, order=1, degree=1, batch_first=True)
    with torch.no_grad():
        for p in rnn.parameters():
            p.uniform_(-1, 1)
    return NextToken(rnn)


@pytest.fixture
def part():
    x = torch.tensor([[0, 1], [1, 1], [1, 0]])
    return Split(x, torch.tensor([[1, 0], [1, 1], [0, 1]]))


def test_the_circuits_named_beforehand_are_those_that_run(model, part):
    ragged = Split(part.x, torch.tensor([[1, 0], [1, 1], [0, -100]]), torch.tensor([2, 2, 1]))
    moved = model.on(DeviceOptions("default.qubit"))
    batch = ragged.batch(slice(None))
    named = moved.tapes(batch)
    run = []
    device = moved.rnn.cell.plugin
    execute = device.execute
    device.execute = lambda tapes, *a, **options: run.extend(tapes) or execute(tapes, *a, **options)
    moved.answer(batch)
    assert len(named) == 5 == len(run)
    # A device may translate gates, never the number of projections and measured wires.
    for mine, ran in zip(named, run, strict=True):
        assert mine.measurements[0].wires == ran.measurements[0].wires
    # Step by step over the active sequences: as long as they are.
    lengths = [len(tape.operations) for tape in named]
    assert lengths[0] < lengths[3]
    assert max(lengths[:3]) < min(lengths[3:])


def test_the_device_fused_runs_no_circuits(model, part):
    with pytest.raises(DeviceError, match="device fused runs no circuits: use"):
        model.tapes(part.batch(slice(None)))
    with pytest.raises(DeviceError, match="device fused runs no circuits: use"):
        _ = model.rnn.cell.plugin


def test_kept_shots_of_an_evaluation_are_those_of_theory(model, part):
    batch = part.batch(slice(None))
    with torch.no_grad():
        theory = model.answer(batch).kept
    assert theory.shape == (3, 2)
    found = evaluate(model, part, "fused", progress=False)
    assert found.kept == pytest.approx(theory.mean().item(), rel=1e-6)
    sampled = evaluate(model, part, DeviceOptions("default.qubit", shots=4000), progress=False)
    error = (theory * (1 - theory) / 4000).sqrt().mean().item() / 6**0.5
    assert abs(sampled.kept - theory.mean().item()) < 5 * error
    assert evaluate(model, part, "default.qubit", progress=False).kept is None


def test_prices_are_those_of_the_shots_kept(model, part):
    options = priceable(DeviceOptions("fake_manila", shots=1000))
    shares = shares_kept(model, part)
    priced = neuron_prices(model, options, part)
    assert list(priced) == [0, 1, 2]
    plain = priced[0]
    assert plain.kept == pytest.approx(shares[1], rel=1e-5)
    assert plain.executions == pytest.approx(sum(1000 / share for share in shares), rel=1e-5)
    assert 250e-6 < plain.qpu_seconds / plain.executions < 350e-6
    assert priced[1].kept > 2 * plain.kept
    assert priced[1].executions < plain.executions / 2
    assert priced[1].depth > 2 * plain.depth
    assert priced[2].two_qubit_gates > priced[1].two_qubit_gates > plain.two_qubit_gates > 0


def shares_kept(model, part):
    """Return the share of shots that all projections of each sequence keep, in rising order.

    On default.qubit without projections: each leaves its outcome on a wire of its own.
    """
    moved = model.on(DeviceOptions("default.qubit"))
    shares = []
    for tape in moved.tapes(part.batch(slice(None)))[len(part) :]:
        operations, wires, wanted = [], [], []
        for op in tape.operations:
            if not isinstance(op, MidMeasure):
                operations.append(op)
                continue
            wires.append(f"outcome {len(wires)}")
            wanted.append(op.postselect)
            operations.append(qml.CNOT([op.wires[0], wires[-1]]))
            if op.reset and op.postselect:
                operations.append(qml.X(op.wires))
        script = QuantumScript(operations, [qml.expval(qml.Projector(wanted, wires))])
        shares.append(qml.device("default.qubit").execute(script).item())
    return sorted(shares)


def test_what_cannot_be_priced_or_run_is_one_line(model, part):
    options = priceable(DeviceOptions("fake_manila", shots=1000))
    stream = Stream(part.x.flatten(), 2)
    for wrong in (stream, replace(part, lengths=torch.tensor([2, 1, 2]))):
        with pytest.raises(ConfigError, match="must have sequences of equal length to be priced"):
            neuron_prices(model, options, wrong)
    with pytest.raises(ConfigError, match="feedback=open must have a hybrid model"):
        check_runnable(model, part, "open", ibm=False)
    check_runnable(model, part, "closed", ibm=True)


def test_other_circuits_have_another_ledger(model, part):
    def name(part, model=model):
        return work_id(model, DeviceOptions("fake_manila", shots=1000), part, "closed", {}, None)

    assert name(part) == name(replace(part))
    assert name(part) != name(replace(part, y=part.y.flip(0)))
    # Of another order, the same parameters are those of other circuits.
    other = NextToken(QuantumNeuronRNN(1, 1, order=2, degree=1, batch_first=True))
    other.load_state_dict(model.state_dict())
    assert name(part) != name(part, other)


def test_a_checkpoint_is_priced_and_run_on_a_simulated_backend(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["qrnn", *arguments])
        main()
        told = capsys.readouterr()
        return told.out + told.err

    call(
        "train",
        "task=elman_xor",
        "task.length=3",
        "model=quantum_neuron",
        "model.workspace=1",
        "model.order=1",
        "model.degree=2",
        "task.n_train=64",
        "task.n_val=16",
        "task.n_test=4",
        "trainer.epochs=1",
        "trainer.progress=false",
        "hydra.run.dir=run",
    )
    told = call("estimate", "checkpoint=run/best.ckpt", "device=fake_manila", "limit=1")
    assert "rounds of amplification" in told
    assert all(len(line) <= 80 for line in told.splitlines() if line[0] in "┃│")

    arguments = (
        "checkpoint=run/best.ckpt",
        "device=fake_manila",
        "limit=1",
        f"device.shots={SHOTS}",
        "device.seed=1",
    )
    told = call("evaluate", *arguments)
    # A circuit for each of the two inputs, priced beforehand.
    seconds = float(re.search(r"1 job, estimated at (\S+) QPU s", told)[1])
    assert 2 + 250e-6 * 2 * SHOTS < seconds < 2 + 350e-6 * 2 * SHOTS + 0.1
    path = Path("run/evaluation-fake_manila-limit1.json")
    first = json.loads(path.read_text())
    assert 0 < first["kept"] < 1
    assert first["cost"]["executions"] == 2 * SHOTS
    assert f"{first['kept']:.2g}" in told
    # The same command again takes what the ledger has.
    call("evaluate", *arguments)
    again = json.loads(path.read_text())
    assert (again["kept"], again["predictions"]) == (first["kept"], first["predictions"])
    assert len(list(Path("run/jobs").iterdir())) == 1
