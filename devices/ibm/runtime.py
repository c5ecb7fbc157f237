"""The interface to qiskit-ibm-runtime: services, execution modes, Samplers and their errors.

What differs between versions of qiskit-ibm-runtime is in this file. Tests replace the service
behind these functions with a test double.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from qrnn.errors import DeviceError, require_extra

T = TypeVar("T")

MODES = ("job", "batch", "session")


def warnings_only(name: str) -> None:
    """Hide a package's other log messages; Hydra enables all of every logger."""
    log = logging.getLogger(name)
    if log.level == logging.NOTSET:
        log.setLevel(logging.WARNING)


def has_account() -> bool:
    """Return whether there is an account: a saved one, or a token in the environment."""
    if os.environ.get("QISKIT_IBM_TOKEN"):
        return True
    try:
        from qiskit_ibm_runtime import QiskitRuntimeService
    except ImportError:
        return False
    try:
        return bool(QiskitRuntimeService.saved_accounts())
    except Exception:  # an unreadable file, which opening the account will report
        return True


def open_service(instance: str | None) -> Any:
    """Return the IBM service of the saved account or of the QISKIT_IBM_* variables.

    Args:
        instance: CRN of the instance to use; None: the account's default.

    Raises:
        DeviceError: there is no usable account, or the service does not answer.
        MissingExtraError: qiskit-ibm-runtime is not installed.
    """
    try:
        from qiskit_ibm_runtime import QiskitRuntimeService
    except ImportError as error:
        raise require_extra("qiskit-ibm-runtime", "ibm", "device qrnn.ibm") from error
    warnings_only("qiskit_ibm_runtime")
    try:
        return QiskitRuntimeService(instance=instance)
    except Exception as error:
        # Not shown or chained, because the original text may contain the token.
        if _is_offline(error):
            raise DeviceError(
                f"IBM Quantum must be reachable, but the network or the service did not answer "
                f"({type(error).__name__}): check the connection, then run the same command again"
            ) from None
        raise DeviceError(
            f"IBM Quantum must be reachable with a saved account, but opening it failed with "
            f"{type(error).__name__}: run QiskitRuntimeService.save_account(...) once, or set "
            "QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE"
        ) from None


def _is_offline(error: BaseException) -> bool:
    """Return whether opening an account failed because the service did not answer."""
    from requests.exceptions import ConnectionError, Timeout

    chain: BaseException | None = error
    while chain is not None and not isinstance(chain, (ConnectionError, Timeout)):
        chain = chain.__cause__ or chain.__context__
    return chain is not None


def backend_names(service: Any) -> list[str]:
    """Return the names of the backends that an account can use now; none if it cannot say."""
    try:
        return sorted(one.name for one in service.backends(simulator=False, operational=True))
    except Exception as error:
        if not is_foreign(error):
            raise
        return []


def seconds_left(service: Any) -> float | None:
    """Return the QPU seconds that an account's instance has left; None if it cannot say."""
    try:
        left = service.usage().get("usage_remaining_seconds")
    except Exception as error:
        if not is_foreign(error):
            raise
        return None
    return None if left is None else float(left)


def answered(ask: Callable[[], T], what: str) -> T:
    """Return what the service answers.

    Args:
        ask: asks the service.
        what: what is asked, for the message.

    Raises:
        DeviceError: it does not answer.
    """
    try:
        return ask()
    except Exception as error:
        if not is_foreign(error):
            raise
        # Not chained, because the text of a request may contain credentials.
        raise DeviceError(
            f"IBM Quantum must answer, but {what} failed with {type(error).__name__}: check the "
            "connection, then run the same command again"
        ) from None


def require_instance(service: Any, instance: str | None) -> None:
    """Check that the instance to bill is known.

    Raises:
        DeviceError: the account has paid plans, but no instance is chosen.
    """
    if instance or (service.active_account() or {}).get("instance"):
        return
    found = answered(service.instances, "listing the account's instances")
    plans = sorted({str(one.get("plan")) for one in found} - {"open"})
    if plans:
        raise DeviceError(
            f"Argument `instance` must be the CRN of the instance to use, because this account "
            f"has paid plans ({', '.join(plans)}), but got none: set instance=... or "
            "QISKIT_IBM_INSTANCE"
        )


def open_mode(mode: str, backend: Any, most: float | None = None) -> Any:
    """Return the `mode` of a Sampler: the backend itself, a batch or a session.

    Args:
        mode: "job", "batch" or "session".
        backend: a Qiskit backend.
        most: seconds after which IBM closes a session; None: IBM's own limit.

    Raises:
        DeviceError: the batch or session cannot be opened, e.g. because the plan has no sessions.
        Exception: of the client, if the service did not answer.
    """
    if mode == "job":
        return backend
    from qiskit_ibm_runtime import Batch, Session

    try:
        if mode == "batch":
            return Batch(backend=backend)
        return Session(backend=backend, max_time=None if most is None else max(1, int(most)))
    except Exception as error:
        text = scrub(str(error))
        if mode == "session" and "open plan" in text.lower():
            raise DeviceError(
                "Argument `mode` must be 'batch' or 'job' with an Open Plan account, which cannot "
                "open sessions, but got 'session': use mode='batch'"
            ) from None
        if is_transient(error):
            raise
        raise DeviceError(f"A {mode} must be opened on {backend.name}, but got: {text}") from None


def close_mode(opened: Any) -> None:
    """Close a batch or session; that it fails is a warning, as results must not be lost by it."""
    try:
        opened.close()
    except Exception as error:
        if not is_foreign(error):
            raise
        kind = type(opened).__name__.lower()
        warnings.warn(
            f"the {kind} could not be closed ({type(error).__name__}), so that IBM closes it "
            "at its time limit: close it on IBM's pages, as an open session is billed",
            stacklevel=2,
        )


def ended_session(service: Any, session_id: str) -> float | None:
    """Close a session if it is open; return the seconds that IBM charges for it, None: not known.

    They run from its first job to its end, so include the waits between jobs.
    """
    from qiskit_ibm_runtime import Session

    session = Session.from_id(session_id, service)
    details = session.details() or {}
    if details.get("state") != "closed":
        session.close()
        return None
    return details.get("usage_time")


def make_sampler(mode: Any, options: dict[str, Any]) -> Any:
    """Return a Sampler for an IBM backend; all PUBs of a job must have the same shots.

    Args:
        mode: the result of `open_mode`.
        options: Sampler options.
    """
    try:
        from qiskit_ibm_runtime.executor_sampler import Sampler
    except ImportError:  # older than qiskit-ibm-runtime 0.50, which deprecates SamplerV2
        from qiskit_ibm_runtime import SamplerV2 as Sampler

    return Sampler(mode=mode, options=options)


def local_sampler(backend: Any, seed: int | None) -> Any:
    """Return a Sampler for a simulated backend.

    For a fake backend, it is `FakeSampler`, else Qiskit's own: the local mode of qiskit-ibm-runtime
    0.50 does not run the backend but builds a new noise model for each job.

    Args:
        backend: a fake backend or Aer.
        seed: seed of the simulation; None: random.
    """
    from qiskit.primitives import BackendSamplerV2

    if hasattr(backend, "evolved"):
        from qrnn.devices.ibm.sampling import FakeSampler

        return FakeSampler(backend, seed)
    options = {} if seed is None else {"seed_simulator": seed}
    return BackendSamplerV2(backend=backend, options=options)


def forget(backend: Any) -> None:
    """Free the density matrices that a fake backend keeps from its last job."""
    if hasattr(backend, "evolved"):
        backend.evolved = []


def metered(job: Any) -> float | None:
    """Return the QPU seconds that IBM charges for a finished job; None: not yet known.

    The client's `usage()` is 0 until IBM has finished counting.
    """
    usage = job.metrics().get("usage") or {}
    seconds = usage.get("qpu_charge_time_seconds", usage.get("quantum_seconds"))
    return None if usage.get("status") == "pending" or seconds is None else float(seconds)


def is_transient(error: Exception) -> bool:
    """Return whether an error is temporary: a lost connection or an overloaded server."""
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError
    from qiskit_ibm_runtime.exceptions import IBMApiError, IBMRuntimeError
    from requests.exceptions import RequestException

    if isinstance(error, (RequestException, ConnectionError, TimeoutError)):
        return True
    # The client wraps the server's answer with `from None`, which keeps it as the context.
    answer = error if isinstance(error, RequestsApiError) else error.__context__
    if isinstance(answer, RequestsApiError):  # -1: no answer
        return answer.status_code in (-1, 429) or answer.status_code >= 500
    # Without an answer, the request may not have been refused.
    return type(error) in (IBMRuntimeError, IBMApiError)


def is_foreign(error: Exception) -> bool:
    """Return whether an error comes from the service or its client, rather than from a bug here."""
    from qiskit.exceptions import QiskitError
    from requests.exceptions import RequestException

    return isinstance(error, (QiskitError, RequestException, OSError))


def scrub(text: str, most: int | None = None) -> str:
    """Return a text on one line, without the account's secrets.

    Args:
        text: the message of an error or a job.
        most: largest number of characters; None: no limit.
    """
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE"):
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    for secret in _saved_secrets():
        text = text.replace(secret, "***")
    # Anything else that looks like a credential: bearer headers, key=value pairs.
    text = re.sub(
        r"(?i)\b(bearer|apikey|token)([\"']?\s*[:= ]\s*[\"']?)[\w.\-]{12,}", r"\1\2***", text
    )
    text = " ".join(text.split())
    # Truncated last: part of a secret would not be recognised.
    return text if most is None or len(text) <= most else f"{text[:most].rstrip()}…"


def _saved_secrets() -> list[str]:
    from qiskit_ibm_runtime import QiskitRuntimeService

    try:
        accounts = QiskitRuntimeService.saved_accounts().values()
    except Exception:  # secrets in an unreadable file cannot have been sent
        return []
    return [str(account["token"]) for account in accounts if account.get("token")]
