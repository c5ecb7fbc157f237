"""Run calls at the same time, so that what they execute next shares one job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import torch
from pennylane.tape import QuantumScript

from qrnn.circuit.threads import PENNYLANE

Execute = Callable[[Sequence[QuantumScript]], Sequence[Any]]

_THREAD = threading.local()
# Waiting for one's turn releases PennyLane's lock, which a cell holds while it executes.
_TURNS = threading.Condition(PENNYLANE)


@contextmanager
def _own_dtype() -> Iterator[None]:
    """Keep torch's default dtype, which cells set while they execute, while another call runs."""
    default = torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_default_dtype(default)


class _Left(BaseException):
    """Unwinds a call whose meeting has ended with an error."""


class _Call:
    """A call in a thread of its own, which runs only between `go_on` and its next execution.

    Attributes:
        tapes: what it waits to have executed; None: it runs or has ended.
        found: what it returned.
        error: what it raised.
    """

    def __init__(self, device: Any, call: Callable[[], Any]):
        self.device = device
        self.tapes: Sequence[QuantumScript] | None = None
        self.found: Any = None
        self.error: BaseException | None = None
        self._call, self._grad = call, torch.is_grad_enabled()
        self._results: Sequence[Any] = ()
        self._turn = self._left = self._ended = False
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), daemon=True)
        self._thread.start()

    def _run(self) -> None:
        _THREAD.call = self
        try:
            self._wait(True)
            if not self._left:
                with torch.set_grad_enabled(self._grad):  # of this thread alone
                    self.found = self._call()
        except BaseException as error:  # raised in the thread of the meeting
            self.error = error
        finally:
            self._ended = True
            self._give(False)

    def _give(self, turn: bool) -> None:
        with _TURNS:
            self._turn = turn
            _TURNS.notify_all()

    def _wait(self, turn: bool) -> None:
        with _TURNS:
            _TURNS.wait_for(lambda: self._turn is turn)

    def go_on(self, results: Sequence[Any] = ()) -> None:
        """Run on with the results of the last execution; raise what the call raises."""
        self._results, self.tapes = results, None
        with _own_dtype():
            self._give(True)
            self._wait(False)
        if self.error is not None:
            raise self.error

    def execute(self, tapes: Sequence[QuantumScript]) -> Sequence[Any]:
        """Wait for the meeting to execute tapes; called in the call's thread."""
        if not self._left:
            self.tapes = tapes
            with _own_dtype():
                self._give(False)
                self._wait(True)
        if self._left:
            raise _Left
        return self._results

    def leave(self) -> None:
        """End the thread, wherever it is."""
        self._left = True
        with _own_dtype():
            self._give(True)
            with _TURNS:  # which waiting releases, unlike a join
                _TURNS.wait_for(lambda: self._ended)
            self._thread.join()


def meeting_of(device: Any) -> Execute | None:
    """Return what executes tapes on a device together with those of other calls, or None.

    Args:
        device: the device that is asked to execute tapes, in this thread.
    """
    call = getattr(_THREAD, "call", None)
    return call.execute if call is not None and call.device is device else None


def together(device: Any, execute: Execute, calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Return what calls return; tapes that they execute at the same time are executed as one.

    One call runs at a time, always in the same order, until it executes or returns. Then the tapes
    of all are executed in this thread, and all go on. So nothing depends on timing, and a run that
    is repeated executes the same.

    Args:
        device: the device that the calls execute on.
        execute: executes tapes on it.
        calls: functions of no arguments.
    """
    running: list[_Call] = []
    try:
        running = [_Call(device, call) for call in calls]
        for one in running:
            one.go_on()
        while waiting := [one for one in running if one.tapes is not None]:
            results = execute([tape for one in waiting for tape in one.tapes or ()])
            first = 0
            for one in waiting:
                n = len(one.tapes or ())
                one.go_on(results[first : first + n])
                first += n
        return [one.found for one in running]
    finally:
        for one in running:
            one.leave()
