"""The ledger, which records each job on disk before its result is awaited.

One folder per run:

    ledger.jsonl      one line per event, appended and synced; never rewritten
    results/KEY.npz   the bits of a finished job, written to a temporary file and renamed

Truncated or damaged lines are ignored when reading; the lost jobs are found on the service by their
tags. The next event starts on a new line.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from qrnn.errors import DeviceError
from qrnn.utils.files import atomic_write


@dataclass
class Entry:
    """The record of one job's work.

    Attributes:
        state: "intent" (about to be submitted), "submitted", "done" or "failed".
        job_id: id of the last job submitted.
        failed: ids of jobs that failed or were cancelled.
        estimate: QPU seconds of a job by IBM's formula.
        executions: circuits x shots of a job.
        limit: QPU seconds after which IBM cancels the last job; None: IBM's own limit.
        metered: QPU seconds reported by the service, by job id.
    """

    state: str
    job_id: str | None = None
    failed: set[str] = field(default_factory=set)
    estimate: float = 0.0
    executions: int = 0
    limit: int | None = None
    metered: dict[str, float] = field(default_factory=dict)

    @property
    def usage(self) -> float:
        """Metered QPU seconds of all jobs."""
        return sum(self.metered.values())

    def unmetered(self, *, again: bool = False) -> float:
        """Return the estimate of the last job, if not metered, and of failed jobs not yet metered.

        A failed job may have used nothing, so 0 counts as metered there.

        Args:
            again: whether the last job is replaced by another one, so that it does not count.
        """
        counts = self.state in ("submitted", "done") and not self.metered.get(self.job_id or "")
        return self.estimate * ((counts and not again) + len(self.failed - self.metered.keys()))

    @property
    def awaited(self) -> set[str]:
        """Ids of finished jobs whose metered QPU seconds are not yet known."""
        finished = {self.job_id} if self.state == "done" and self.job_id else set()
        return (self.failed | finished) - self.metered.keys()

    @property
    def jobs(self) -> set[str]:
        """Ids of all jobs submitted: the failed ones and the last."""
        return self.failed if self.job_id is None else self.failed | {self.job_id}


@dataclass
class Session:
    """The record of a session of IBM's, which is billed from its first job to its end.

    Attributes:
        limit: seconds after which IBM closes it; None: IBM's own limit.
        open: whether this process has it open.
        metered: seconds that IBM charges for it; None: not yet known.
        jobs: id of each job that was submitted in it, with the entry of its work.
    """

    limit: float | None
    open: bool = False
    metered: float | None = None
    jobs: dict[str, Entry] = field(default_factory=dict)

    @property
    def waits(self) -> float:
        """QPU seconds that count for it beyond those of its jobs.

        Of an ended session that is not metered, all up to its limit; of an open one, none, as IBM
        ends it at its limit.
        """
        whole = self.limit if self.metered is None else self.metered
        if whole is None or (self.open and self.metered is None):
            return 0.0
        jobs = (entry.metered.get(job, entry.estimate) for job, entry in self.jobs.items())
        return max(0.0, whole - sum(jobs))


class Ledger:
    """Record of a run's jobs, in a folder or in memory; open from the start.

    Args:
        folder: the run's folder, created if missing; None: in memory only.

    Attributes:
        run: id of the run, which stays the same when the folder is reopened.
        damaged: number of unreadable lines.

    Raises:
        DeviceError: another process is using the folder.
    """

    def __init__(self, folder: Path | str | None):
        self._forget()
        self._folder = None if folder is None else Path(folder)
        self._close: weakref.finalize | None = None
        self.open()

    def open(self) -> None:
        """Lock the folder and read it, unless the ledger is already open.

        Raises:
            DeviceError: another process is using the folder.
        """
        if self._folder is None or self._is_open:
            return
        (self._folder / "results").mkdir(parents=True, exist_ok=True)
        self._path = self._folder / "ledger.jsonl"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._close = weakref.finalize(self, os.close, self._file)
        self._lock()
        self._read()

    def close(self) -> None:
        """Release the folder to other processes; the entries in memory stay readable."""
        if self._close is not None:
            self._close()

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return "the ledger in memory" if self._folder is None else str(self._folder)

    @property
    def _is_open(self) -> bool:
        return self._close is not None and self._close.alive

    def _require_open(self) -> None:
        # The system reuses the descriptor of a closed file.
        if not self._is_open:
            raise DeviceError(
                f"Ledger {self._folder} must be open while jobs run, but was closed: call "
                "device.close() after the last result"
            )

    def _lock(self) -> None:
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise DeviceError(
                f"Ledger {self._folder} must be used by one device at a time, but another one has "
                "it open: wait for it, close it with device.close(), or choose another folder"
            ) from None

    def _forget(self) -> None:
        self.run = uuid.uuid4().hex[:12]
        self.damaged = 0
        self._entries: dict[str, Entry] = {}
        self._sessions: dict[str, Session] = {}
        self._layouts: dict[tuple[str, int], list[Any]] = {}

    def _read(self) -> None:
        self._forget()
        for line in self._path.read_bytes().splitlines():
            event = _parse(line)
            if event is None:
                self.damaged += 1
            else:
                self.run = event["run"]
                self._apply(event)

    def _apply(self, event: dict[str, Any]) -> None:
        if event["state"] in ("session", "ended"):
            one = self._sessions.setdefault(event["key"], Session(event.get("limit")))
            one.metered = event.get("usage", one.metered)
            return
        entry = self._entries.setdefault(event["key"], Entry("intent"))
        if event["state"] == "metered":  # maybe after the work was submitted again
            entry.metered[event["job_id"]] = event["usage"]
            return
        entry.state = event["state"]
        entry.job_id = event.get("job_id", entry.job_id)
        entry.estimate = event.get("estimate", entry.estimate)
        entry.executions = event.get("executions", entry.executions)
        entry.limit = event.get("limit", entry.limit)
        if (session := self._sessions.get(event.get("session", ""))) is not None:
            session.jobs[event["job_id"]] = entry
        if "layouts" in event:
            self._layouts[event["backend"], event["optimization_level"]] = event["layouts"]
        if entry.job_id is not None and event.get("usage") is not None:
            entry.metered[entry.job_id] = event["usage"]
        if entry.job_id is not None and entry.state == "failed":
            entry.failed.add(entry.job_id)

    def record(self, key: str, state: str, **what: Any) -> None:
        """Write one event, and return when it is on disk.

        Args:
            key: key of the work.
            state: "intent", "submitted", "done", "failed", or "metered" with a job's usage. Of a
                session, whose id is the key: "session", or "ended" with its usage.
            **what: job_id, executions, estimate and usage in QPU seconds, and other JSON values.

        Raises:
            DeviceError: writing failed, or the ledger is closed.
        """
        event = {"run": self.run, "key": key, "state": state, **what}
        if self._folder is not None:
            event["time"] = datetime.now(UTC).isoformat(timespec="seconds")
            body = json.dumps(event, sort_keys=True)
            self._append(f'{{"sum": "{_checksum(body)}", "event": {body}}}\n'.encode())
        self._apply(event)

    def _append(self, line: bytes) -> None:
        with self._writing():
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                line = b"\n" + line  # the last line is truncated
            while line:  # a nearly full disk may write only part of it
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._require_open()
        try:
            yield
        except OSError as error:
            raise DeviceError(
                f"Ledger {self._folder} must take what a run records, but writing to it failed: "
                f"{error.strerror}. Free disk space and run the same command again to resume"
            ) from error

    def entry(self, key: str) -> Entry | None:
        """Return the entry of some work, or None."""
        return self._entries.get(key)

    def entries(self) -> list[Entry]:
        """Return all entries."""
        return list(self._entries.values())

    @property
    def sessions(self) -> dict[str, Session]:
        """The sessions by their ids."""
        return self._sessions

    def unmetered_sessions(self) -> list[str]:
        """Return the id of each session whose charge is not known, but that of an open one."""
        return [k for k, one in self._sessions.items() if one.metered is None and not one.open]

    def layouts(self, backend: str, optimization_level: int) -> list[Any]:
        """Return the qubits that the run has chosen; see `Transpiler.layouts`."""
        return self._layouts.get((backend, optimization_level), [])

    def items(self) -> list[tuple[str, Entry]]:
        """Return the key of each work, and its entry."""
        return list(self._entries.items())

    def unmetered(self) -> list[tuple[str, str]]:
        """Return key and id of each finished job whose metered QPU seconds are not yet known."""
        return [(key, job) for key, entry in self._entries.items() for job in entry.awaited]

    def store(self, key: str, arrays: Sequence[np.ndarray]) -> None:
        """Save the bits of a finished job, atomically.

        Raises:
            DeviceError: writing failed, or the ledger is closed.
        """
        if self._folder is None:
            return
        packed: dict[str, Any] = {f"a{i}": np.packbits(a, axis=-1) for i, a in enumerate(arrays)}
        packed["widths"] = np.array([a.shape[-1] for a in arrays])
        with self._writing(), atomic_write(self._result(key)) as temporary:
            np.savez(temporary, **packed)

    def load(self, key: str) -> list[np.ndarray] | None:
        """Return the bits of a finished job, or None if they are missing or unreadable.

        Raises:
            DeviceError: the ledger is closed.
        """
        if self._folder is None:
            return None
        self._require_open()
        entry = self.entry(key)
        if entry is None or entry.state != "done":
            return None
        try:
            with np.load(self._result(key)) as file:
                return [
                    np.unpackbits(file[f"a{i}"], axis=-1, count=int(width))
                    for i, width in enumerate(file["widths"])
                ]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def _result(self, key: str) -> Path:
        if self._folder is None:
            raise RuntimeError("a ledger without a folder keeps no results")
        return self._folder / "results" / f"{key}.npz"


def recorded_backend(folder: Path | str | None) -> str | None:
    """Return the backend of the last job in a ledger's folder, without opening the ledger."""
    path = None if folder is None else Path(folder) / "ledger.jsonl"
    if path is None or not path.exists():
        return None
    events = [_parse(line) for line in path.read_bytes().splitlines()]
    names = [event["backend"] for event in events if event and "backend" in event]
    return names[-1] if names else None


def recorded_circuits(folder: Path | str) -> int | None:
    """Return the number of circuits of a folder's finished jobs; None: it has no ledger."""
    path = Path(folder) / "ledger.jsonl"
    if not path.is_file():
        return None
    circuits: dict[str, int] = {}
    done = set()
    for event in filter(None, map(_parse, path.read_bytes().splitlines())):
        circuits[event["key"]] = event.get("circuits", circuits.get(event["key"], 0))
        if event["state"] == "done":
            done.add(event["key"])
    return sum(circuits[key] for key in done)


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:8]


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line, or None if the line is damaged."""
    try:
        outer = json.loads(line)
        event = outer["event"]
        if _checksum(json.dumps(event, sort_keys=True)) != outer["sum"]:
            return None
        return event if {"run", "key", "state"} <= event.keys() else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
