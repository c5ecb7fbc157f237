"""Errors: what they are to Python, and the ones that no other test of this folder raises."""

import pytest

from helpers.problems import D
from qrnn import (
    QRNN,
    ConfigError,
    DataError,
    DeviceError,
    MissingExtraError,
    QRNNCell,
    QRNNError,
)
from qrnn.devices import device_table
from qrnn.errors import require_extra
from qrnn.utils.registry import unknown_name


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ConfigError, ValueError),
        (DeviceError, RuntimeError),
        (DataError, ValueError),
        (MissingExtraError, ImportError),
    ],
)
def test_every_error_is_one_of_ours_and_one_of_pythons(error, builtin):
    assert issubclass(error, QRNNError)
    assert issubclass(error, builtin)


def test_a_missing_extra_says_what_needs_it_and_how_to_install_it():
    error = require_extra("qiskit", "ibm", "device fake_fez")
    assert isinstance(error, MissingExtraError)
    assert (
        str(error)
        == "device fake_fez needs the package `qiskit`: pip install 'pennylane-qrnn[ibm]'"
    )


def test_an_unknown_name_shows_the_nearest_ones_and_no_long_list():
    few, many = ["round", "square"], [f"name_{i:02d}" for i in range(400)]
    assert str(unknown_name("shape", "rund", few)).startswith(
        "shape 'rund' is not known: did you mean round"
    )
    assert "did you mean SALES?" in str(unknown_name("column", "sales", ["DATE", "SALES"]))
    far = str(unknown_name("shape", "zzz", few))
    assert "did you mean" not in far
    assert "round, square" in far
    assert len(str(unknown_name("thing", "name_3", many))) < 200


@pytest.mark.parametrize("make", [QRNNCell, QRNN])
@pytest.mark.parametrize(
    ("size", "qubits", "options", "message"),
    [
        (0, 2, {}, "input_size must be at least 1, got 0"),
        (D, 0, {}, "n_qubits must be at least 1, got 0"),
        (D, 2, {"controller": "tanh"}, "controller 'tanh' is not known"),
        (D, 2, {"width": 0}, "width must be at least 1"),
        (D, 2, {"dropout": 2.0}, r"dropout must be in \[0, 1\)"),
        (D, 2, {"ansatz": "star"}, "ansatz 'star' is not known"),
        (D, 2, {"layer": 3}, "unexpected keyword argument 'layer'"),
        (D, 2, {"readout": "Q"}, "readout must be letters out of XYZ"),
        (D, 2, {"device": "warp"}, "device 'warp' is not known"),
    ],
)
def test_a_cell_names_the_argument_that_is_wrong(make, size, qubits, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make(size, qubits, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "extra"), [("fake_fez", "ibm"), ("qiskit.remote", "qiskit-plugin")]
)
def test_devices_without_their_extra_are_an_error_that_names_it(name, extra, monkeypatch):
    table = device_table()
    left = {name: table[name] for name in table if not name.startswith(("fake_", "qiskit."))}
    monkeypatch.setattr(table, "_entries", left)
    with pytest.raises(
        ConfigError, match=rf"without its extra: pip install 'pennylane-qrnn\[{extra}\]'$"
    ):
        QRNN(D, 2, device=name)
