"""The number of qubits of a cell that must have a number of readouts."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from qrnn.cell.cell import QRNNCell
from qrnn.circuit.ansatz import Ansatz, build_ansatz
from qrnn.circuit.observables import pauli_words
from qrnn.config.models import HybridConfig
from qrnn.errors import ConfigError
from qrnn.utils.checks import shown, whole

MOST_QUBITS = 64  # to look at; no simulator has as many


def n_qubits_of(
    n_qubits: int | None, hidden_size: int | None, cell_options: Mapping[str, Any]
) -> int:
    """Return the number of qubits, given or found from the number of readouts.

    Args:
        n_qubits: the number of qubits; None: the smallest with `hidden_size` readouts.
        hidden_size: the number of readouts; None: not given.
        cell_options: of `QRNNCell`; the ansatz and the readout decide.

    Raises:
        ConfigError: neither is given, or no number of qubits has as many readouts.
    """
    if n_qubits is not None:
        return n_qubits
    if hidden_size is None:
        raise ConfigError("n_qubits or hidden_size (the number of readouts) must be given")
    size = whole("hidden_size", hidden_size, 1)
    ansatz = cell_options.get("ansatz", HybridConfig.ansatz)
    if isinstance(ansatz, Ansatz):
        return ansatz.n_wires
    readout = cell_options.get("readout", HybridConfig.readout)
    if (
        isinstance(readout, list | tuple) and readout and isinstance(readout[0], str)
    ):  # Pauli words, which have a letter for each qubit
        return len(readout[0])
    of_the_cell = signature(QRNNCell).parameters.keys() - {"n_angles", "circuits"}
    options = {name: value for name, value in cell_options.items() if name not in of_the_cell}
    near: dict[int, int] = {}
    failed: ConfigError | None = None
    for n in range(1, min(size + 1, MOST_QUBITS) + 1):
        try:
            found = len(pauli_words(readout, n, build_ansatz(ansatz, n, **options).pairs))
        except ConfigError as error:  # too few qubits for the topology, or a wrong option
            failed = error
            continue
        if found == size:
            return n
        near[n] = found
        if found > size:
            break
    if not near and failed is not None:
        raise failed
    known = " or ".join(f"{r} (n_qubits={n})" for n, r in list(near.items())[-2:])
    raise ConfigError(
        f"hidden_size must be the number of readouts of some n_qubits, got {size}: with readout "
        f"{shown(readout)} it can be {known}"
    )
