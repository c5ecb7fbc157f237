"""Calls that share their executions run one at a time, each in its own surroundings."""

import pytest
import torch

from qrnn.circuit.step import precision_of
from qrnn.circuit.threads import PENNYLANE
from qrnn.devices.ibm.meeting import meeting_of, together

DEVICE = object()


def call(dtype, times):
    """A cell that executes some times in a precision; it returns the default dtypes it saw."""

    def run():
        seen = []
        with precision_of(torch.zeros(1, dtype=dtype)):
            for _ in range(times):
                meeting_of(DEVICE)([0])
                seen.append(torch.get_default_dtype())
        return seen

    return run


def test_each_call_keeps_its_default_dtype():
    double, single = torch.float64, torch.float32
    calls = [call(double, 2), call(single, 3), call(double, 1)]
    found = together(DEVICE, lambda tapes: tapes, calls)
    assert found == [[double] * 2, [single] * 3, [double]]
    assert torch.get_default_dtype() == single


def test_an_error_ends_all_calls_also_with_pennylanes_lock():
    def fails(tapes):
        raise RuntimeError("no device")

    with PENNYLANE, pytest.raises(RuntimeError, match="no device"):
        together(DEVICE, fails, [call(torch.float64, 1), call(torch.float64, 1)])
    assert torch.get_default_dtype() == torch.float32
