"""A double of QiskitRuntimeService: jobs in files, run on a local fake backend, with faults.

Its jobs outlive the process, as IBM's do, so a run can be killed and started again. Outcomes
depend on the job's key alone, so a disturbed run can be compared with an undisturbed one.
"""

import hashlib
import json
import os
import pickle
import uuid
from pathlib import Path

import requests
from qiskit.providers import BackendV2
from qiskit_ibm_runtime.exceptions import RuntimeJobNotFound

from qrnn.devices.ibm import limits, remote, runtime
from qrnn.devices.ibm.backends import fake_backend

NAME = "ibm_double"
# What status() answers, call after call.
COURSE = ("QUEUED", "RUNNING", "DONE")


class Killed(BaseException):
    """Stands for the death of the process where a real one would be too slow."""


class Service:
    """The service.

    Args:
        store: folder of its jobs.
        faults: name of a fault -> number of the submission (1, 2, ...) that it strikes, or a list
            of [number, times or text].
        die: what ends the process.
    """

    def __init__(self, store, faults=None, die=None):
        self.store = Path(store)
        self.store.mkdir(parents=True, exist_ok=True)
        self.faults = dict(faults or {})
        self.die = die or (lambda: os._exit(9))
        self.plans = [{"crn": "crn:open", "plan": "open", "name": "mine"}]
        self.modes = []
        self.charge = self.faults.pop("charge", None)  # of a session that has ended, in seconds
        self.copy = "fake_manila"  # what the backend is that was opened last
        self.limits = {"usage_limit_seconds": 600, "usage_remaining_seconds": 412}

    def active_account(self):
        return {"channel": "ibm_quantum_platform", "token": "planted-token-0123456789"}

    def usage(self):
        """As the client answers: with what is left only where the instance has a limit."""
        self.strike("lose_usage", self.submissions)
        return {"usage_consumed_seconds": 188, **self.limits}

    def instances(self):
        return self.plans

    def backend(self, name, use_fractional_gates=False):
        if name != NAME:
            raise ValueError(f"no {name}")
        self.copy = "fake_fractional" if use_fractional_gates else "fake_manila"
        return Backend(self)

    def backends(self, **wanted):
        assert wanted["operational"]
        return [Backend(self)]

    def least_busy(self, use_fractional_gates=False, **wanted):
        assert wanted["operational"]
        return self.backend(NAME, use_fractional_gates)

    def job(self, job_id):
        if not (self.store / f"{job_id}.json").exists():
            raise RuntimeJobNotFound(f"Job not found: {job_id}")
        return Job(self, job_id)

    def jobs(self, job_tags, limit=10, instance=None):
        self.strike("lose_search", self.submissions)
        found = [self.job(path.stem) for path in sorted(self.store.glob("*.json"))]
        return [job for job in found if set(job_tags) <= set(job.read()["tags"])]

    @property
    def submissions(self):
        return len(list(self.store.glob("*.json")))

    def strikes(self, fault, number):
        """Whether a fault strikes now; each strikes once, or as often as it says, per process."""
        planned = self.faults.get(fault)
        if planned is None:
            return False
        at, times = planned if isinstance(planned, list) else (planned, 1)
        if at != number or times == 0:
            return False
        self.faults[fault] = [at, times - 1 if isinstance(times, int) else times]
        return True

    def strike(self, fault, number):
        if self.strikes(fault, number):
            if fault.startswith("die"):
                self.die()
            raise requests.exceptions.ConnectionError("the wire was cut, token planted-token")

    def run(self, pubs, options):
        number = self.submissions + 1
        self.strike("die_before_submit", number)
        self.strike("lose_request", number)
        (tag,) = options["environment"]["job_tags"]
        key = tag.split("-", 2)[2]
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") >> 1
        assert len({pub[2] for pub in pubs}) == 1, "the executor takes one number of shots"
        result = runtime.local_sampler(fake_backend(self.copy), seed).run(pubs).result()
        job_id = f"{number:03d}-{uuid.uuid4().hex[:8]}"
        (self.store / f"{job_id}.pkl").write_bytes(pickle.dumps(result))
        # As IBM meters it, with the length of each circuit as Qiskit schedules it.
        usage = limits.JOB_SECONDS
        for (circuit, *_), pub in zip(pubs, result, strict=True):
            shots = pub.metadata["shots"] * (pub.data.shape[0] if pub.data.shape else 1)
            usage += shots * (limits.REP_DELAY + length(circuit, self.copy))
        Job(self, job_id).write(
            {
                "tags": [tag],
                "looks": 0,
                "usage": usage,
                "number": number,
                "limit": options.get("max_execution_time"),
                "options": options,
            }
        )
        self.strike("die_after_submit", number)
        self.strike("lose_answer", number)
        return self.job(job_id)


def length(circuit, copy):
    """Seconds of a circuit without branches, from the reset to the last measurement."""
    target = fake_backend(copy).target
    used = {circuit.find_bit(q).index for one in circuit.data for q in one.qubits}
    reset = max(target["reset"][(q,)].duration for q in used)
    return reset + circuit.estimate_duration(target, "s")


class Backend(BackendV2):
    """IBM's backend: a fake's target, and no way to run but through the service."""

    def __init__(self, service):
        super().__init__(name=NAME, backend_version="7.1")
        self.service, self.copy = service, service.copy

    @property
    def target(self):
        return fake_backend(self.copy).target

    @property
    def max_circuits(self):
        return None

    @classmethod
    def _default_options(cls):
        return fake_backend("fake_manila")._default_options()

    def run(self, *_, **__):
        raise AssertionError("only a Sampler runs on IBM's backends")


class Job:
    """A job that is a file."""

    def __init__(self, service, job_id):
        self.service, self.id = service, job_id

    def read(self):
        return json.loads((self.service.store / f"{self.id}.json").read_text())

    def write(self, record):
        (self.service.store / f"{self.id}.json").write_text(json.dumps(record))

    def job_id(self):
        return self.id

    def status(self):
        record = self.read()
        number = record["number"]
        self.service.strike("die_waiting", number)
        self.service.strike("lose_status", number)
        if self.service.strikes("stuck", number):
            return "QUEUED"
        if "end" in self.service.faults and "state" not in record:
            record["state"], record["reason"] = "CANCELLED", "its batch has ended"
            self.write(record)
        for fault, state in (("fail", "ERROR"), ("cancel", "CANCELLED")):
            if self.service.strikes(fault, number):
                record["state"], record["reason"] = state, self.service.faults[fault][1]
                self.write(record)
        if "state" in record:
            return record["state"]
        look = record["looks"]
        record["looks"] = look + 1
        self.write(record)
        return COURSE[min(look, len(COURSE) - 1)]

    def result(self):
        if (change := self.service.faults.get("change")) is not None:
            return change(self.whole())
        return self.whole()

    def whole(self):
        self.service.strike("die_fetching", self.read()["number"])
        self.service.strike("lose_result", self.read()["number"])
        return pickle.loads((self.service.store / f"{self.id}.pkl").read_bytes())

    def error_message(self):
        return self.read()["reason"]

    def usage(self):
        """What IBM charges in the end."""
        return self.read()["usage"]

    def metrics(self):
        if self.service.strikes("unmetered", self.read()["number"]):
            return {"usage": {"status": "pending", "qpu_charge_time_seconds": 0}}
        return {"usage": {"status": "complete", "qpu_charge_time_seconds": self.usage()}}


class Sampler:
    def __init__(self, mode, options):
        self.service, self.options = mode.service, options

    def run(self, pubs):
        return self.service.run(list(pubs), self.options)


class Mode:
    """A batch or session of the double."""

    def __init__(self, kind, backend, most):
        self.kind, self.service, self.closed = kind, backend.service, False
        self.session_id = f"{kind}-{uuid.uuid4().hex[:8]}"
        self.limit = most
        self.service.modes.append(self)

    def close(self):
        self.service.strike("lose_close", self.service.submissions)
        self.closed = True


def open_mode(mode, backend, most=None):
    backend.service.strike("lose_open", backend.service.submissions + 1)
    return backend if mode == "job" else Mode(mode, backend, most)


class Clock:
    """Stands for the module `time`: waits take no time, and are written down."""

    def __init__(self):
        self.waits = []

    def sleep(self, seconds):
        self.waits.append(seconds)

    def monotonic(self):
        return sum(self.waits)


def install(service, replace=setattr):
    """Put the double in the place of IBM's service; return the clock."""
    clock = Clock()
    replace(runtime, "has_account", lambda: True)
    replace(runtime, "open_service", lambda instance: service)
    replace(runtime, "make_sampler", Sampler)
    replace(runtime, "open_mode", open_mode)
    replace(runtime, "ended_session", lambda service, session: service.charge)
    replace(remote, "time", clock)
    return clock
