"""Compiles the Triton kernels for compute capability 9.0, without a GPU, and says what they use.

A process of its own: the rest of the suite runs the kernels through Triton's interpreter, and a
kernel that was imported for that cannot be compiled.

    python compile_probe.py N:DTYPE ...      prints {N:DTYPE: {kernel: what it uses}}
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.pop("TRITON_INTERPRET", None)

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from qrnn.memory.gpu import large, sequences, steps
from qrnn.memory.gpu.kernels import LARGEST, TILE, options_for
from qrnn.memory.gpu.large_kernels import LargeKernels

TARGET = GPUTarget("cuda", 90, 32)
TYPES = {
    **dict.fromkeys(("gates", "z_slots", "readouts", "layers"), "*i32"),
    **dict.fromkeys((*sequences.PLAIN, "g"), "i32"),
    "active": "*i8",
}
GELU, GLU = 2, 3
WHOLE = [
    (steps.forward_step, {}),
    (steps.backward_step, {}),
    (sequences.forward_sequence, {"kind": GELU, "ragged": False, "noisy": False, "TILE": TILE}),
    (sequences.forward_sequence, {"kind": GLU, "ragged": True, "noisy": True, "TILE": TILE}),
    (sequences.backward_sequence, {"kind": GELU, "ragged": False, "want_x": False, "TILE": TILE}),
    (sequences.backward_sequence, {"kind": GLU, "ragged": True, "want_x": True, "TILE": TILE}),
]
TILES = [
    (kernel, {})
    for kernel in (
        large.forward_gate, large.backward_gate, large.read_tiles, large.add_cotangent_tiles,
    )
]  # fmt: skip


def usage(cubin: bytes) -> dict[str, int]:
    """Return registers a thread, and bytes of stack a thread (what was spilled, and arrays)."""
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "kernel.cubin").write_bytes(cubin)
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(file)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {key: int(value) for key, value in re.findall(r"(REG|STACK):(\d+)", text)}
    return {"registers": found["REG"], "stack": found["STACK"]}


def compiled(kernel, constants: dict, options: dict, real: str) -> dict[str, int]:
    """Compile one kernel; return what it uses."""
    constants = {k: v for k, v in {**constants, **options}.items() if k in kernel.arg_names}
    options = {k: v for k, v in options.items() if k not in kernel.arg_names}
    signature = {
        name: "constexpr" if name in constants else TYPES.get(name, f"*{real}")
        for name in kernel.arg_names
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    done = triton.compile(source, target=TARGET, options=options)
    threads = 32 * done.metadata.num_warps
    return {**usage(done.asm["cubin"]), "shared": done.metadata.shared, "threads": threads}


def case(n: int, dtype: torch.dtype) -> dict[str, dict[str, int]]:
    """Compile the kernels for n qubits: all variants in single precision at n = 8, else some."""
    real = {torch.float32: "fp32", torch.float64: "fp64"}[dtype]
    options = {k: v for k, v in options_for(n, dtype).items() if v is not None}
    if n > LARGEST:
        kernels = object.__new__(LargeKernels)
        kernels.n = n
        options = kernels.options
    chosen = (
        TILES if n > LARGEST else WHOLE if (n, real) == (8, "fp32") else WHOLE[1:4:2] + WHOLE[5:]
    )
    return {
        " ".join([kernel.__name__, *(["ragged"] if constants.get("ragged") else [])]): compiled(
            kernel, constants, options, real
        )
        for kernel, constants in chosen
    }


def main() -> None:
    results = {}
    for label in sys.argv[1:]:
        n, dtype = label.split(":")
        results[label] = case(int(n), getattr(torch, dtype))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
