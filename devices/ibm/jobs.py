"""Run circuits as Sampler jobs: one job per batch, split only at IBM's limits."""

from __future__ import annotations

import hashlib
import importlib.metadata
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qrnn.devices.ibm import limits, runtime
from qrnn.devices.ibm.backends import Backend
from qrnn.devices.ibm.budget import Budget
from qrnn.devices.ibm.circuits import unpack
from qrnn.devices.ibm.ledger import Ledger
from qrnn.devices.ibm.options import Options
from qrnn.devices.ibm.remote import JobError, Remote
from qrnn.devices.ibm.translate import NAME, Structure
from qrnn.devices.ibm.transpiling import Compiled, Transpiler
from qrnn.errors import DeviceError

# Seconds to wait for the charge of a session that an earlier attempt left open.
SESSION_PATIENCE = 60.0

# Packages whose versions are recorded with each job.
CLIENT = ("qiskit", "qiskit-ibm-runtime", "pennylane")


@dataclass(frozen=True)
class Block:
    """A structure with rows of parameter values, which becomes one PUB.

    Attributes:
        structure: the circuit without its angles.
        values: array (rows, P), radians.
        shots: shots per row.
        reads_mid_circuit: whether outcomes of mid-circuit measurements are among its readouts.
    """

    structure: Structure
    values: np.ndarray
    shots: int
    reads_mid_circuit: bool = False

    @property
    def executions(self) -> int:
        """Circuits x shots, as IBM counts them."""
        return len(self.values) * self.shots


def split(blocks: Sequence[Block], most: int) -> Iterator[list[tuple[int, Block]]]:
    """Split blocks into as few jobs as possible, each with one number of shots.

    Args:
        blocks: the blocks to run.
        most: largest number of executions in a job.

    Yields:
        The parts of one job, each with the index of its block.

    Raises:
        DeviceError: a single row exceeds the limit of a job.
    """
    for shots in dict.fromkeys(block.shots for block in blocks):
        if shots > most:
            raise DeviceError(
                f"Shots must be at most {most:,} on {NAME} (IBM's limit for a job), but got "
                f"{shots:,}: use fewer"
            )
        job: list[tuple[int, Block]] = []
        fit = free = most // shots  # rows
        for index, block in enumerate(blocks):
            start = len(block.values) if block.shots != shots else 0
            while start < len(block.values):
                if free == 0:
                    yield job
                    job, free = [], fit
                part = replace(block, values=block.values[start : start + free])
                job.append((index, part))
                start += free
                free -= len(part.values)
        if job:
            yield job


@dataclass
class Work:
    """The work of one job.

    Attributes:
        key: identifies the work, the same in every run that repeats it.
        blocks: parts of blocks, each with the index of its block.
        circuits: their transpiled circuits.
        rep_delay: seconds that the backend waits before each execution.
        bits: the result, once finished.
        job: the job, once submitted.
        limit: QPU seconds after which IBM cancels the job; None: IBM's own limit.
    """

    key: str
    blocks: list[tuple[int, Block]]
    circuits: list[Compiled]
    rep_delay: float
    bits: list[np.ndarray] | None = None
    job: Any = None
    limit: int | None = None

    @property
    def executions(self) -> int:
        """Circuits x shots of the job."""
        return sum(block.executions for _, block in self.blocks)

    @property
    def seconds(self) -> float:
        """Estimated QPU seconds."""
        pairs = zip(self.blocks, self.circuits, strict=True)
        timed = ((block.executions, circuit.seconds) for (_, block), circuit in pairs)
        return limits.qpu_seconds(timed, self.rep_delay)


class Runner:
    """Runs blocks on one backend.

    Args:
        backend: where to run.
        transpiler: its transpiler.
        options: the device's options.
        ledger: the run's ledger.
        budget: the run's budget.
        remote: IBM's service, or None for a local backend.
    """

    def __init__(
        self,
        backend: Backend,
        transpiler: Transpiler,
        *,
        options: Options,
        ledger: Ledger,
        budget: Budget,
        remote: Remote | None,
    ):
        self.backend = backend
        self.transpiler = transpiler
        self.ledger = ledger
        self.budget = budget
        self.note: dict[str, Any] = {}
        self.jobs = 0
        self._options = options
        self._opened: Any = None
        self._session: str | None = None
        self._close: weakref.finalize | None = None
        self._remote = remote
        self._seen: Counter[str] = Counter()

    def run(self, blocks: Sequence[Block]) -> list[np.ndarray]:
        """Run blocks, as one job unless IBM's limits require several, and return their bits.

        Args:
            blocks: the blocks to run.

        Returns:
            For each block, an array (rows, shots, bits) of 0 and 1: the final measurements, then
            the mid-circuit bits.

        Raises:
            DeviceError: a limit or the budget is exceeded, or a job failed.
        """
        self.ledger.open()
        seen = self._seen.copy()
        try:
            return self._run(blocks)
        except BaseException:  # Ctrl-C as well
            # No results were returned, so running the same blocks again must find these jobs.
            self._seen = seen
            raise

    def close(self) -> None:
        """Close the batch or session, and the ledger; the next run reopens them."""
        close, self._opened, self._close = self._close, None, None
        session, self._session = self._session, None
        try:
            if close is not None:
                close()
        finally:
            if session is not None:
                self.ledger.sessions[session].open = False
            runtime.forget(self.backend.backend)
            self.ledger.close()

    def _run(self, blocks: Sequence[Block]) -> list[np.ndarray]:
        # Also where the results are known, so that layouts are chosen in the same order.
        circuits = [self.transpiler(block.structure) for block in blocks]
        lengths = [compiled.seconds for compiled in circuits]
        jobs = split(blocks, limits.most_executions(lengths, self.backend.rep_delay))
        works = [self._prepare(job, [circuits[index] for index, _ in job]) for job in jobs]
        parts: list[list[np.ndarray]] = [[] for _ in blocks]
        # The service queues all jobs of a batch at once; a local simulator runs them in turn.
        if self._remote is not None:
            for index, work in enumerate(works):
                self._start(work, sum(other.seconds for other in works[index:]))
        failures = []
        for work in works:
            try:
                finished = self._finish(work)
            except JobError as error:  # the others of a batch may have failed as well
                failures.append(error)
                continue
            for (index, _), bits in zip(work.blocks, finished, strict=True):
                parts[index].append(bits)
        if failures:
            raise failures[0]
        return [np.concatenate(p) if len(p) > 1 else p[0] for p in parts]

    def _prepare(self, blocks: list[tuple[int, Block]], circuits: list[Compiled]) -> Work:
        for _, block in blocks:
            self._options.check_circuit(block.structure, block.shots)
        if not self.backend.local:
            for circuit in circuits:
                circuit.check_limits()
        if not self._options.force_measure:
            for (_, block), circuit in zip(blocks, circuits, strict=True):
                if block.reads_mid_circuit:
                    circuit.check_coherence(self.backend.name)
        key = self._key([block for _, block in blocks])
        return Work(key, blocks, circuits, self.backend.rep_delay)

    def _start(self, work: Work, waiting: float | None = None) -> None:
        """Find the result or the job of some work, or submit it.

        Args:
            work: the work.
            waiting: estimate of it and of all that will be submitted before it ends; None: its own.
        """
        work.bits = self.ledger.load(work.key)
        if work.bits is not None:
            return
        session = None
        if self._remote is not None:
            work.job = self._remote.find(work.key)
            if work.job is None:
                self._intend(work, waiting or work.seconds)
                work.job = self._remote.submit(work.key, lambda: self._send(work))
                session = self._session
        else:
            self._intend(work, work.seconds)
            work.job = self._send(work)
        entry = self.ledger.entry(work.key)
        if entry is None or (entry.state, entry.job_id) != ("submitted", work.job.job_id()):
            where = {} if session is None else {"session": session}
            self.ledger.record(work.key, "submitted", job_id=work.job.job_id(), **where)

    def settle(self, patience: float = 0.0) -> None:
        """Wait for IBM to meter all finished jobs; see `Remote.settle`."""
        if self._remote is not None:
            self._remote.settle(patience)

    def account(self) -> None:
        """Ask what earlier jobs and sessions were charged, before the budget is checked."""
        # What a session has left is known only once IBM has closed it.
        self.settle(SESSION_PATIENCE if self.ledger.unmetered_sessions() else 0.0)

    def _intend(self, work: Work, waiting: float) -> None:
        self.account()
        self.budget.allow(work.seconds, again=work.key)
        work.limit = self.budget.limit(work.seconds, waiting, again=work.key)
        self.ledger.record(
            work.key,
            "intent",
            backend=self.backend.name,
            backend_version=str(getattr(self.backend.backend, "backend_version", None)),
            client={name: importlib.metadata.version(name) for name in CLIENT},
            circuits=sum(len(block.values) for _, block in work.blocks),
            executions=work.executions,
            estimate=work.seconds,
            limit=work.limit,
            optimization_level=self.transpiler.optimization_level,
            layouts=self.transpiler.layouts,
            what=self.note,
        )

    def _send(self, work: Work) -> Any:
        pubs: list[tuple] = []
        for (_, block), compiled in zip(work.blocks, work.circuits, strict=True):
            values = block.values[:, compiled.columns]
            if compiled.columns:
                pubs.append((compiled.circuit, values, block.shots))
            else:  # a PUB without parameters has one row
                pubs.extend([(compiled.circuit, None, block.shots)] * len(values))
        job = self._sampler(work).run(pubs)
        self.jobs += 1
        return job

    def _sampler(self, work: Work) -> Any:
        if self._remote is None:
            seed = self._options.seed
            drawn = None if seed is None else _job_seed(seed, work.key)
            return runtime.local_sampler(self.backend.backend, drawn)
        if self._opened is None:
            self._open(self._options.mode)
        tags = {"job_tags": [self._remote.tag(work.key)]}
        options: dict[str, Any] = {"environment": tags, **self._options.sampler}
        if work.limit is not None:
            options["max_execution_time"] = work.limit
        return runtime.make_sampler(self._opened, options)

    def _open(self, mode: str) -> None:
        left = self.budget.left
        self._opened = runtime.open_mode(mode, self.backend.backend, left)
        if mode != "job":
            # A session left open is billed until the service closes it.
            self._close = weakref.finalize(self, runtime.close_mode, self._opened)
        if mode == "session":
            self._session = str(self._opened.session_id)
            self.ledger.record(self._session, "session", limit=left)
            self.ledger.sessions[self._session].open = True

    def _finish(self, work: Work) -> list[np.ndarray]:
        """Return the bits of each part of some work, waiting for its job if necessary."""
        if work.bits is None and work.job is None:
            self._start(work)
        if work.bits is not None:
            return work.bits
        if self._remote is None:
            result, usage = work.job.result(), None
        else:
            result, usage = self._remote.wait(work.key, work.job)
        bits = self._unpacked(work, result)
        self.ledger.store(work.key, bits)
        self.ledger.record(work.key, "done", job_id=work.job.job_id(), usage=usage)
        work.job = None
        return bits

    def _unpacked(self, work: Work, result: Any) -> list[np.ndarray]:
        """Return the bits (rows, shots, bits) of each part of some work.

        Raises:
            DeviceError: the result is not that of these circuits.
        """
        pubs = [] if result is None else list(result)
        alone = [not compiled.columns for compiled in work.circuits]  # a PUB for each row
        parts = list(zip(work.blocks, alone, strict=True))
        wanted = sum(len(block.values) if many else 1 for (_, block), many in parts)
        if len(pubs) != wanted:
            raise self._wrong_result(work, f"{wanted} results", f"{len(pubs)}")
        bits, left = [], iter(pubs)
        for (_, block), many in parts:
            taken = [next(left) for _ in range(len(block.values) if many else 1)]
            unpacked = [unpack(pub.data, block.structure) for pub in taken]
            bits.append(np.stack(unpacked) if many else unpacked[0])
            shape = (len(block.values), block.shots, block.structure.bits)
            if bits[-1].shape != shape:
                what = "rows, shots and bits"
                raise self._wrong_result(work, f"{shape} {what}", f"{bits[-1].shape}")
        return bits

    def _wrong_result(self, work: Work, wanted: str, given: str) -> DeviceError:
        return DeviceError(
            f"Job {work.job.job_id()} on {self.backend.name} must have {wanted}, but "
            f"has {given}: nothing of it is kept. Run it anew with another folder for device.ledger"
        )

    def _key(self, blocks: Sequence[Block]) -> str:
        """Return the key of some work, the same in every run that repeats it."""
        identity = (self.backend.name, sorted(self._options.identity.items()))
        digest = hashlib.sha256(repr(identity).encode())
        if (purpose := self.note.get("purpose")) is not None:
            digest.update(purpose.encode())
        for block in blocks:
            digest.update(repr((block.structure, block.shots, block.values.shape)).encode())
            digest.update(np.ascontiguousarray(block.values, dtype="<f8").tobytes())
        # Running the same circuits again in this run is new work, with new shots.
        work = digest.hexdigest()
        self._seen[work] += 1
        return f"{work[:32]}-{self._seen[work]}"


def _job_seed(seed: int, key: str) -> int:
    """Return a simulator seed in 1..2^31-1."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % (2**31 - 1) + 1
