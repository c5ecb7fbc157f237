"""Compiles the Triton kernels for compute capability 9.0, without a GPU, and says what they use.

The host's code runs as it would on a GPU, down to where a kernel is launched: there it is compiled
for the arguments that it is given. A process of its own: the rest of the suite runs the kernels
through Triton's interpreter, and a kernel that was imported for that cannot be compiled.

    python -m helpers.compile_probe N:DTYPE ...

prints {N:DTYPE: {kernel: [what each variant uses]}}.
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
from triton.backends.driver import DriverBase
from triton.runtime import driver

from qrnn import QRNN, Controller
from qrnn.circuit.readout_noise import ReadoutNoise
from qrnn.memory import backends as kernels
from qrnn.memory.fused_sequence import pack
from qrnn.memory.kernels.gpu import kernels as gpu
from qrnn.memory.kernels.gpu import large_kernels

D = 1
SIZES = ((3, 4), (16, 1))  # batch and steps: numbers that Triton could compile for apart


class NoGPU(DriverBase):
    """A driver that knows what to compile for, and can do nothing else."""

    @classmethod
    def is_active(cls):
        return True

    def map_python_to_cpp_type(self, ty):
        raise NotImplementedError

    def get_active_torch_device(self):
        raise NotImplementedError

    def get_benchmarker(self):
        raise NotImplementedError

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


def usage(done) -> dict[str, int]:
    """Return registers and bytes of stack a thread, bytes of shared memory, and threads."""
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "kernel.cubin").write_bytes(done.asm["cubin"])
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(file)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {key: int(value) for key, value in re.findall(r"(REG|STACK):(\d+)", text)}
    return {
        "registers": found["REG"],
        "stack": found["STACK"],
        "shared": done.metadata.shared,
        "threads": 32 * done.metadata.num_warps,
        # The table of 2 / pi that a cosine needs to reduce any angle; the fast one does without.
        "reduces": "__cudart_i2opi" in done.asm["ptx"] and "cos.approx" not in done.asm["ptx"],
    }


def case(n: int, dtype: torch.dtype) -> dict[str, list[dict[str, int]]]:
    """Run the host's code for n qubits; return what each kernel that it launched uses."""
    launched: dict[str, dict] = {}

    def launch(kernel, grid, *arguments, **options):
        done = kernel.warmup(*arguments, grid=grid, **options)
        launched.setdefault(kernel.__name__, {})[done.hash] = done

    gpu.launch = large_kernels.launch = launch
    cell = QRNN(D, n).to(dtype).cell
    own = cell.memory.kernels(torch.device("cpu"))
    for batch, steps in SIZES:
        psi = own.start(batch, torch.empty(0, dtype=dtype))
        z, x = (torch.ones(s, dtype=dtype) for s in ((batch, cell.n_readouts), (steps, batch, D)))
        angles = torch.ones(batch, len(cell.memory.program.columns), dtype=dtype)
        for active in (None, torch.ones(batch, dtype=torch.bool)):
            kept = own.forward(psi, angles, active)[2]
            own.backward(psi, psi, z, kept)
        if dtype not in own.sequence_dtypes:
            continue
        for kind, paused, noise in (("gelu", False, None), ("glu", True, 50)):
            controller = Controller(D, cell.n_readouts, cell.circuit.n_angles, kind, 8).to(dtype)
            packed = pack(
                controller,
                cell.quantum.bias,
                cell.memory.slots.affine(cell.circuit.affine()),
                cell.input_size + cell.n_readouts,
            )
            active = torch.ones(steps, batch, dtype=torch.bool) if paused else None
            kept = own.forward_sequence(psi, z, x, active, packed, ReadoutNoise(noise))[2]
            own.backward_sequence(psi, psi, None, kept, want_x=paused)
    return {name: [usage(done) for done in found.values()] for name, found in launched.items()}


def main() -> None:
    driver.set_active(NoGPU())
    kernels.BACKENDS["cpu"] = kernels.BACKENDS["cuda"]
    results = {}
    for label in sys.argv[1:]:
        n, dtype = label.split(":")
        results[label] = case(int(n), getattr(torch, dtype))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
