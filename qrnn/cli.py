"""The command line: `qrnn train | evaluate | devices | draw`, configured by Hydra."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

USAGE = """\
qrnn: recurrent networks whose hidden state is a quantum state

  qrnn train                       train the handwritten digits on this machine
  qrnn train --help                all that can be configured
  qrnn evaluate checkpoint=FILE device=NAME
                                   evaluate a checkpoint on another device
  qrnn devices [NAME]              the devices, and which of them can run here
  qrnn draw model.n_qubits=4       the circuit of one time step, and its size

Options are Hydra's key=value pairs. Errors exit with status 2.
"""


def train(config) -> None:
    """Train, then say where everything is."""
    from hydra.core.hydra_config import HydraConfig

    from qrnn.config import TrainConfig, to_typed
    from qrnn.training import train as run

    hydra = HydraConfig.get()
    typed: TrainConfig = to_typed(resumed(config, list(hydra.overrides.task)))
    result = run(typed, hydra.runtime.output_dir)
    shown = os.path.relpath(result.best)
    if result.interrupted:
        print(f"interrupted in epoch {result.epochs + 1}; to go on:")
        print(f"  qrnn train resume={os.path.relpath(result.last)}")
        return
    print(f"{result.epochs} epochs, best validation accuracy {100 * result.val_accuracy:.1f}%")
    print(f"  checkpoint  {shown}")
    print(f"  next        qrnn evaluate checkpoint={shown} device=default.qubit")


def resumed(config, overrides: list[str]):
    """Return the configuration to run: the checkpoint's with the given keys, when resuming.

    Raises:
        ConfigError: a whole group was chosen beside `resume`.
        DataError: not a checkpoint.
    """
    if config.resume is None:
        return config
    from omegaconf import OmegaConf

    from qrnn.checkpoint import read_checkpoint
    from qrnn.config import from_plain
    from qrnn.errors import ConfigError

    for group in ("task", "model", "device", "trainer"):
        if any(item.split("=")[0] == group for item in overrides):
            raise ConfigError(f"{group} must be left out with resume: it is the checkpoint's")
    saved = OmegaConf.structured(from_plain(read_checkpoint(config.resume)["qrnn"]["config"]))
    saved.resume = config.resume
    for item in overrides:
        key = item.split("=")[0]
        OmegaConf.update(saved, key, OmegaConf.select(config, key))
    return saved


def evaluate(config) -> None:
    """Evaluate one checkpoint on one device; print the table and keep it beside the checkpoint."""
    from omegaconf import OmegaConf
    from rich.console import Console

    from qrnn.checkpoint import load_model
    from qrnn.config import EvaluateConfig, to_typed
    from qrnn.data import TASKS
    from qrnn.devices import open_device
    from qrnn.errors import ConfigError
    from qrnn.evaluation import evaluate as run
    from qrnn.evaluation import save, table
    from qrnn.registry import unknown_name

    if OmegaConf.is_missing(config, "checkpoint"):
        raise ConfigError("checkpoint must name a file: qrnn evaluate checkpoint=FILE device=NAME")
    typed: EvaluateConfig = to_typed(config)
    parts = ("test", "val", "train")
    if typed.split not in parts:
        raise unknown_name("split", typed.split, parts)
    open_device(typed.device)  # its options are wrong before anything is loaded
    model, trained = load_model(typed.checkpoint)
    if typed.data_dir is not None:
        if not hasattr(trained.task, "data_dir"):
            raise ConfigError(f"data_dir must be left out: task {trained.task.name} reads no files")
        trained.task.data_dir = typed.data_dir
    if typed.limit is not None and typed.limit < 1:
        raise ConfigError(f"limit must be at least 1, got {typed.limit}")
    data = TASKS[trained.task.name].load(trained.task)
    split = getattr(data, typed.split).head(typed.limit)
    result = run(
        model, split, typed.device, feedback=typed.feedback, readout_mode=typed.readout_mode,
        readout_angle=typed.readout_angle, batch_size=typed.batch_size,
    )  # fmt: skip
    kept = Path(typed.checkpoint).parent / f"evaluation-{result.device}.json"
    save(result, kept)
    Console().print(table([result]))
    print(f"kept in {os.path.relpath(kept)}")


def draw(config) -> None:
    """Print the circuit of one time step and its resources."""
    from qrnn.cell import QRNNCell
    from qrnn.config import DrawConfig, to_typed

    typed: DrawConfig = to_typed(config)
    cell = QRNNCell(1, device=typed.device, **typed.model.cell_options())
    print(cell.draw())
    print()
    for name, value in cell.specs().items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if name == "gate_types" else value
        print(f"{name.replace('_', ' '):<16} {shown}")


def devices() -> None:
    """Print all devices, or all that one device declares."""
    from dataclasses import fields

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from qrnn.devices import device_names, device_spec

    if sys.argv[1:]:
        for name in sys.argv[1:]:
            spec = device_spec(name)
            for field in fields(spec):
                value = getattr(spec, field.name)
                shown = ", ".join(value) if isinstance(value, tuple) else value
                print(f"{field.name.replace('_', ' '):<12} {shown}")
            print(f"{'runs here':<12} {spec.missing() or 'yes'}")
        return
    table = Table(title="Devices: device=NAME", title_style="bold")
    for heading in ("device", "readout", "noise", "n", "strategies", "runs here"):
        table.add_column(heading, no_wrap=heading == "device", overflow="fold")
    readouts = {"no": "exact", "optional": "exact/shots", "required": "shots"}
    for name in device_names():
        spec = device_spec(name)
        table.add_row(
            name, readouts[spec.shots], "yes" if spec.noisy else "no", str(spec.max_wires),
            ", ".join(spec.strategies), escape(spec.missing() or "yes"),
        )  # fmt: skip
    Console().print(table)
    print("All that one declares: qrnn devices NAME")


def _with_hydra(task: Callable, config_name: str) -> None:
    """Run a command under Hydra, so that multirun, sweepers and launchers work."""
    import hydra

    from qrnn.config import register_schemas

    @functools.wraps(task)
    def job(config) -> None:
        # Caught here, since Hydra would first print a line of its own.
        with _one_line_errors():
            task(config)

    register_schemas()
    hydra.main(version_base="1.3", config_path="pkg://qrnn.configs", config_name=config_name)(job)()


COMMANDS: dict[str, Callable[[], None]] = {
    "train": lambda: _with_hydra(train, "train"),
    "evaluate": lambda: _with_hydra(evaluate, "evaluate"),
    "draw": lambda: _with_hydra(draw, "draw"),
    "devices": devices,
}


def main() -> None:
    """Entry point of the `qrnn` command."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return
    command = sys.argv.pop(1)
    if command not in COMMANDS:
        from qrnn.registry import unknown_name

        _fail(str(unknown_name("command", command, COMMANDS)))
    # Hydra prints its own several lines otherwise, and hides the exception's type.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with _one_line_errors():
        COMMANDS[command]()


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End the process with one line and status 2 for an error that the user can mend."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from qrnn.cli_errors import one_line
    from qrnn.errors import QRNNError

    try:
        yield
    except (QRNNError, HydraException, OmegaConfBaseException) as error:
        _fail(one_line(error))
    except KeyboardInterrupt:
        _fail("interrupted", status=130)


def _fail(message: str, status: int = 2) -> None:
    print(f"qrnn: {message}", file=sys.stderr)
    sys.exit(status)
