"""The random circuits find a planted fault of each part that they are to watch."""

import pytest
import torch

from fuzz.circuits import FUZZ
from fuzz.harness import run
from qrnn.circuit import gates
from qrnn.circuit.angle_map import AngleMap
from qrnn.circuit.gates import Rotation
from qrnn.memory.slots import Slots

pytestmark = pytest.mark.slow


def frozen_weights(monkeypatch):
    affine = AngleMap.affine

    def frozen(self):
        found = affine(self)
        return found and (found[0], found[1].detach() if self.weights.names else found[1])

    monkeypatch.setattr(AngleMap, "affine", frozen)


def dropped_bounds(monkeypatch):
    from qrnn.circuit import angle_map

    monkeypatch.setattr(angle_map, "is_affine", lambda data: True)
    monkeypatch.setattr(torch, "allclose", lambda *a, **k: True)


def a_turned_gate(monkeypatch):
    monkeypatch.setitem(
        gates.GATES, "CRX", lambda op: [Rotation("Y", (op.wires[1],), controls=(op.wires[0],))]
    )


def a_shifted_slot(monkeypatch):
    angles = Slots.angles
    monkeypatch.setattr(Slots, "angles", lambda self, p: angles(self, p) * 1.0001)


@pytest.mark.parametrize("plant", [frozen_weights, dropped_bounds, a_turned_gate, a_shifted_slot])
def test_random_circuits_find_a_planted_fault(plant, monkeypatch):
    assert not run(FUZZ, 10).problems
    plant(monkeypatch)
    assert run(FUZZ, 40).problems
