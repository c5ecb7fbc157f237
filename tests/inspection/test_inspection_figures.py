"""The figures of an inspection, measured as they are drawn: text, overlaps, sizes, styles."""

import itertools
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from torch import nn

from helpers.slow import slow_but
from qrnn import QRNN, ConfigError
from qrnn.data import DigitsConfig, Split, TaskData, digits
from qrnn.devices import DeviceOptions
from qrnn.inspection import draw, inspect_model, panels
from qrnn.inspection.figures import figures, folder_name
from qrnn.inspection.spheres import flat
from qrnn.models.sequence import SequenceClassifier
from qrnn.utils.figure_style import styled, write

KINDS = ["overview", "readouts", "angles", "bloch", "spheres", "entropy", "fidelity", "gradient"]
NOISY = DeviceOptions("default.mixed", noise="depolarizing", strength=0.01)
SAMPLED = DeviceOptions("default.qubit", shots=50, seed=1)
WORDS = ("a", "$x_1$", "Donaudampfschifffahrt", "I", "we", "Żółw", "<unk>", "_^")


def found(steps, n_qubits=3, features=4, words=None, device=None, own=None, **options):
    """Return the inspection of one random sequence: of features, or of words."""
    torch.manual_seed(4)
    rnn = QRNN(features, n_qubits, batch_first=True, width=4, bias_range=1.5, **options)
    embed, x = None, torch.randn(2, steps, features)
    if words is not None:
        embed = nn.Embedding(len(words), features)
        x = torch.arange(2 * steps).reshape(2, steps) % len(words)
    part = Split(x, torch.tensor([0, 1]))
    data = TaskData(part, part, part, classes=("$", "$"), vocabulary=words)
    model = SequenceClassifier(rnn, 2, embed).eval()
    return inspect_model(model.on(own) if own else model, data, 1, device=device)


CASES = {
    "noise beside": lambda: found(8, features=40, device=NOISY),
    "784 steps": lambda: found(784, n_qubits=4, features=1, device="fused"),
    "12 qubits, many words": lambda: found(50, n_qubits=12, words=tuple(map(str, range(50)))),
    "one step of one qubit": lambda: found(1, n_qubits=1),
    "words": lambda: found(27, words=WORDS),
    "shots": lambda: found(6, own=SAMPLED, device=SAMPLED),
}


def drawn(figure, monkeypatch):
    """Draw a figure; return its texts and where each is, in pixels."""
    seen, original = [], Text.draw

    def note(self, renderer):
        if self.get_visible() and self.get_text().strip():
            seen.append((self, self.get_window_extent(renderer)))
        return original(self, renderer)

    with monkeypatch.context() as patched:
        patched.setattr(Text, "draw", note)
        FigureCanvasAgg(figure).draw()
    return seen


@pytest.mark.parametrize("name", slow_but(CASES, *list(CASES)[:2]))
def test_no_text_is_small_cut_or_on_other_text(name, monkeypatch):
    one = CASES[name]().sequence(0)
    with styled():
        for kind, make in figures(one):
            if kind in ("readouts", "fidelity", "gradient"):  # panels of the overview
                continue
            figure = make(one)
            page, texts = figure.bbox, drawn(figure, monkeypatch)
            assert any(text.get_text().startswith("time step t") for text, _ in texts), kind
            for text, box in texts:
                where = f"{kind}: {text.get_text()!r}"
                assert text.get_fontsize() >= 6.5, where
                assert page.x0 - 1 <= box.x0, where
                assert page.y0 - 1 <= box.y0, where
                assert box.x1 <= page.x1 + 1, where
                assert box.y1 <= page.y1 + 1, where
            for (a, at), (b, there) in itertools.combinations(texts, 2):
                over = at.padded(-1).overlaps(there.padded(-1))
                assert not over, f"{kind}: {a.get_text()!r} on {b.get_text()!r}"


@pytest.mark.slow
def test_files_have_text_as_text_are_small_and_the_same_each_time(tmp_path):
    settings = dict(mpl.rcParams)
    one = CASES["784 steps"]()
    paths = draw(one, tmp_path / "a", formats=("svg",))
    assert dict(mpl.rcParams) == settings
    assert [path.name for path in paths] == [f"{kind}-1.svg" for kind in (*KINDS, "devices")]
    for path in paths:
        assert path.stat().st_size < 1e6
        root = ElementTree.fromstring(path.read_bytes())
        texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "test sequence 1, true $, predicted $ (fused: $)" in texts
        assert any("time step" in text for text in texts)
        assert "DejaVuSans-" not in path.read_text()  # letters as outlines
    with styled():
        make = dict(figures(one.sequence(0)))["overview"]
        again = write(make(one.sequence(0)), tmp_path / "again.svg")
    assert again.read_bytes() == paths[0].read_bytes()


def test_words_are_written_as_they_are(tmp_path):
    one = CASES["words"]().sequence(0)
    with styled():
        path = write(dict(figures(one))["readouts"](one), tmp_path / "a.svg")
    texts = ["".join(text.itertext()) for text in ElementTree.parse(path).iter()]
    assert {"$x_1$", "_^", "<unk>", "Donaudampfsch…", "Żółw"} <= set(texts)


def test_which_figures_there_are_and_in_which_formats(tmp_path):
    for name, kinds in {
        "one step of one qubit": KINDS,
        "noise beside": [*KINDS, "devices"],
        "shots": ["overview", "readouts", "angles", "devices"],
    }.items():
        assert [kind for kind, _ in figures(CASES[name]().sequence(0))] == kinds
    paths = draw(found(1, n_qubits=1, own=SAMPLED), tmp_path, formats=["pdf", "png"])
    assert [path.name for path in paths] == [
        f"{kind}-1.{ending}" for kind in KINDS[:3] for ending in ("pdf", "png")
    ]
    assert paths[0].read_bytes().startswith(b"%PDF")
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    for formats in (["svg", "jpg"], []):
        with pytest.raises(ConfigError, match="formats must be among svg, pdf, png, got"):
            draw(found(1), tmp_path / "none", formats=formats)
    assert not (tmp_path / "none").exists()


def lines(figure):
    """Return the lines of a figure by y-axis label and legend entry."""
    return {
        (axes.get_ylabel(), line.get_label().replace("\n", " ")): line.get_ydata()
        for axes in figure.axes
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def images(figure):
    """Return the heat maps of a figure, in order."""
    return [image.get_array() for axes in figure.axes for image in axes.images]


def test_the_figures_show_the_numbers():
    one = CASES["noise beside"]().sequence(0)
    mine, theirs = one.trace, one.beside
    shown = {kind: make(one) for kind, make in figures(one)}

    for kind in ("overview", "readouts"):
        np.testing.assert_array_equal(images(shown[kind])[0], mine.x.T)
        np.testing.assert_array_equal(images(shown[kind])[1], mine.z.T)
    np.testing.assert_array_equal(images(shown["angles"])[0], mine.theta.T)
    np.testing.assert_array_equal(images(shown["entropy"])[0], mine.entropy.T)
    np.testing.assert_array_equal(images(shown["entropy"])[1], theirs.entropy.T)
    np.testing.assert_array_equal(images(shown["devices"])[0], np.abs(mine.z - theirs.z).T)

    expected = {
        ("entropy (bits)", "half chain, fused"): mine.half_chain_entropy,
        ("entropy (bits)", "half chain, default.mixed"): theirs.half_chain_entropy,
        ("entropy (bits)", "whole state, default.mixed"): theirs.state_entropy,
        ("fidelity", "with the previous state"): mine.fidelity_previous,
        ("fidelity", "with the start state"): mine.fidelity_start,
        ("gradient (nats)", r"$\|\partial L/\partial(\psi_t, z_t)\|$"): mine.gradient_norm,
    }
    drawn_lines = lines(shown["overview"])
    assert drawn_lines.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(drawn_lines[key], values)
    apart = lines(shown["devices"])
    np.testing.assert_array_equal(
        apart[r"RMS of $\Delta z$", "RMS of the readouts' difference"], one.rms_z
    )
    np.testing.assert_array_equal(apart["fidelity", "of the two devices' states"], one.fidelity)
    vectors = lines(shown["bloch"])
    for q in range(3):
        for k, letter in enumerate("XYZ"):
            values = vectors[f"qubit {q}", rf"$\langle {letter}\rangle$"]
            np.testing.assert_array_equal(values, mine.bloch[:, q, k])
        length = np.linalg.norm(mine.bloch[:, q], axis=1)
        np.testing.assert_allclose(vectors[f"qubit {q}", "length"], length)
    for axes in shown["overview"].axes + shown["bloch"].axes:  # they differ without colours too
        named = [line for line in axes.lines if not line.get_label().startswith("_")]
        styles = {(line.get_linewidth(), str(line._unscaled_dash_pattern)) for line in named}
        assert len(styles) == len(named)


def test_long_sequences_have_heat_maps_of_bloch_vectors():
    one = CASES["784 steps"]().sequence(0)
    shown = images(dict(figures(one))["bloch"](one))
    for k in range(3):
        np.testing.assert_array_equal(shown[k], one.trace.bloch[..., k].T)
    for values, trace in zip(shown[3:], (one.trace, one.beside), strict=True):
        np.testing.assert_allclose(values, np.linalg.norm(trace.bloch, axis=2).T)


def test_spheres_are_seen_from_above_and_from_the_side_of_x():
    axes = flat(np.eye(3))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) > 0  # not a mirror image
    assert axes[2, 1] > 0.9 * np.linalg.norm(axes[2, :2])  # z is up
    assert axes[2, 0] == pytest.approx(0)
    assert axes[0, 2] > 0
    for name in ("noise beside", "784 steps"):
        one = CASES[name]().sequence(0)
        figure = dict(figures(one))["spheres"](one)
        n = one.trace.bloch.shape[1]
        for q, axes in enumerate(figure.axes[:n]):
            path = np.concatenate(
                [
                    axes.collections[0].get_segments()[0][:1],
                    *(s[1:] for s in axes.collections[0].get_segments()),
                ]
            )
            np.testing.assert_allclose(path, flat(one.trace.bloch[:, q])[:, :2], atol=1e-6)
            assert axes.get_title() == f"qubit {q}"
            ends = [line.get_xydata()[0] for line in axes.lines[-2:]]
            np.testing.assert_allclose(ends, path[[0, -1]], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "test-1"),
        ({"index": np.array([3, 12]), "split": "val"}, "val-3-12"),
        (
            {"cell": 2, "device_beside": "default.mixed, depolarizing 0.01"},
            "test-1-cell2-default.mixed",
        ),
        ({"index": np.arange(9)}, "test-0-1-2-3-4-and-4-more"),
    ],
)
def test_the_folder_is_named_after_what_is_in_it(changes, name):
    assert folder_name(replace(found(1, n_qubits=1), **changes)) == name


@pytest.mark.parametrize("every", [1, 3])
def test_an_image_is_upright_and_grows_from_the_top(monkeypatch, every):
    monkeypatch.setattr(panels, "IMAGES", -(-8 // every))
    torch.manual_seed(4)
    data = digits(DigitsConfig())
    model = SequenceClassifier(QRNN(8, 2, batch_first=True, width=4, bidirectional=True), 10).eval()
    for cell in (0, 1):  # the second one reads from the last row up
        one = inspect_model(model, data, 12, cell=cell).sequence(0)
        assert one.image
        strip = dict(figures(one))["readouts"](one).axes[0]
        shown = [axes.images[0].get_array() for axes in strip.child_axes]
        assert len(shown) == -(-8 // every)
        np.testing.assert_array_equal(shown[-1], data.test.x[12])
        seen = min(every, 8)
        rows = slice(8 - seen, None) if cell else slice(seen)
        np.testing.assert_array_equal(shown[0][rows], data.test.x[12][rows])
        assert int((~shown[0].mask).sum()) == 8 * seen
    one = inspect_model(model, replace(data, images=False), 12).sequence(0)
    assert not one.image


def test_what_is_far_is_thinner():
    one = CASES["noise beside"]().sequence(0)
    axes = dict(figures(one))["spheres"](one).axes[0]
    depth = flat(one.trace.bloch[:, 0])[:, 2]
    widths = np.array(axes.collections[0].get_linewidths())
    order = np.argsort(depth[:-1] + depth[1:])
    assert (np.diff(widths[order]) > -1e-12).all()
    assert widths[order[0]] < widths[order[-1]]
