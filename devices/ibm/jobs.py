"""Circuits to Sampler jobs and back: one job for a whole batch, split only at IBM's limits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qrnn.devices.ibm import limits
from qrnn.devices.ibm.backends import Backend
from qrnn.devices.ibm.circuits import unpack
from qrnn.devices.ibm.translate import NAME, Structure
from qrnn.devices.ibm.transpiling import Transpiler
from qrnn.errors import DeviceError


@dataclass(frozen=True)
class Block:
    """One structure with rows of parameter values: what becomes one PUB.

    Attributes:
        structure: the circuit without its angles.
        values: array (rows, P), radians.
        shots: shots of each row.
    """

    structure: Structure
    values: np.ndarray
    shots: int

    @property
    def executions(self) -> int:
        """Circuits x shots, as IBM counts them."""
        return len(self.values) * self.shots


def split(blocks: Sequence[Block], most: int) -> Iterator[list[tuple[int, Block]]]:
    """Cut blocks into jobs of at most `most` executions, as few as possible.

    Args:
        blocks: what to run.
        most: executions allowed in a job.

    Yields:
        The parts of one job, in order, each with the index of the block that it is cut from.

    Raises:
        DeviceError: a single row has more shots than a job may have.
    """
    job: list[tuple[int, Block]] = []
    free = most
    for index, block in enumerate(blocks):
        if block.shots > most:
            raise DeviceError(
                f"Shots must be at most {most:,} on {NAME} (IBM's limit for a job), but got "
                f"{block.shots:,}: use fewer"
            )
        start = 0
        while start < len(block.values):
            fit = free // block.shots
            if fit == 0:
                yield job
                job, free = [], most
                continue
            part = Block(block.structure, block.values[start : start + fit], block.shots)
            job.append((index, part))
            start += fit
            free -= part.executions
    if job:
        yield job


def make_sampler(mode: Any, options: dict[str, Any]) -> Any:
    """Return a Sampler; the only place that knows its name and module.

    qiskit-ibm-runtime 0.50 moves it to `executor_sampler.Sampler`.
    """
    from qiskit_ibm_runtime import SamplerV2

    return SamplerV2(mode=mode, options=options)


class Runner:
    """Runs blocks on one backend.

    Args:
        backend: where to run.
        transpiler: its transpiler.
        seed: seed of the simulated outcomes, or None.
        options: what else identifies the work: part of the key of each job.
    """

    def __init__(
        self, backend: Backend, transpiler: Transpiler, seed: int | None, options: dict[str, Any]
    ):
        self.backend = backend
        self.transpiler = transpiler
        self.seed = seed
        self.options = options
        self.jobs = 0
        self._seen: Counter[str] = Counter()

    def run(self, blocks: Sequence[Block]) -> list[np.ndarray]:
        """Run blocks and return their bits.

        Args:
            blocks: what to run; one job unless IBM's limits forbid it.

        Returns:
            For each block, an array (rows, shots, bits) of 0 and 1: the qubits read at the end,
            then the mid-circuit bits.

        Raises:
            DeviceError: a block exceeds IBM's limits.
        """
        parts: list[list[np.ndarray]] = [[] for _ in blocks]
        for job in split(blocks, limits.MAX_EXECUTIONS_PER_JOB):
            for (index, _), bits in zip(job, self._job([b for _, b in job]), strict=True):
                parts[index].append(bits)
        return [np.concatenate(p) if len(p) > 1 else p[0] for p in parts]

    def _job(self, blocks: Sequence[Block]) -> list[np.ndarray]:
        key = self._key(blocks)
        pubs: list[tuple] = []
        circuits = [self.transpiler(block.structure) for block in blocks]
        for block, compiled in zip(blocks, circuits, strict=True):
            values = block.values[:, compiled.columns]
            if compiled.columns:
                pubs.append((compiled.circuit, values, block.shots))
            else:  # a PUB without parameters has one row
                pubs.extend([(compiled.circuit, None, block.shots)] * len(values))
        options: dict[str, Any] = {}
        if self.seed is not None:
            options["simulator"] = {"seed_simulator": _job_seed(self.seed, key)}
        results = iter(make_sampler(self.backend.backend, options).run(pubs).result())
        self.jobs += 1
        bits = []
        for block, compiled in zip(blocks, circuits, strict=True):
            alone = not compiled.columns
            taken = [next(results) for _ in range(len(block.values) if alone else 1)]
            unpacked = [unpack(result.data, block.structure) for result in taken]
            bits.append(np.stack(unpacked) if alone else unpacked[0])
        return bits

    def _key(self, blocks: Sequence[Block]) -> str:
        """Return the name of a piece of work: the same in every run that does the same."""
        digest = hashlib.sha256(repr((self.backend.name, sorted(self.options.items()))).encode())
        for block in blocks:
            digest.update(repr((block.structure, block.shots, block.values.shape)).encode())
            digest.update(np.ascontiguousarray(block.values, dtype="<f8").tobytes())
        # The same circuits run again are another piece of work, with shots of its own.
        work = digest.hexdigest()
        self._seen[work] += 1
        return f"{work[:32]}-{self._seen[work]}"


def _job_seed(seed: int, key: str) -> int:
    """Return a simulator seed in 1..2^31-1: 0 would count as none in local mode."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % (2**31 - 1) + 1
