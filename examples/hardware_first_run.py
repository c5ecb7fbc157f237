"""Evaluate the demo's model on an IBM backend: 32 digits, at most 60 QPU seconds.

    make hardware-first-run BACKEND=ibm_fez   (or: python examples/hardware_first_run.py ibm_fez)

It needs an IBM account and the checkpoint of `make demo`; without a name, it takes the least busy
backend. It trains nothing and prints the price first. Run again, it resumes: no job is submitted
twice. Results are saved to runs/demo.
"""

import sys
from pathlib import Path

from rich.console import Console

from qrnn.devices import DeviceOptions
from qrnn.devices.ibm import runtime
from qrnn.errors import ConfigError, DeviceError, QRNNError
from qrnn.evaluation import costs
from qrnn.evaluation.evaluation import evaluate, table
from qrnn.evaluation.files import save
from qrnn.evaluation.metrics import judge
from qrnn.reporting import report
from qrnn.training.checkpoint import load_data, load_model

CHECKPOINT = Path("runs/demo/best.ckpt")
DIGITS, SHOTS, QPU_SECONDS = 32, 1024, 60.0


def main(backend: str = "ibm") -> None:
    console = Console()
    if not CHECKPOINT.exists():
        raise ConfigError(f"{CHECKPOINT} must be there, but is not: run `make demo` once")
    if not runtime.has_account():
        raise DeviceError(
            "an IBM account must be saved, but none is: run QiskitRuntimeService.save_account(...) "
            "once, or set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE"
        )
    model, config = load_model(CHECKPOINT)
    data = load_data(config)
    digits = data.test.head(DIGITS)
    options = DeviceOptions(backend, shots=SHOTS, max_qpu_seconds=QPU_SECONDS)

    console.print(
        f"{backend}: {DIGITS} digits in the open loop, budget {QPU_SECONDS:g} QPU seconds"
    )
    console.print(
        costs.table(costs.prices(model, costs.priceable(options), digits, None, ["open"]))
    )
    folder = CHECKPOINT.parent
    done = evaluate(
        model, digits, options, judge=judge(data, "test", DIGITS), feedback="open", folder=folder
    )
    console.print(table([done]))
    console.print(str(done.cost))
    console.print(f"saved to {save(done, folder)} and {report(folder)}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(f"hardware_first_run: give one backend at most, got {' '.join(sys.argv[1:])}")
    try:
        main(*sys.argv[1:])
    except QRNNError as error:
        sys.exit(f"hardware_first_run: {error}")
