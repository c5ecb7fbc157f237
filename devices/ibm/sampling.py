"""The Sampler of a fake backend, which evolves what its circuits share once.

A job of the closed loop has a few circuits that differ only in their measurement bases, and those
of the next job begin with the same gates. The density matrices of all rows are evolved together,
kept where the circuits part, and continued by each circuit that begins with the same gates and the
same angles. Outcomes are sampled from the exact probabilities, readout errors included. Circuits
that have no `Program`, and those for which Aer would not use density matrices either, run in Aer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.primitives import (
    BackendSamplerV2,
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveJob,
    PrimitiveResult,
    SamplerPubResult,
)
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qrnn.devices.ibm import pauli
from qrnn.devices.ibm.evolution import Circuits, Evolution
from qrnn.devices.ibm.programs import Program, program

if TYPE_CHECKING:
    from qrnn.devices.ibm.fakes import Noise, SharedFake

# More qubits than this are left to Aer.
MOST_QUBITS = 12


class FakeSampler(BaseSamplerV2):
    """A Sampler for one fake backend; see the module.

    Args:
        backend: the backend, which keeps the density matrices of the last job.
        seed: seed of the samples; None: random.
    """

    def __init__(self, backend: SharedFake, seed: int | None):
        self._backend = backend
        self._seed = seed

    def run(self, pubs: Iterable[Any], *, shots: int | None = None) -> PrimitiveJob:
        """Return a job of PUBs, which runs in a thread."""
        job = PrimitiveJob(self._run, [SamplerPub.coerce(pub, shots) for pub in pubs])
        job._submit()
        return job

    def _run(self, pubs: list[SamplerPub]) -> PrimitiveResult:
        noise = self._backend.noise([pub.circuit for pub in pubs])
        jobs = {i: circuits(pub, noise) for i, pub in enumerate(pubs)}
        ours = {i: one for i, one in jobs.items() if one is not None}
        others = [i for i, one in jobs.items() if one is None]
        results: dict[int, SamplerPubResult] = {}
        if others:
            options = {} if self._seed is None else {"seed_simulator": self._seed}
            aer = BackendSamplerV2(backend=self._backend, options=options)
            results.update(zip(others, aer.run([pubs[i] for i in others]).result(), strict=True))
        evolution = Evolution(noise, self._backend.evolved)
        probabilities = evolution.probabilities(list(ours.values()))
        self._backend.evolved = evolution.kept
        generator = np.random.default_rng(self._seed)
        for (i, one), chances in zip(ours.items(), probabilities, strict=True):
            results[i] = _sampled(pubs[i], one.program, chances, generator)
        return PrimitiveResult([results[i] for i in range(len(pubs))])


def circuits(pub: SamplerPub, noise: Noise) -> Circuits | None:
    """Return the circuits of a PUB, or None if they are left to Aer."""
    found = program(pub.circuit, noise)
    # The last is Aer's own rule for density matrices.
    if found is None or len(found.qubits) > MOST_QUBITS or pub.shots <= 2 ** len(found.qubits):
        return None
    values = pub.parameter_values.as_array(pub.circuit.parameters)
    return Circuits(found, values.reshape(pub.size, values.shape[-1]))


def _sampled(
    pub: SamplerPub, one: Program, probabilities: np.ndarray, generator: np.random.Generator
) -> SamplerPubResult:
    """Return a PUB's result, sampled from probabilities (2, ..., 2, R)."""
    measured = [qubit for qubit in one.qubits if qubit in one.read]
    chances = probabilities.reshape(-1, probabilities.shape[-1])
    outcomes = pauli.draw(chances, pub.shots, generator)
    bits = np.zeros((*outcomes.shape, len(one.read)), dtype=bool)
    for bit, qubit in enumerate(one.read):
        if qubit is not None:
            bits[..., bit] = outcomes >> (len(measured) - 1 - measured.index(qubit)) & 1
    bits = bits.reshape(*pub.shape, *bits.shape[1:])
    registers = {
        register.name: BitArray.from_bool_array(
            bits[..., [pub.circuit.find_bit(bit).index for bit in register]], order="little"
        )
        for register in pub.circuit.cregs
    }
    return SamplerPubResult(DataBin(**registers, shape=pub.shape), {"shots": pub.shots})
