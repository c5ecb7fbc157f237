"""Models of every kind on IBM devices: jobs shared by their cells, prices, kill and resume."""

import itertools
from dataclasses import replace

import pytest
import torch

from helpers import service_double
from helpers.slow import slow_but
from qrnn import ConfigError
from qrnn.config import TrainConfig
from qrnn.data import Shape, Split, Stream
from qrnn.devices import DeviceOptions
from qrnn.evaluation.costs import prices
from qrnn.evaluation.evaluation import evaluate
from qrnn.evaluation.metrics import Judge
from qrnn.evaluation.predict import run
from qrnn.models.build import build_model
from qrnn.models.translation import EOS
from qrnn.networks import GRUConfig, HybridConfig, QLSTMConfig

DEATHS = ["die_before_submit", "die_after_submit", "die_waiting", "die_fetching"]
B, T, SHOTS = 3, 4, 50
FAKE = DeviceOptions("fake_manila", shots=SHOTS, seed=4)
HYBRID = HybridConfig(n_qubits=2, width=4, layers=1, readout="Z")
QLSTM = QLSTMConfig(hidden_size=3, n_qubits=2, depth=1)
LAYERED = [replace(HYBRID, num_layers=2), replace(HYBRID, bidirectional=True)]
LAYERED += [replace(QLSTM, num_layers=2), replace(QLSTM, bidirectional=True)]


def drawn(size, high=5, low=0):
    return torch.randint(low, high, size, generator=torch.Generator().manual_seed(2))


NUMBERS = Split(torch.rand(B, T, 2), torch.tensor([0, 1, 0]))
VARYING = replace(NUMBERS, lengths=torch.tensor([4, 2, 3]))
TOKENS = Split(drawn((B, T)), drawn((B, T)))
TEXT = Stream(drawn((12,)), 4)
PAIRS = Split(
    drawn((B, T), 9, 4), torch.tensor([[4, 5, 3], [5, 3, -100], [6, 4, 3]]), torch.tensor([4, 3, 4])
)
SHAPES = {
    "classify": Shape("classify", 2, 2),
    "label": Shape("label", 5, 5, tokens=True),
    "translate": Shape("translate", 9, 9, tokens=True),
}
BLEU = Judge("bleu", tuple("abcdefghi"), ("a b", "b", "c a b"))


def model_of(config, kind="classify"):
    torch.manual_seed(1)
    if kind != "classify":
        config = replace(config, embedding=3)
    model = build_model(TrainConfig(model=config), SHAPES[kind]).eval()
    if kind == "translate":  # no sentence ends before the longest target does
        with torch.no_grad():
            model.head.bias[EOS] = -100
    return model


# Kind, model, part, and jobs: one for all that can run at the same time.
CASES = [
    ("classify", HYBRID, NUMBERS, T),
    ("classify", replace(HYBRID, num_layers=3), VARYING, T + 2),
    ("classify", replace(HYBRID, num_layers=2, bidirectional=True), VARYING, 2 * T),
    ("classify", QLSTM, NUMBERS, 2 * T),  # the four gates; then h and the output
    ("classify", replace(QLSTM, output_circuits=False), NUMBERS, T),
    ("classify", replace(QLSTM, num_layers=2), VARYING, 2 * (T + 1)),
    ("classify", replace(QLSTM, bidirectional=True), NUMBERS, 2 * T),
    ("label", HYBRID, TOKENS, T),
    ("label", replace(HYBRID, num_layers=2), TEXT, (4 + 1) + (1 + 1) + (1 + 1)),
    # Encoder and decoder with teacher forcing, then both for the sentences.
    ("translate", HYBRID, PAIRS, 2 * (T + 3)),
    ("translate", replace(HYBRID, bidirectional=True), PAIRS, 2 * (T + 3)),
    ("translate", QLSTM, PAIRS, 4 * (T + 3)),
]


@pytest.mark.parametrize(("kind", "config", "part", "jobs"), CASES)
def test_what_can_run_at_the_same_time_is_one_job_as_estimated(kind, config, part, jobs):
    model = model_of(config, kind)
    options = replace(FAKE, gradient="none")
    price = prices(model, options, part, None, ["closed"], translates=model.translates)["closed"]
    judge = BLEU if model.translates else Judge()
    done = evaluate(model, part, FAKE, judge=judge, progress=False)
    assert done.cost.jobs == done.cost.submitted == price.jobs == jobs
    assert done.cost.executions == price.executions == SHOTS * price.circuits
    assert done.cost.estimated_seconds == pytest.approx(price.qpu_seconds)


# QLSTMs take most of the time.
@pytest.mark.parametrize(
    "config",
    [
        pytest.param(config, marks=[pytest.mark.slow] if isinstance(config, QLSTMConfig) else [])
        for config in (*LAYERED, replace(LAYERED[1], num_layers=2))
    ],
)
@pytest.mark.parametrize("part", [NUMBERS, VARYING])
def test_the_readouts_are_those_of_one_cell_after_the_other(config, part):
    model = model_of(config)
    aer = DeviceOptions("aer", shots=20_000, seed=1)
    (found,) = run(model.on(replace(aer, gradient="none")), part, None).z
    (exact,) = run(model, part, None).z
    assert (found - exact).abs().max() < 0.06


def test_a_beam_search_by_steps_is_that_of_whole_prefixes():
    model = model_of(HYBRID, "translate")
    with torch.no_grad():
        model.head.bias[EOS] = 0.3  # some end early
    aer = model.on(DeviceOptions("aer", shots=100_000, seed=1, gradient="none"))
    for lengths in (None, PAIRS.lengths):
        whole, maps = model.translate(PAIRS.x, lengths, beam=3, max_steps=4)
        steps, found = aer.translate(PAIRS.x, lengths, beam=3, max_steps=4)
        assert steps == whole
        for one, other in zip(found, maps, strict=True):
            assert torch.allclose(one, other, atol=0.03)


def die():
    raise service_double.Killed


@pytest.mark.parametrize("config", LAYERED)
@pytest.mark.parametrize("death", slow_but(DEATHS, "die_after_submit"))
def test_a_killed_run_goes_on_and_does_nothing_twice(config, death, tmp_path, monkeypatch):
    model, hardware = model_of(config), DeviceOptions(service_double.NAME, shots=SHOTS)

    def attempt(folder, faults=None):
        service = service_double.Service(tmp_path / folder / "service", faults, die)
        service_double.install(service, monkeypatch.setattr)
        return evaluate(model, VARYING, hardware, folder=tmp_path / folder, progress=False)

    whole = attempt("whole")
    with pytest.raises(service_double.Killed):
        attempt("killed", {death: 3})
    again = attempt("killed")
    assert (again.predictions, again.rms_z) == (whole.predictions, whole.rms_z)
    submissions = service_double.Service(tmp_path / "killed" / "service").submissions
    assert submissions == again.cost.jobs == whole.cost.jobs
    assert attempt("killed").cost.submitted == 0


def test_an_error_in_one_call_ends_all(monkeypatch):
    model = model_of(LAYERED[1]).on(replace(FAKE, gradient="none"))
    plugin, count = model.rnn.cell.plugin, itertools.count()

    def fail(*_):
        if next(count) == 1:
            raise ConfigError("planted")
        return execute(*_)

    execute = plugin._execute
    monkeypatch.setattr(plugin, "_execute", fail)
    with pytest.raises(ConfigError, match="planted"):
        run(model, NUMBERS, None)
    assert all(z.isfinite().all() for z in run(model, NUMBERS, None).z)  # nothing is left behind


def test_what_stays_impossible_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="an IBM device must have a model with circuits, got one"):
        evaluate(model_of(GRUConfig(hidden_size=3)), NUMBERS, FAKE, progress=False)
    with pytest.raises(ConfigError, match=r"feedback=open must have .* one hybrid cell, got 2"):
        evaluate(model_of(LAYERED[0]), NUMBERS, FAKE, feedback="open", progress=False)
    calibrated = replace(FAKE, calibrate=2)
    with pytest.raises(ConfigError, match=r"calibrate must have .* cell .* got 2 hybrid cells"):
        evaluate(model_of(LAYERED[0]), NUMBERS, calibrated, training=NUMBERS, progress=False)
