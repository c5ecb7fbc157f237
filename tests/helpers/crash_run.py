"""A closed-loop run on the double, as a process that may be killed: `run` is its main."""

import json
from pathlib import Path

import numpy as np
import pennylane as qml

from helpers import service_double
from qrnn.devices.ibm import IBMDevice
from qrnn.errors import QRNNError

T, B, N, SHOTS = 4, 3, 2, 200
# 2 s a job, and 250 us and the length of a circuit (reset, gates, measurement) an execution.
SECONDS = 2 + (250e-6 + 13e-6) * 3 * B * SHOTS


def table(device):
    """Readouts (T, 3N, B) of T steps, each of which depends on the one before."""
    theta, rows = np.full((N, B), 0.3) + np.arange(B), []
    steps = []
    for t in range(T):
        steps.append(theta)
        with qml.queuing.AnnotatedQueue() as q:
            for angles in steps:
                for w in range(N):
                    qml.RY(angles[w], w)
                qml.CZ([0, 1])
            for pauli in (qml.X, qml.Y, qml.Z):
                for w in range(N):
                    qml.expval(pauli(w))
        device.annotate(config="c0ffee", step=t, sequences="0-2")
        z = np.array(device.execute([qml.tape.QuantumScript.from_queue(q, shots=SHOTS)])[0])
        rows.append(z)
        theta = 0.3 + z[-N:]
    return np.array(rows)


def run(store, ledger, out, faults=None, options=None):
    """Run once; write the table, or the message of the error, to `out`.json."""
    service_double.install(service_double.Service(store, faults))
    try:
        device = IBMDevice(wires=N, backend=service_double.NAME, ledger=ledger, **(options or {}))
        answer = {"table": table(device).tolist(), "usage": vars(device.usage)}
    except QRNNError as error:
        answer = {"error": str(error)}
    Path(out).write_text(json.dumps(answer))


class Run:
    """A run folder, and what the service did for it."""

    def __init__(self, folder, monkeypatch):
        self.store, self.ledger = folder / "service", folder / "run"
        self.patch = monkeypatch.setattr

    def device(self, faults=None, die=None, **options):
        self.service = service_double.Service(self.store, faults, die)
        self.clock = service_double.install(self.service, self.patch)
        return IBMDevice(wires=N, backend=service_double.NAME, ledger=self.ledger, **options)

    def table(self, faults=None, **options):
        device = self.device(faults, killed, **options)
        try:
            return table(device)
        finally:
            device.close()

    @property
    def submissions(self):
        return service_double.Service(self.store).submissions

    def lines(self):
        return (self.ledger / "ledger.jsonl").read_text().splitlines()

    def events(self):
        return [json.loads(line)["event"] for line in self.lines()]


def killed():
    raise service_double.Killed
