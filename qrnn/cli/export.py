"""What `qrnn export` does: run a checkpoint on one sequence, and write the circuit that it ran."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from qrnn import export
from qrnn.cell.cell import QRNNCell
from qrnn.config import ExportConfig
from qrnn.data import Part
from qrnn.errors import ConfigError
from qrnn.models.base import Model
from qrnn.models.cells import cells_of
from qrnn.training.checkpoint import load_data, load_model
from qrnn.utils.files import atomic_write
from qrnn.utils.registry import unknown_name

FORMATS = ("qasm3", "qiskit", "tape")


def check(config: ExportConfig) -> None:
    """Raise the error for options that fit no checkpoint.

    Raises:
        ConfigError: so it is.
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
    """Return one of a model's hybrid cells; `name` is the model's, for the message.

    Raises:
        ConfigError: it has no such cell.
    """
    cells = cells_of(model)
    if not cells:
        other = (
            "; its circuits are model.on('default.qubit').tapes(batch) in Python"
            if model.projects
            else ""
        )
        raise ConfigError(f"checkpoint must be of model hybrid, got {name}{other}")
    return cells[_within("cell", number, len(cells))]


def angles_of(config: ExportConfig, model: Model, cell: QRNNCell, part: Part) -> torch.Tensor:
    """Return the angles (T, P) of the steps that are asked for, in radians.

    Raises:
        ConfigError: a task of texts or translations, or no such sequence or step.
    """
    if part.is_text or model.translates:
        raise ConfigError(
            "checkpoint must be of a task of single sequences, got texts or translations: use "
            "qrnn.export in Python"
        )
    first = _within("index", config.index, len(part))
    x = (
        part.sequences("qrnn export").batch(slice(first, first + 1)).x
    )  # without the steps that pad it
    (theta,) = export.angles(model, x, cell=cell)
    if config.step == "all":
        return theta
    return theta[_within("step", int(config.step), len(theta))][None]


def _within(name: str, given: int, number: int) -> int:
    if not 0 <= given < number:
        raise ConfigError(f"{name} must be one of 0..{number - 1}, got {given}")
    return given


def run(config: ExportConfig) -> str:
    """Write the circuit; return it, or a line that says where it is.

    Raises:
        ConfigError: what is asked for does not fit the checkpoint, or cannot be written.
        DataError: not a checkpoint, or its task's data is missing.
        MissingExtraError: Qiskit is needed and not installed.
    """
    check(config)
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
    return f"{steps} of {circuit.n_wires} qubits, in {Path(config.output)}"
