"""`qrnn export`: run a checkpoint on one sequence, and write the circuit that it ran."""

from __future__ import annotations

import io

import torch

from qrnn import export
from qrnn.cell.cell import QRNNCell
from qrnn.config import ExportConfig
from qrnn.data import Part
from qrnn.errors import ConfigError
from qrnn.models.base import Model
from qrnn.models.cells import cells_of
from qrnn.training.checkpoint import load_data, load_model
from qrnn.utils.files import atomic_write, check_output
from qrnn.utils.program import shown_path
from qrnn.utils.registry import unknown_name

FORMATS = ("qasm3", "qiskit", "tape")


def check(config: ExportConfig) -> None:
    """Check the options that do not depend on the checkpoint.

    Raises:
        ConfigError: the format is unknown, or an option does not fit the format.
    """
    if config.format not in FORMATS:
        raise unknown_name("format", config.format, FORMATS)
    if config.format == "qiskit" and config.output is None:
        raise ConfigError(
            "output must name a file for format qiskit, which is binary: output=a.qpy"
        )
    if config.format == "tape" and config.basis is not None:
        raise ConfigError(
            f"basis must be left out with format tape, got {config.basis!r}: the tape holds the "
            f"readouts themselves"
        )
    if config.step != "all" and not config.step.isdecimal():
        raise ConfigError(f"step must be all, or a number counted from 0, got {config.step!r}")


def cell_of(model: Model, name: str, number: int) -> QRNNCell:
    """Return one of a model's hybrid cells.

    Args:
        model: the model.
        name: the model's name, for the message.
        number: number of the cell, from 0.

    Raises:
        ConfigError: the model has no such cell.
    """
    cells = cells_of(model)
    if not cells:
        other = (
            ": in Python, model.on('default.qubit').tapes(batch) returns its circuits"
            if model.projects
            else ""
        )
        raise ConfigError(f"checkpoint must be of a hybrid model, got {name}{other}")
    return cells[_within("cell", number, len(cells))]


def angles_of(config: ExportConfig, model: Model, cell: QRNNCell, part: Part) -> torch.Tensor:
    """Return the angles (T, P) of the selected steps, in radians.

    Raises:
        ConfigError: the task is a text or a translation, or has no such sequence or step.
    """
    if part.is_text or model.translates:
        raise ConfigError(
            "checkpoint must be of a task with separate sequences, got a text or translations: "
            "use qrnn.export in Python"
        )
    first = _within("index", config.index, len(part))
    x = part.sequences("qrnn export").batch(slice(first, first + 1)).x  # without padding
    (theta,) = export.angles(model, x, cell=cell)
    if config.step == "all":
        return theta
    return theta[_within("step", int(config.step), len(theta))][None]


def _within(name: str, given: int, number: int) -> int:
    if not 0 <= given < number:
        raise ConfigError(f"{name} must be one of 0..{number - 1}, got {given}")
    return given


def run(config: ExportConfig) -> str:
    """Return the circuit as text; or write it to a file, and return a line that says so.

    Raises:
        ConfigError: an option does not fit the checkpoint, or the file cannot be written.
        DataError: the file is not a checkpoint, or its task's data is missing.
        MissingExtraError: the format needs Qiskit, which is not installed.
    """
    check(config)
    check_output("output", config.output, config.checkpoint)
    model, trained = load_model(config.checkpoint)
    cell = cell_of(model, trained.model.name, config.cell)
    part = getattr(load_data(trained, config.data_dir), config.split)
    theta = angles_of(config, model, cell, part)
    circuit = cell.circuit.read_by(config.readout_mode, config.readout_angle)
    if config.format == "qiskit":
        built = export.qiskit_circuit(circuit, theta, config.basis)
        from qiskit import qpy

        qpy.dump(built, file := io.BytesIO())
        content = file.getvalue()
    elif config.format == "qasm3":
        content = export.qasm3(circuit, theta, config.basis).encode()
    else:
        content = export.source(circuit, theta).encode()
    if config.output is None:
        return content.decode().rstrip("\n")
    try:
        with atomic_write(config.output) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise ConfigError(
            f"output must name a file that can be written, got {config.output}: {error.strerror}"
        ) from error
    steps = f"step {config.step}" if config.step != "all" else f"{len(theta)} steps"
    return f"{steps} on {circuit.n_wires} qubits saved to {shown_path(config.output)}"
