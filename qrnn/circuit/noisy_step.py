"""A step circuit as a backend runs it: in other gates, with channels and readout errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pennylane.operation import Operator
from typing_extensions import override

from qrnn.circuit.pauli_rotations import subsets
from qrnn.circuit.step import StepCircuit


class NoisyStep(StepCircuit):
    """A step circuit with other gates that do the same, up to their noise.

    Args:
        circuit: the step circuit, with S gate parameters.
        gates: S' gates of `qrnn.circuit.gates.GATES`, and channels of constant strength, each with
            one parameter or none.
        matrix: M (S', S): the parameters of `gates` are M s + b for those of the circuit's own.
        offset: b (S',).
        misread: (n, 2), the probabilities on each wire to read 1 for 0, and 0 for 1.
    """

    def __init__(
        self,
        circuit: StepCircuit,
        gates: list[Operator],
        matrix: np.ndarray,
        offset: np.ndarray,
        misread: np.ndarray,
    ):
        vars(self).update(vars(circuit))
        self.gates, self.n_parameters = gates, len(offset)
        self._matrix, self._offset = torch.tensor(matrix), torch.tensor(offset)
        read, mixing, constant = assignment(circuit.words, misread)
        self.read = tuple(read)
        self._mixing, self._constant = torch.tensor(mixing), torch.tensor(constant)

    @override
    def parameters(self, theta: torch.Tensor) -> torch.Tensor:
        inner = super().parameters(theta)
        return inner @ self._matrix.T.to(inner) + self._offset.to(inner)

    @override
    def affine(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        if (inner := super().affine()) is None:
            return None
        matrix, offset = inner
        return self._matrix @ matrix, self._matrix @ offset + self._offset

    @override
    def values(self, results: Any) -> Any:
        """Return z (..., R) with readout errors, for the expectation values of `read`."""
        return results @ self._mixing.T.to(results) + self._constant.to(results)


def assignment(
    words: Sequence[str], misread: np.ndarray
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return how readout errors change expectation values of Pauli words.

    A letter with outcome s = 1 or -1 is read as s' with mean a s + b, where a = 1 - p10 - p01 and
    b = p01 - p10; a word is the product of its letters. So its mean is a sum over the words that
    have some of its letters.

    Args:
        words: the R words.
        misread: (n, 2), the probabilities p10 and p01 on each wire to read 1 for 0, and 0 for 1.

    Returns:
        R' words, the given ones first, A (R, R') and c (R,) with z = A z' + c.
    """
    slope = 1 - misread.sum(1)
    shift = misread[:, 1] - misread[:, 0]
    terms: list[dict[str, float]] = []
    for word in words:
        wires = [wire for wire, letter in enumerate(word) if letter != "I"]
        terms.append({})
        for chosen in subsets(wires):
            part = "".join(p if wire in chosen else "I" for wire, p in enumerate(word))
            others = [wire for wire in wires if wire not in chosen]
            factor = slope[list(chosen)].prod() * shift[others].prod()
            if factor or part == word:
                terms[-1][part] = factor
    nothing = "I" * len(misread)
    read = list(dict.fromkeys([*words, *(part for found in terms for part in found)]))
    read = [word for word in read if word != nothing]
    mixing = np.array([[found.get(word, 0.0) for word in read] for found in terms])
    return read, mixing, np.array([found.get(nothing, 0.0) for found in terms])
