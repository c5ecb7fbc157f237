"""Readouts: the Pauli words of each set, and what is refused."""

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.reference import word_matrix
from qrnn import ConfigError
from qrnn.circuit.ansatz import pairs_of
from qrnn.circuit.observables import masks, observables, pauli_words, traces

LINE = pairs_of("line", 3)


@pytest.mark.parametrize(
    ("readout", "words"),
    [
        ("XYZ", "XII IXI IIX YII IYI IIY ZII IZI IIZ"),
        ("Z", "ZII IZI IIZ"),
        ("YX", "YII IYI IIY XII IXI IIX"),
        ("ZZ", "ZZI IZZ"),
        ("XX", "XXI IXX"),
        ("Z+YY+X", "ZII IZI IIZ YYI IYY XII IXI IIX"),
        (["XIZ", "YYY"], "XIZ YYY"),
    ],
)
def test_a_readout_set_is_these_words(readout, words):
    assert pauli_words(readout, 3, LINE) == tuple(words.split())


def test_zz_is_read_on_the_pairs_of_the_topology():
    assert pauli_words("ZZ", 3, ((2, 0),)) == ("ZIZ",)
    assert len(pauli_words("ZZ", 4, pairs_of("all", 4))) == 6


words = st.text("IXYZ", min_size=3, max_size=3).filter(lambda word: set(word) != {"I"})


@given(st.lists(words, min_size=1, max_size=5, unique=True))
def test_any_list_of_words_becomes_these_observables(chosen):
    found = observables(pauli_words(chosen, 3, LINE), [0, 1, 2])
    for word, observable in zip(chosen, found, strict=True):
        matrix = qml.matrix(observable, wire_order=[0, 1, 2])
        np.testing.assert_array_equal(matrix, word_matrix(word))


@given(st.text("IXYZ", min_size=1, max_size=12))
def test_masks_and_words_are_one_to_one(word):
    x, z = masks(word)
    bits = [((x >> q) & 1, (z >> q) & 1) for q in reversed(range(len(word)))]
    letters = {(0, 0): "I", (1, 0): "X", (1, 1): "Y", (0, 1): "Z"}
    assert "".join(letters[bit] for bit in bits) == word


WRONG = [
    ("", "readout must be letters out of XYZ .*got ''"),
    ("XW", "readout must be letters out of XYZ .*got 'XW'"),
    ("XYX", "readout must be letters out of XYZ .each once.*got 'XYX'"),
    ("XX,YY", "readout must be letters out of XYZ .*joined by .*got 'XX,YY'"),
    ("XYZ+", "readout must be letters out of XYZ .*got 'XYZ.'"),
    ("ZX+Z", "Pauli words must be different"),
    ("xyz", "readout must be letters out of XYZ .*got 'xyz'"),
    ([], "must measure something, got ..: choose XYZ"),
    (3, "readout must be letters out of XYZ .*got 3"),
    ({"XII": 1}, "readout must be letters out of XYZ .*got {'XII': 1}"),
    (["XI"], "a Pauli word must be 3 letters out of I, X, Y, Z, not all I, got 'XI'"),
    (["XIA"], "a Pauli word must be 3 letters.*got 'XIA'"),
    (["III"], "a Pauli word must be 3 letters.*not all I, got 'III'"),
    (["XII", "XII"], "Pauli words must be different"),
]


@pytest.mark.parametrize(("readout", "message"), WRONG)
def test_a_readout_that_is_none_is_refused(readout, message):
    with pytest.raises(ConfigError, match=message):
        pauli_words(readout, 3, LINE)


def test_zz_without_pairs_is_refused():
    with pytest.raises(
        ConfigError, match="ZZ needs coupled qubits, but the ansatz has none: choose XYZ"
    ):
        pauli_words("ZZ", 1, pairs_of("line", 1))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text("IXYZ", min_size=3, max_size=3), min_size=1, max_size=4), st.integers(0, 99)
)
def test_traces_are_those_of_kronecker_products(words, seed):
    draw = np.random.default_rng(seed)
    a = draw.normal(size=(8, 8)) + 1j * draw.normal(size=(8, 8))
    rho = a @ a.conj().T
    expected = [np.trace(rho @ word_matrix(word)).real for word in words]
    np.testing.assert_allclose(traces(words, torch.as_tensor(rho)), expected, atol=1e-9)
