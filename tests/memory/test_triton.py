"""The Triton kernels: the dense reference's values, and the gradients of the kernels on the CPU.

Without a GPU they run through Triton's interpreter, on tensors of the CPU (see conftest); `make
test-gpu` runs the same tests, and those marked `gpu`, on one.
"""

import math
import os
import subprocess
import sys

import numpy as np
import pennylane as qml
import pytest
import torch

from helpers.gate_examples import GATE_EXAMPLES, around
from helpers.losses import LOSSES, everything
from helpers.problems import CONTROLLERS, PROBLEMS, gradients, inputs, network, solution
from helpers.slow import slow_but
from qrnn import QRNN, DeviceError, MissingExtraError
from qrnn.errors import NumericsError
from qrnn.memory import backends as kernels
from qrnn.memory.fused_sequence import SequenceNode
from qrnn.memory.kernels.cpu.kernels import NumbaKernels

pytest.importorskip("triton")
import qrnn.memory.kernels.gpu.kernels as gpu
from qrnn.memory.kernels.gpu.large_kernels import LargeKernels

GPU = bool(os.environ.get("QRNN_TEST_GPU"))
DEVICE = "cuda" if GPU else "cpu"
DOUBLE = torch.float64
TOLERANCE = {torch.float32: 3e-5, DOUBLE: 1e-9}
LENGTHS = (3, 1, 2)
STEPWISE = {"stepwise": True, "sequence": False}


@pytest.fixture(autouse=True)
def on_triton(monkeypatch):
    """Let the Triton kernels run wherever the tensors are."""
    monkeypatch.setitem(kernels.BACKENDS, DEVICE, kernels.BACKENDS["cuda"])


@pytest.fixture(params=slow_but(["one warp", "many warps", "in memory"], "one warp", "in memory"))
def size(request, monkeypatch):
    """Treat small states as states of any size are treated."""
    if request.param == "many warps":
        monkeypatch.setattr(gpu, "BYTES", 1 / 16)
    elif request.param == "in memory":
        monkeypatch.setattr(gpu, "LARGEST", 0)
        monkeypatch.setattr("qrnn.memory.kernels.gpu.large_kernels.TILE", 4)


def on_numba(rnn):
    """Make a network on the CPU use the kernels that are meant for it."""
    rnn.cell.memory._kernels["cpu"] = NumbaKernels(rnn.cell.memory.program)
    return rnn


def pair(problem="default", dtype=torch.float32, calm=1.0, stepwise=False, **changes):
    """Return the same network on Triton's kernels and, step by step in double, on numba's."""
    rnn, exact = network(problem, dtype, **changes), on_numba(network(problem, DOUBLE, **changes))
    with torch.no_grad():
        for p in [*rnn.parameters(), *exact.parameters()]:
            p.mul_(calm)
    exact.cell.register_forward_hook(lambda *_: None)
    if stepwise:
        rnn.cell.register_forward_hook(lambda *_: None)
    return rnn.to(DEVICE), exact


def agree(rnn, exact, loss, *given, tolerance=None):
    """Compare all gradients; `loss` maps a network and its inputs to a number."""
    dtype = next(rnn.parameters()).dtype
    found = gradients(rnn, loss, *[x.to(DEVICE, dtype) for x in given])
    wanted = gradients(exact, loss, *[x.double() for x in given])
    for name, value in wanted.items():
        error = (found[name].cpu().double() - value).abs().max()
        bound = (tolerance or TOLERANCE[dtype]) * max(1.0, value.abs().max().item())
        assert error < bound, name


@pytest.mark.parametrize("how", STEPWISE)
@pytest.mark.parametrize("problem", slow_but(PROBLEMS, "affine function"))
def test_readouts_and_amplitudes_are_those_of_the_dense_reference(problem, how):
    rnn, _ = pair(problem, stepwise=STEPWISE[how])
    with torch.no_grad():
        z, state = rnn(inputs().to(DEVICE), lengths=torch.tensor(LENGTHS))
    expected, psi = solution(problem, LENGTHS)
    np.testing.assert_allclose(z.cpu(), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state.amplitudes().cpu(), psi, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "problem", slow_but(["default", "affine function", "CRX on a ring"], "default")
)
def test_gradients_are_those_of_the_cpu_however_the_state_is_held(problem, size):
    agree(*pair(problem, DOUBLE), everything, inputs(2, 2))


@pytest.mark.parametrize("how", STEPWISE)
@pytest.mark.parametrize("problem", slow_but(PROBLEMS, "CRX on a ring"))
def test_single_precision_has_the_gradients_of_double(problem, how):
    rnn, exact = pair(problem, calm=0.4, stepwise=STEPWISE[how])
    agree(rnn, exact, everything, inputs(2, 2))


OWN = [name for name in GATE_EXAMPLES if "(via)" not in name]


@pytest.mark.parametrize("name", slow_but(OWN, "RY", "CRX"))
def test_every_gate_has_the_values_and_gradients_of_the_cpu(name):
    rnn, exact = pair(dtype=DOUBLE, controller="linear", depth=0, readout="Z", **around(name))
    agree(rnn, exact, everything, inputs(1, 1))


@pytest.mark.parametrize("name", slow_but(OWN, "RZ", "IsingXX"))
def test_every_gate_on_states_in_memory(name, monkeypatch):
    monkeypatch.setattr(gpu, "LARGEST", 0)
    rnn, exact = pair(dtype=DOUBLE, controller="linear", depth=0, readout="Z", **around(name))
    agree(rnn, exact, everything, inputs(1, 1))


@pytest.mark.parametrize("name", slow_but(CONTROLLERS, "glu"))
def test_every_controller_in_tiles_with_paused_sequences(name, monkeypatch):
    monkeypatch.setattr(gpu, "TILE", 4)
    options = {"n_qubits": 1, "layers": 1, **CONTROLLERS[name]}
    rnn, exact = pair(dtype=DOUBLE, **options)
    lengths = torch.tensor([3, 1])
    agree(rnn, exact, lambda rnn, x: everything(rnn, x, lengths), inputs(3, 2))


def test_the_backward_pass_in_pieces_is_the_whole(monkeypatch):
    monkeypatch.setattr(gpu, "RECORD_BYTES", 1)
    rnn, exact = pair(dtype=DOUBLE, n_qubits=1)
    agree(rnn, exact, everything, inputs(4, 2))


@pytest.mark.parametrize("how", [*STEPWISE, "in memory"])
@pytest.mark.parametrize("name", slow_but(LOSSES, "amplitudes of each step and readouts"))
def test_the_gradient_is_right_whatever_the_loss_reads(name, how, monkeypatch):
    if how == "in memory":
        monkeypatch.setattr(gpu, "LARGEST", 0)
    rnn, exact = pair(dtype=DOUBLE, n_qubits=2, layers=1, stepwise=how == "stepwise")
    agree(rnn, exact, LOSSES[name], inputs(4, 1))


def test_a_second_backward_gives_the_same_and_leaves_the_state_alone(size):
    rnn, _ = pair(dtype=DOUBLE, n_qubits=2, layers=1)
    z, state = rnn(inputs(3, 2, DOUBLE).to(DEVICE))
    loss, psi = z.square().sum(), state.amplitudes().clone()
    first = torch.autograd.grad(loss, list(rnn.parameters()), retain_graph=True)
    second = torch.autograd.grad(loss, list(rnn.parameters()))
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.amplitudes(), psi, rtol=0, atol=0)


@pytest.mark.core
def test_the_whole_sequence_runs_in_one_node_in_both_precisions(monkeypatch):
    calls, apply = [], SequenceNode.apply
    monkeypatch.setattr(SequenceNode, "apply", lambda *a: calls.append(1) or apply(*a))
    for dtype in TOLERANCE:
        network(dtype=dtype, n_qubits=1).to(DEVICE)(inputs(2, 1, dtype).to(DEVICE))
    assert len(calls) == 2


def test_readout_noise_is_that_of_the_steps(monkeypatch):
    monkeypatch.setattr(torch, "randn_like", lambda z: torch.full_like(z, 0.7))
    options = {"n_qubits": 2, "layers": 1, "readout_shots": 50, "readout_depolarizing": 0.2}
    rnn, exact = pair(dtype=DOUBLE, **options)
    agree(rnn.train(), exact.train(), everything, inputs(3, 2))


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("controller", slow_but(["linear", "relu", "gelu", "glu"], "gelu"))
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_angle_that_is_no_number_is_an_error_that_names_the_step(controller, value):
    rnn = QRNN(2, 1, width=3, controller=controller).to(DEVICE)
    x = inputs(3, 2).to(DEVICE)
    x[1, 1, 0] = value
    with pytest.raises(NumericsError, match="NaN or infinity at step 1"):
        rnn(x)


def test_eight_qubits_have_the_readouts_of_the_cpu():
    rnn, exact = pair(n_qubits=8, calm=0.4)
    with torch.no_grad():
        z, _ = rnn(inputs(2, 1).to(DEVICE))
        expected, _ = exact(inputs(2, 1).double())
    np.testing.assert_allclose(z.cpu(), expected, rtol=0, atol=1e-5)


def long_words(angles, wires):
    """Few gates, of which one sees all wires, so that many qubits can be interpreted."""
    for i, wire in enumerate((wires[0], wires[-1])):
        qml.RX(angles[i], wires=wire)
        qml.RY(angles[1 - i], wires=wire)
    qml.MultiRZ(angles[2], wires=wires)
    qml.IsingXX(angles[3], wires=[wires[0], wires[len(wires) // 2]])


@pytest.mark.parametrize(
    ("n", "kind"),
    [(10, gpu.TritonKernels), pytest.param(13, LargeKernels, marks=pytest.mark.slow)],
)
def test_many_qubits_and_words_over_all_of_them(n, kind):
    words = ["X" + "Z" * (n - 1), "Y" * n, "Y" + "I" * (n - 2) + "X"]
    options = {"n_qubits": n, "ansatz": long_words, "n_angles": 4, "readout": words}
    rnn, exact = pair(dtype=DOUBLE, controller="linear", depth=0, **options)
    agree(rnn, exact, everything, inputs(1, 1))
    assert type(rnn.cell.memory.kernels(torch.device(DEVICE))) is kind


def test_a_missing_triton_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(
        MissingExtraError, match=r"needs the package `triton`: pip install 'pennylane-qrnn\["
    ):
        kernels.kernels_for(network().cell.memory.program, torch.device("cuda"))


def test_a_torch_device_without_kernels_is_refused():
    with pytest.raises(DeviceError, match="weights and inputs on cpu or cuda, got meta"):
        QRNN(2, 2).to("meta")(torch.zeros(1, 1, 2, device="meta"))


def test_the_cpu_never_imports_triton():
    code = "import sys, torch, qrnn; qrnn.QRNN(1, 1)(torch.ones(1, 1, 1)); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "qrnn.memory.kernels.cpu.kernels" in run.stdout.split()
    gpu_only = ("triton", "qrnn.memory.kernels.gpu")
    assert not [m for m in run.stdout.split() if m.startswith(gpu_only)]


@pytest.mark.parametrize("how", [*STEPWISE, "in memory"])
@pytest.mark.parametrize(
    "problem", slow_but(["affine function", "strongly entangling", "default"], "default")
)
def test_all_that_a_kernel_is_given_is_on_its_device(problem, how, monkeypatch):
    launched = []

    def launch(kernel, grid, *arguments, **options):
        tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
        assert {t.device.type for t in tensors} == {"meta"}
        launched.append(kernel)

    monkeypatch.setattr(gpu, "launch", launch)
    monkeypatch.setattr("qrnn.memory.kernels.gpu.large_kernels.launch", launch)
    monkeypatch.setattr(gpu, "LARGEST", 0 if how == "in memory" else 12)
    monkeypatch.setitem(kernels.BACKENDS, "meta", kernels.BACKENDS["cuda"])
    cell = network(problem, readout_shots=5).cell.to("meta")
    x = torch.empty(3, 2, 2, device="meta", requires_grad=True)
    z, active = torch.empty(2, cell.n_readouts, device="meta"), torch.ones(3, 2, device="meta") > 0
    state = cell.memory.start(2, x)
    if how == "sequence":
        z, state = cell.memory.sequence(cell.controller, x, state, z, active, cell.readout_noise)
    else:
        controls = cell.controller(torch.cat([x[0], z], 1))
        z, state = cell.memory.step(state, controls, active[0])
    (z.sum() + state.psi.sum()).backward()
    assert {t.device.type for t in (x.grad, *[p.grad for p in cell.parameters()])} == {"meta"}
    assert len(launched) >= 2


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("n", [8, 10, 12, 14])
def test_real_sizes_on_a_gpu(n, dtype):
    rnn, exact = pair(dtype=dtype, n_qubits=n, calm=0.1)
    agree(rnn, exact, everything, inputs(6, 5), tolerance=1e-3 if dtype == torch.float32 else 1e-8)


@pytest.mark.gpu
def test_a_thousand_steps_on_a_gpu_come_back_to_where_they_began(monkeypatch):
    rnn = network(n_qubits=8).to(DEVICE)
    memory = rnn.cell.memory
    with torch.no_grad():
        for p in rnn.parameters():
            p.mul_(0.1)
    before = []
    undo = memory.kernels(torch.device(DEVICE)).backward_sequence
    monkeypatch.setattr(
        gpu.TritonKernels,
        "backward_sequence",
        lambda _, *a, **k: before.append(undo(*a, **k)) or before[0],
    )
    z, _ = rnn(inputs(1000, 64).to(DEVICE))
    z.square().mean().backward()
    torch.testing.assert_close(before[0][0], memory.start(64, z).psi, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_trajectories_are_those_of_the_cpu():
    noise = {"noise": "depolarizing", "strength": 0.1, "trajectories": 3, "seed": 1}
    small, x = {"n_qubits": 2, "layers": 1, "dtype": DOUBLE}, inputs(2, 1, DOUBLE)

    def loss(rnn, x):
        return rnn(x)[0].sin().sum()

    expected = gradients(on_numba(network(**small).on("fused", **noise)), loss, x)
    found = gradients(network(**small).to(DEVICE).on("fused", **noise), loss, x.to(DEVICE))
    found = {name: value.cpu() for name, value in found.items()}
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[DOUBLE])
