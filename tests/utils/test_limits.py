"""What is too large is refused in a line and in a second, before it is traced or allocated."""

import time
from types import SimpleNamespace

import pytest
import torch

from qrnn import ConfigError, QRNNCell, QRNNError
from qrnn.config import TrainConfig
from qrnn.data import Shape
from qrnn.models.build import build_model
from qrnn.networks import NETWORKS
from qrnn.utils.limits import limit_allocations, memory

HUGE = 10**12
TOO_LARGE = [
    ("hybrid", {"n_qubits": 1000}, "at most 30 qubits, got 1000"),
    ("hybrid", {"n_qubits": HUGE, "topology": "all"}, "at most 30 qubits"),
    ("hybrid", {"layers": 100_000}, "angles of a step must be at most 2000, got 1200000"),
    ("hybrid", {"width": HUGE}, "lower model.width=1000000000000"),
    ("hybrid", {"width": 10**6, "depth": 900}, "memory of"),
    ("hybrid", {"depth": HUGE}, "depth must be at most 1000"),
    ("hybrid", {"num_layers": HUGE}, "num_layers must be at most 1000"),
    ("hybrid", {"head_width": HUGE}, "lower model.head_width="),
    ("hybrid", {"budget": HUGE}, "model.budget must be null or in 1..100000000"),
    ("hybrid", {"embedding": HUGE}, "lower model.embedding="),
    ("lstm", {"hidden_size": HUGE}, "lower model.hidden_size="),
    ("lstm", {"hidden_size": 20_000, "num_layers": 900}, "memory of"),
    ("scornn", {"hidden_size": HUGE}, "memory of"),
    ("qlstm", {"n_qubits": 1000}, "at most 30 qubits"),
    ("qlstm", {"depth": HUGE}, "angles of a step must be at most"),
    ("qlstm", {"hidden_size": HUGE}, "memory of"),
    ("orthogonal", {"n_qubits": 1000}, "n_qubits must be at most"),
    ("orthogonal", {"width": HUGE}, "memory of"),
    ("data_register", {"n_data": 1000}, "n_data must be at most"),
    ("data_register", {"n_history": HUGE}, "n_history must be at most"),
    ("data_register", {"n_data": 12, "n_history": 12}, "memory of"),
    ("data_register", {"layers": HUGE}, "memory of"),
    ("quantum_neuron", {"workspace": 1000}, "workspace must be at most"),
    ("quantum_neuron", {"workspace": 19, "degree": 1000}, "memory of"),
    ("quantum_neuron", {"stages": HUGE}, "stages must be at most"),
    ("quantum_neuron", {"order": HUGE}, "order must be at most"),
]


@pytest.mark.parametrize(("name", "keys", "message"), TOO_LARGE)
def test_a_model_that_is_too_large_is_refused_at_once(name, keys, message):
    shape = Shape("label", 4, 4, tokens=True)
    start = time.monotonic()
    with pytest.raises(QRNNError, match=message) as caught:
        build_model(TrainConfig(model=NETWORKS[name].schema(**keys)), shape)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 10


def test_drawing_refuses_it_too(qrnn_command):
    for key in ("n_qubits=1000", "layers=100000", "width=1000000000000"):
        status, _, told = qrnn_command("draw", f"model.{key}")
        assert (status, told.count("\n")) == (2, 1)


def test_a_hardware_sized_circuit_is_none_too_large(monkeypatch):
    from qrnn.circuit.step import StepCircuit

    # Only what is checked before the trace, which takes half a minute at this size.
    monkeypatch.setattr(
        "qrnn.circuit.step.AngleMap", lambda ansatz: SimpleNamespace(gates=[], offset=[])
    )
    with pytest.raises(Exception, match=r"(?i)account|ledger|n_parameters|gates|weights|IBM"):
        QRNNCell(1, 127, device="ibm_fez")
    from qrnn.circuit.ansatz import build_ansatz

    assert len(StepCircuit(build_ansatz("rotations", 127, None)).words) == 3 * 127


def test_a_batch_whose_states_no_memory_holds_is_refused():
    cell = QRNNCell(1, 2)
    with pytest.raises(ConfigError, match="the state of 1000000000000 sequences must fit"):
        cell.start(HUGE, torch.zeros(1))


def test_trials_count_for_themselves():
    with limit_allocations("all", "stop"):
        for _ in range(3):
            with limit_allocations("one", "stop"):
                torch.empty(0, dtype=torch.uint8).new_empty(0)
                torch.empty(int(0.6 * memory()), dtype=torch.uint8, device="meta")
        torch.empty(int(0.6 * memory()), dtype=torch.uint8, device="meta")
        with pytest.raises(ConfigError, match="all must fit into this machine's memory of"):
            torch.empty(int(0.6 * memory()), dtype=torch.uint8, device="meta")
