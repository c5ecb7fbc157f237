"""`qrnn evaluate` and `qrnn estimate` on hardware, as a user runs them; a double stands for IBM."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers import service_double
from helpers.paths import ROOT
from qrnn.config import TrainConfig, to_plain
from qrnn.data import DigitsConfig, Shape, Split
from qrnn.devices import DeviceOptions, device_names, device_spec
from qrnn.devices.ibm import runtime
from qrnn.devices.ibm.backends import Backend
from qrnn.errors import ConfigError, DeviceError
from qrnn.evaluation.costs import priceable
from qrnn.models.build import build_model
from qrnn.networks import HybridConfig

T = 8  # rows of a digit


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A checkpoint of an untrained model, in the folder where the commands run."""
    torch.manual_seed(0)
    config = TrainConfig(task=DigitsConfig(), model=HybridConfig(n_qubits=2, layers=1, width=4))
    weights = build_model(config, Shape("classify", 10, 8)).state_dict()
    (tmp_path / "run").mkdir()
    torch.save(
        {
            "qrnn": {
                "config": to_plain(config),
                "shape": {"kind": "classify", "n_classes": 10, "input_size": 8},
            },
            "state_dict": {f"model.{name}": value for name, value in weights.items()},
        },
        tmp_path / "run/best.ckpt",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


@pytest.fixture
def qrnn(qrnn_command):
    """What runs a command: arguments to (status, stdout, stderr)."""
    return qrnn_command


EVALUATE = (
    "evaluate",
    "checkpoint=run/best.ckpt",
    "device=ibm_double",
    "device.shots=20",
    "limit=3",
)


def test_the_same_command_goes_on_after_a_budget_and_an_interruption(
    checkpoint, qrnn, tmp_path, monkeypatch
):
    service = service_double.Service(tmp_path / "service")
    service_double.install(service, monkeypatch.setattr)
    status, _, err = qrnn(*EVALUATE, "device.max_qpu_seconds=5")
    assert (status, err.count("\n")) == (2, 1)
    assert "qrnn: The budget max_qpu_seconds=5 must not be exceeded" in err
    assert service.submissions == 0

    def press(job):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(service_double.Job, "result", press)
        status, out, err = qrnn(*EVALUATE)
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == (
        "qrnn: interrupted: run the same command again to resume; no job is submitted twice"
    )
    status, out, err = qrnn(*EVALUATE)
    assert status == 0, err
    assert service.submissions == T
    assert "ibm_double: 8 jobs, estimated at 16.4 QPU s, 1 of them already submitted" in err
    assert "ibm_double: estimate 16.4 s, metered 16.4 s, 8 jobs (1 found in the ledger)" in out
    assert max(map(len, out.splitlines())) <= 80
    kept = json.loads((checkpoint / "evaluation-ibm_double-limit3.json").read_text())
    assert kept["cost"]["jobs"] == T


def test_an_interruption_elsewhere_promises_nothing(checkpoint, qrnn, monkeypatch):
    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("qrnn.evaluation.evaluation.run", press)
    status, _, err = qrnn("evaluate", "checkpoint=run/best.ckpt", "limit=3")
    assert (status, err) == (130, "qrnn: interrupted\n")


def test_the_least_busy_backend_says_which_it_is(checkpoint, qrnn, tmp_path, monkeypatch):
    service = service_double.Service(tmp_path / "service")
    service_double.install(service, monkeypatch.setattr)
    status, out, err = qrnn(*EVALUATE, "device=ibm")
    assert status == 0, err
    assert "ibm_double: estimate" in out
    kept = json.loads((checkpoint / "evaluation-ibm-limit3.json").read_text())
    assert (kept["device"], kept["cost"]["backend"]) == ("ibm", "ibm_double")


@pytest.fixture
def first_run(checkpoint, tmp_path, monkeypatch):
    """What runs the example on a backend, with the demo's checkpoint."""
    (tmp_path / "runs").mkdir()
    checkpoint.rename(tmp_path / "runs/demo")

    def run(backend=service_double.NAME):
        monkeypatch.setattr("sys.argv", ["hardware_first_run.py", backend])
        runpy.run_path(str(ROOT / "examples/hardware_first_run.py"), run_name="__main__")

    return run


def test_a_first_run_is_priced_then_run_and_reported(first_run, tmp_path, monkeypatch, capsys):
    service = service_double.Service(tmp_path / "service")
    service_double.install(service, monkeypatch.setattr)
    first_run()
    out = capsys.readouterr().out
    assert service.submissions == 1
    (record,) = [json.loads(path.read_text()) for path in service.store.glob("*.json")]
    assert 20 < record["usage"] < record["limit"] == 60
    assert out.index("QPU seconds") < out.index("accuracy") < out.index("1 job")
    kept = json.loads(Path("runs/demo/evaluation-ibm_double-open-limit32.json").read_text())
    assert (kept["feedback"], kept["cost"]["executions"]) == ("open", 3 * 32 * 1024)
    assert "ibm_double" in Path("runs/demo/report.html").read_text()
    first_run()
    assert service.submissions == 1


def test_a_first_run_refuses_what_is_missing_and_what_is_too_dear(first_run, tmp_path, monkeypatch):
    service = service_double.Service(tmp_path / "service")
    service_double.install(service, monkeypatch.setattr)
    monkeypatch.setattr(Backend, "rep_delay", 4e-3)  # as on ibm_miami
    with pytest.raises(
        SystemExit, match=r"^hardware_first_run: The budget max_qpu_seconds=60 must"
    ):
        first_run()
    monkeypatch.setattr(runtime, "has_account", lambda: False)
    with pytest.raises(SystemExit, match=r"^hardware_first_run: an IBM account must be saved"):
        first_run()
    Path("runs/demo/best.ckpt").unlink()
    with pytest.raises(SystemExit, match=r"^hardware_first_run: runs/demo/best\.ckpt must be"):
        first_run()
    assert service.submissions == 0


# --- prices ---------------------------------------------------------------------------------------


@pytest.fixture
def no_account(monkeypatch):
    monkeypatch.setattr(runtime, "has_account", lambda: False)


def test_a_price_without_an_account_is_the_twins(checkpoint, qrnn, no_account):
    status, out, err = qrnn(
        "estimate",
        "checkpoint=run/best.ckpt",
        "device=ibm_fez",
        "limit=5",
        "device.instance=crn",
        "device.queue_timeout=3",
        "device.max_qpu_seconds=1",
        "price_per_second=1000",
    )
    assert status == 0, err
    assert max(map(len, out.splitlines())) <= 80
    lines = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in out.splitlines()]
    rows = {line[0]: line[1:] for line in lines if len(line) == 5}
    read = T * 3 * 5 * 1024  # steps, bases, sequences, shots
    # Open: the last step alone. Measured: no bases, and one circuit for all steps.
    executions = [read, read // T, T * 5 * 1024, 5 * 1024]
    assert rows["rounds"] == rows["jobs"] == ["8", "1", "8", "1"]
    assert rows["circuits"] == [f"{count // 1024}" for count in executions]
    assert rows["executions"] == [f"{count:,}" for count in executions]
    seconds = [float(text) for text in rows["QPU seconds"]]
    shortest = [
        2 * jobs + 250e-6 * count for jobs, count in zip((8, 1, 8, 1), executions, strict=True)
    ]
    assert all(low < found < 1.5 * low for low, found in zip(shortest, seconds, strict=True))
    money = [float(text.replace(",", "")) for text in rows["price"]]
    assert money == pytest.approx([1000 * one for one in seconds], abs=50)
    shares = [float(text.rstrip("%")) for text in rows["Open Plan"]]
    assert shares == pytest.approx([one / 6 for one in seconds], abs=0.1)
    # Z is read behind X and Y: (2 / s^2 - 1) / c^4 of the variance, with s, c of phi / 2 = pi / 8.
    assert rows["error of z"] == ["0.031", "0.031", "0.130", "0.130"]
    assert int(rows["depth"][0]) > T
    assert int(rows["two-qubit gates"][0]) >= T - 1
    assert "ibm_fez: 5 sequences, 8 steps, 1024 shots" in out
    assert "Priced on fake_fez, its fake backend" in out
    assert "The run would be refused: A circuit with measured readouts must end" in out
    assert "https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time" in out
    assert not list(checkpoint.glob("jobs"))
    for key in ("batch_size", "limit"):
        status, out, err = qrnn(
            "estimate", "checkpoint=run/best.ckpt", "device=ibm_fez", f"{key}=0"
        )
        assert (status, out, err) == (2, "", f"qrnn: {key} must be at least 1, got 0\n")


def test_a_loop_that_would_be_refused_has_no_price(checkpoint, qrnn, no_account, monkeypatch):
    head = Split.head

    def uneven(split, limit):
        split = head(split, limit)
        return replace(split, lengths=torch.tensor([T, *[2] * (len(split) - 1)]))

    monkeypatch.setattr(Split, "head", uneven)
    status, out, err = qrnn("estimate", "checkpoint=run/best.ckpt", "device=fake_fez", "limit=3")
    assert status == 0, err
    assert "The open loop has no price: feedback=open must have sequences of equal length" in out
    assert "measured, closed" in out
    assert "measured, open" not in out
    for price in ("nan", "-1"):
        status, out, err = qrnn(
            "estimate", "checkpoint=run/best.ckpt", "device=fake_fez", f"price_per_second={price}"
        )
        assert (status, out) == (2, "")
        assert "price_per_second must be a number of at least 0" in err


def test_a_price_with_an_account_is_the_backends(checkpoint, qrnn, tmp_path, monkeypatch):
    service = service_double.Service(tmp_path / "service")
    service_double.install(service, monkeypatch.setattr)
    status, out, err = qrnn("estimate", "checkpoint=run/best.ckpt", "device=ibm_double", "limit=5")
    assert status == 0, err
    assert "Priced on" not in out
    assert service.submissions == 0


def test_what_has_no_price_is_refused(no_account):
    with pytest.raises(DeviceError, match=r"'ibm_atlantis' must have a fake backend .*got none"):
        priceable(DeviceOptions("ibm_atlantis", shots=10))
    with pytest.raises(DeviceError, match="'ibm' must have a fake backend"):
        priceable(DeviceOptions("ibm", shots=10))
    with pytest.raises(ConfigError, match="device must be an IBM device to have a cost, got 'fus"):
        priceable(DeviceOptions("fused"))
    with pytest.raises(ConfigError, match=r"ignore device\.seed"):
        priceable(DeviceOptions("ibm_fez", shots=10, seed=1))
    refused = (
        ({"dynamical_decoupling": "FOO"}, "must be XX, XpXm or XY4"),
        ({"fractional_gates": True, "twirl_gates": True}, "must be left out with fractional"),
        ({"twirl_measurements": True}, "a multiple of 64"),
    )
    for options, message in refused:
        with pytest.raises(DeviceError, match=message):
            priceable(DeviceOptions("ibm_fez", shots=10, **options))
    assert priceable(DeviceOptions("ibm_fez", shots=10)).name == "fake_fez"
    assert priceable(DeviceOptions("fake_fez", shots=10)).name == "fake_fez"


def test_an_account_is_a_token_or_a_saved_one(monkeypatch):
    import qiskit_ibm_runtime

    saved = {}
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    monkeypatch.setattr(
        qiskit_ibm_runtime.QiskitRuntimeService, "saved_accounts", staticmethod(lambda: saved)
    )
    assert not runtime.has_account()
    saved["default"] = {"token": "x"}
    assert runtime.has_account()
    saved.clear()
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "x")
    assert runtime.has_account()


def test_a_service_that_cannot_be_reached_is_said(checkpoint, qrnn, monkeypatch):
    import qiskit_ibm_runtime
    from requests.exceptions import ConnectionError

    token = "secret_token_of_somebody"

    def offline(**_):
        try:
            raise ConnectionError(f"https://{token}@iam.cloud.ibm.com")
        except ConnectionError as error:  # as the client wraps it
            raise ValueError(f"check your token {token}") from error

    monkeypatch.setenv("QISKIT_IBM_TOKEN", token)
    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", offline)
    status, out, err = qrnn(*EVALUATE)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "IBM Quantum must be reachable, but the network or the service did not answer" in err
    assert "set QISKIT_IBM_TOKEN" not in err
    assert token not in err


# --- names ----------------------------------------------------------------------------------------


def test_hardware_is_named_by_any_name_that_looks_like_ibms():
    assert {"ibm", "aer"} <= set(device_names())
    spec = device_spec("ibm_boston")
    assert spec.runs_here == "with an IBM account"
    assert (spec.shots, spec.noisy, spec.strategies) == ("required", True, ("replayed",))
    for name in ("ibm_", "ibm-fez", "IBM_FEZ", "ibm_a b"):
        with pytest.raises(ConfigError, match="is not known"):
            device_spec(name)


def test_the_options_are_told_within_80_columns(qrnn):
    status, out, _ = qrnn("devices", "ibm_fez", "fake_fez", "aer", "fused")
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80
    told = [" ".join(part.split()) for part in out.split("name  ")[1:]]
    assert "device.queue_timeout seconds to wait for a job to leave the queue" in told[0]
    assert "device.seed" not in told[0]
    assert "device.seed" in told[1]
    assert "device.zne odd noise factors, e.g. [1,3], for zero-noise extrapolation" in told[2]
    assert "queue_timeout" not in told[1] + told[2]
    assert "device.mode" not in told[3]
    assert "runs here with an IBM account" in told[0]
