"""Estimate the cost of reading quantum neurons on IBM's backends, where most shots are lost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace

from rich.table import Table

from qrnn.data import Part
from qrnn.devices import DeviceOptions
from qrnn.devices.ibm import estimate
from qrnn.devices.ibm.limits import JOB_SECONDS
from qrnn.errors import ConfigError
from qrnn.models.next_token import NextToken, next_tokens
from qrnn.neurons.amplification import amplify, shots_saved
from qrnn.neurons.definition import Weights
from qrnn.neurons.replayed import history

ROUNDS = (0, 1, 2)  # rounds of amplitude amplification


@dataclass(frozen=True)
class NeuronPrice:
    """The price of reading the last step of some sequences, projected on their tokens.

    Attributes:
        kept: fraction of shots that survive all projections, median over the sequences.
        executions: circuits x shots needed to keep `shots` of them for each sequence.
        depth: circuit depth on the backend.
        two_qubit_gates: number of two-qubit gates on the backend.
        qpu_seconds: QPU time of the executions by IBM's formula, without the 2 s per job.
    """

    kept: float
    executions: float
    depth: int
    two_qubit_gates: int
    qpu_seconds: float


def neuron_prices(
    model: NextToken,
    options: DeviceOptions,
    part: Part,
    rounds: Iterable[int] = ROUNDS,
    delta: float = 0.3,
) -> dict[int, NeuronPrice]:
    """Return the price for each number of rounds of amplitude amplification; nothing is run.

    Args:
        model: the model, on device `fused`.
        options: where it would run, as returned by `qrnn.evaluation.costs.priceable`.
        part: the sequences, all of equal length.
        rounds: numbers of rounds to price; 0: no amplification.
        delta: square root of the largest loss of an amplified projection, in (0, 1).

    Raises:
        ConfigError: the data is a text, or its sequences have different lengths.
        DeviceError: the device cannot run the circuit.
    """
    if part.n_steps is None:
        raise ConfigError(
            "quantum neurons must have sequences of equal length to be priced, got a text or "
            "different lengths: choose a task like elman_xor"
        )
    (batch,) = part.sequences("a price").all_batches(None)
    cell, targets = model.rnn.cell, next_tokens(batch)
    shots = options.shots or 1
    found = {}
    # Hardware requires a ledger; this one stays empty.
    with tempfile.TemporaryDirectory() as folder:
        replay = model.on(replace(options, ledger=folder)).rnn.cell.replay
        try:
            steps = history(batch.x[0], targets[0], batch.x.shape[1] - 1)
            plain = replay.tape(Weights(*(part.detach().numpy() for part in cell.weights)), steps)
            for n in rounds:
                (tape,), _ = amplify(plain, cell.definition.ancillas[0], n, delta)
                circuit = estimate(replay.plugin, [[tape]])
                each = (circuit.qpu_seconds - circuit.jobs * JOB_SECONDS) / circuit.executions
                saving = shots_saved(cell, batch.x.T, targets.T, n, delta)
                executions = shots * saving.amplified.sum().item()
                found[n] = NeuronPrice(
                    (1 / saving.amplified).median().item(),
                    executions,
                    circuit.depth,
                    circuit.two_qubit_gates,
                    each * executions,
                )
        finally:
            replay.plugin.close()
    return found


def table(priced: dict[int, NeuronPrice]) -> Table:
    """Return prices as a table, one column per number of rounds, at most 80 characters wide."""
    out = Table()
    out.add_column("rounds of amplification")
    for n in priced:
        out.add_column(str(n), justify="right")
    every = priced.values()
    out.add_row("fraction of shots kept", *(f"{one.kept:.2g}" for one in every))
    out.add_row("executions", *(f"{one.executions:.3g}" for one in every))
    out.add_row("depth", *(f"{one.depth:,}" for one in every))
    out.add_row("two-qubit gates", *(f"{one.two_qubit_gates:,}" for one in every))
    out.add_row("QPU seconds", *(f"{one.qpu_seconds:.3g}" for one in every))
    return out
