"""What does not run a circuit waits for none of the packages that take seconds to import."""

import json

SLOW = ["torch", "pennylane", "numpy", "scipy", "pandas", "sklearn", "matplotlib", "lightning"]
COMMANDS = """
import contextlib, io, json, sys
from hydra.core.global_hydra import GlobalHydra
from qrnn.cli import main
lines, slow = json.load(sys.stdin)
found = []
for line in lines:
    GlobalHydra.instance().clear()
    sys.argv = ["qrnn", *line]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    imported = [name for name in slow if name in sys.modules]
    found.append([imported, status, out.getvalue() + err.getvalue()])
print(json.dumps(found))
"""
LINES = {
    "train --help": "set with key=value",
    "train task=forecast model=quantum_neuron --help": "workspace: 5",
    "estimate --help": "price_per_second",
    "devices": "lightning.kokkos",
    "devices default.mixed": "device.strength",
    "completion bash": "strongly_entangling",
    "train model.widh=3": "key 'model.widh' is not known",
    "train trainer.epochs=many": "trainer.epochs: Value 'many'",
    "train model=hybrd": "did you mean hybrid",
    "evaluate checkpoint=none.ckpt device=warp": "device 'warp' is not known",
    "evaluate checkpoint=none.ckpt device=fake_fez": "set device.shots, e.g. 1024",
    "evaluate checkpoint=none.ckpt limit=0": "limit must be at least 1",
    "inspect checkpoint=none.ckpt": "none.ckpt is not one",
    "draw model=lstm": "model must be hybrid to be drawn",
}


def test_help_lists_and_errors_import_no_slow_package(qrnn_subprocess, tmp_path):
    lines = [line.split() for line in LINES]
    done = qrnn_subprocess(COMMANDS, input=json.dumps([lines, SLOW]), cwd=tmp_path)
    for line, expected, (imported, status, told) in zip(
        LINES, LINES.values(), json.loads(done.stdout), strict=True
    ):
        assert imported == [], line
        assert expected in told, line
        assert status == (2 if told.startswith("qrnn: ") else 0), line


def test_a_cell_needs_only_torch_and_pennylane(qrnn_subprocess):
    others = ["numba", "hydra", "omegaconf", "lightning", "pandas", "sklearn", "qiskit"]
    code = f"import sys; found = [name for name in {others} if name in sys.modules]; print(found)"
    assert qrnn_subprocess(f"from qrnn import QRNN; QRNN(1, 2); {code}").stdout == "[]\n"
