"""The scikit-learn estimators: what they learn, accept, refuse and keep."""

import copy
import pickle
import random
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_regressors_train, parametrize_with_checks

import qrnn
from qrnn import ConfigError, DataError, NumericsError, QRNNClassifier, QRNNRegressor
from qrnn.config import compose
from qrnn.devices import DeviceOptions, open_device
from qrnn.estimators import fitting

SMALL = {"n_qubits": 2, "width": 4, "epochs": 20, "lr": 0.05}


def problem(n=40, steps=5, features=2):
    """Return sequences (N, T, D) in units far from 1, and whether their second halves are high."""
    x = np.random.default_rng(0).normal(size=(n, steps, features))
    high = x[:, steps // 2 :, 0].mean(1) > 0
    return 300 + 50 * (x + 3 * high[:, None, None]), high


X, HIGH = problem()
LABELS = np.where(HIGH, "high", "low")
RAGGED = [x[: 2 + n % 4] for n, x in enumerate(X)]


@pytest.fixture(scope="module")
def classifier():
    return QRNNClassifier(**SMALL).fit(X, LABELS)


@pytest.fixture(scope="module")
def ragged():
    return QRNNClassifier(**SMALL).fit(RAGGED, LABELS)


def test_sequences_may_be_in_an_array_of_objects(ragged):
    held = np.empty(len(RAGGED), object)
    held[:] = RAGGED
    np.testing.assert_array_equal(ragged.predict_proba(held), ragged.predict_proba(RAGGED))
    one = QRNNRegressor(**{**SMALL, "epochs": 1}).fit(held, X[:, 0, 0])
    assert one.predict(held[:3]).shape == (3,)


def test_torchs_default_dtype_changes_no_training():
    torch.set_default_dtype(torch.float64)
    try:
        model = QRNNRegressor(**{**SMALL, "epochs": 1}).fit(X, X[:, 0, 0])
        assert {p.dtype for p in model.trained_.model.parameters()} == {torch.float32}
        assert np.isfinite(model.predict(X)).all()
    finally:
        torch.set_default_dtype(torch.float32)


REASONS = {
    QRNNClassifier: {},
    QRNNRegressor: {
        "check_regressors_train": "four epochs do not suffice for ten columns; with sixty it "
        "passes: test_a_regressor_that_is_trained_for_long_passes_the_check_of_its_score"
    },
}


@pytest.mark.slow
@parametrize_with_checks(
    [kind(**SMALL) for kind in REASONS],
    expected_failed_checks=lambda estimator: REASONS[type(estimator)],
)
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_a_regressor_that_is_trained_for_long_passes_the_check_of_its_score():
    check_regressors_train(
        "QRNNRegressor", QRNNRegressor(n_qubits=3, width=32, bias_range=3.0, epochs=40)
    )


@pytest.mark.slow
def test_a_grid_search_in_two_processes_finds_the_best_parameters():
    search = GridSearchCV(QRNNClassifier(**SMALL), {"lr": [1e-6, 0.05]}, n_jobs=2, cv=2)
    search.fit(RAGGED, LABELS)
    assert search.best_params_ == {"lr": 0.05}
    assert search.best_score_ > 0.8
    assert search.best_estimator_.score(RAGGED, LABELS) > 0.8


@pytest.mark.core
def test_a_classifier_learns_labels_of_any_kind(classifier):
    assert classifier.classes_.tolist() == ["high", "low"]
    assert classifier.n_features_in_ == 2
    assert classifier.score(X, LABELS) > 0.9
    shares = classifier.predict_proba(X)
    assert shares.shape == (40, 2)
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_array_equal(classifier.classes_[shares.argmax(1)], classifier.predict(X))
    of_numbers = clone(classifier).fit(X, np.where(HIGH, 3, 7))
    np.testing.assert_array_equal(of_numbers.predict(X) == 3, classifier.predict(X) == "high")


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["copy", "pickle"]
)
def test_copies_predict_the_same_and_clones_are_not_fitted(classifier, again):
    same = again(classifier).predict_proba(X)
    np.testing.assert_array_equal(same, classifier.predict_proba(X))
    with pytest.raises(NotFittedError):
        clone(classifier).predict(X)


def test_the_device_may_change_after_fit(classifier):
    expected = classifier.predict_proba(X)
    there = classifier.on("default.qubit")
    np.testing.assert_allclose(there.predict_proba(X), expected, atol=1e-5)
    assert (there.device, classifier.device) == (DeviceOptions("default.qubit"), None)
    noisy = DeviceOptions("default.mixed", noise="depolarizing", strength=0.2)
    moved = classifier.on("default.mixed", noise="depolarizing", strength=0.2)
    different = moved.predict_proba(X[:3])
    assert np.abs(different - expected[:3]).max() > 1e-3
    other = copy.copy(classifier).set_params(device=noisy)
    np.testing.assert_array_equal(other.predict_proba(X[:3]), different)
    opened = classifier.on(open_device(noisy))
    np.testing.assert_array_equal(opened.predict_proba(X[:3]), different)


def test_sequences_of_different_lengths_are_read_to_their_ends(ragged):
    together = ragged.predict_proba(RAGGED)
    alone = [ragged.predict_proba([one])[0] for one in RAGGED[:5]]
    np.testing.assert_allclose(together[:5], alone, atol=1e-5)
    cut = ragged.predict_proba([one[:2] for one in RAGGED])
    assert np.abs(cut - together)[[len(one) > 2 for one in RAGGED]].min() > 1e-6


def test_scaling_is_fitted_on_real_steps_of_the_training_part_alone(ragged, classifier):
    for fitted, given in ((classifier, X), (ragged, RAGGED)):
        offset = np.array(fitted.scaling_.offset)
        steps = np.concatenate(list(given))
        assert np.abs(offset - steps.mean(0)).max() < 40  # padding of zeros would shift it further
        assert np.abs(offset - steps.mean(0)).min() > 0.01  # of a part only


def test_rows_of_numbers_are_sequences_of_one_feature():
    short = QRNNClassifier(**{**SMALL, "epochs": 1})
    flat, deep = clone(short).fit(X[..., 0], LABELS), clone(short).fit(X[..., :1], LABELS)
    assert (flat.n_features_in_, deep.n_features_in_) == (5, 1)
    np.testing.assert_array_equal(flat.predict_proba(X[..., 0]), deep.predict_proba(X[..., :1]))
    lists = clone(short).fit(X[..., :1].tolist(), LABELS.tolist())
    np.testing.assert_array_equal(lists.predict_proba(X[..., :1]), deep.predict_proba(X[..., :1]))


def test_a_regressor_predicts_in_the_targets_units():
    y = X[:, -1, 0]
    one = QRNNRegressor(**SMALL).fit(X, y)
    assert one.predict(X).shape == (40,)
    assert one.score(X, y) > 0.5
    two = QRNNRegressor(**SMALL).fit(X, np.stack([y, 1000 * y], 1)).predict(X)
    assert two.shape == (40, 2)
    assert 0.5 < two[:, 1].mean() / (1000 * y.mean()) < 1.5


def test_each_parameter_reaches_its_key():
    values = {
        "n_qubits": np.int64(3),
        "layers": 1,
        "width": 5,
        "readout": "Z",
        "bias_range": 0.5,
        "output_lr": 0.3,
        "epochs": 1,
        "batch_size": 7,
        "lr": 0.03,
        "patience": 2,
        "val": 0.3,
        "scale": "minmax",
        "device": "lightning.qubit",
        "random_state": 5,
        "overrides": ("trainer.clip=0.25", "task.loss=mae"),
    }
    estimator = QRNNRegressor(**values)
    assert values == estimator.get_params()  # none is left out
    config = estimator.fit(X[:10], X[:10, -1, 0]).trained_.config
    model, trainer, task = config.model, config.trainer, config.task
    found = [getattr(model, name) for name in list(values)[:6]]
    found += [getattr(trainer, name) for name in list(values)[6:10]]
    found += [task.val, task.scale, config.device.name, trainer.seed]
    assert found == list(values.values())[:-1]
    assert (trainer.clip, task.loss) == (0.25, "mae")


def test_defaults_are_those_of_the_command_line():
    plain = QRNNRegressor(overrides=("trainer.epochs=1",)).fit(X[:8], X[:8, 0, 0])
    expected = compose(
        "train",
        [
            "task=sequences",
            "task.target=number",
            "trainer.epochs=1",
            "trainer.progress=false",
            "trainer.loggers=[]",
        ],
    )
    assert plain.trained_.config == expected


def test_other_networks_train_through_overrides():
    lstm = QRNNClassifier(epochs=2, overrides=("model=lstm", "model.hidden_size=4"))
    lstm.fit(X, LABELS)
    assert lstm.trained_.config.model.name == "lstm"
    assert lstm.predict(X).shape == (40,)
    with pytest.raises(ConfigError, match="parameter 'n_qubits' is not known"):
        QRNNClassifier(n_qubits=2, overrides=("model=lstm",)).fit(X, LABELS)


def test_seeds_decide_and_global_random_numbers_stay():
    short = QRNNClassifier(**{**SMALL, "epochs": 1})
    first = clone(short).set_params(random_state=1)
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    expected = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    first.fit(X, LABELS)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected
    shares = first.predict_proba(X)
    np.testing.assert_array_equal(clone(first).fit(X, LABELS).predict_proba(X), shares)
    other = clone(short).set_params(random_state=2).fit(X, LABELS)
    assert np.abs(other.predict_proba(X) - shares).max() > 1e-3
    drawn = [clone(short).set_params(random_state=None).fit(X[:9], LABELS[:9]) for _ in range(2)]
    assert len({one.trained_.config.trainer.seed for one in drawn}) == 2


def test_nothing_stays_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    QRNNClassifier(**SMALL).fit(X, LABELS)
    assert list(tmp_path.iterdir()) == []


def test_it_works_in_a_pipeline():
    short = QRNNClassifier(**{**SMALL, "epochs": 1})
    pipeline = make_pipeline(FunctionTransformer(np.log), short)
    assert pipeline.fit(X, LABELS).predict(X).shape == (40,)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"overrides": "trainer.clip=1"}, ConfigError, "overrides must be a tuple"),
        ({"overrides": ("task.file=a.csv",)}, ConfigError, "task.file must be left out"),
        ({"overrides": ("trainer.no=1",)}, ConfigError, "no"),
        ({"overrides": ("trainer.seed=3",)}, ConfigError, "without trainer.seed.*random_state"),
        ({"overrides": ("+task.seed=3",)}, ConfigError, "without task.seed.*random_state"),
        ({"overrides": ("task=digits",)}, ConfigError, "overrides must be without task, got"),
        ({"overrides": ("task.target=number",)}, ConfigError, "be without task.target"),
        ({"overrides": ("trainer.baselines=[gru]",)}, ConfigError, "without trainer.baselines"),
        ({"overrides": ("hydra.run.dir=a",)}, ConfigError, "without hydra.run.dir"),
        ({"val": 1.5}, ConfigError, "task.val must be"),
        ({"scale": "log"}, ConfigError, "log"),
        ({"n_qubits": 2.5}, ConfigError, "model.n_qubits must be a whole number"),
        ({"device": 5}, ConfigError, "device must be a name"),
        ({"device": "no.such"}, ConfigError, "no.such"),
        ({"random_state": "x"}, ValueError, "seed"),
    ],
)
def test_wrong_parameters_are_refused_by_fit(options, error, says):
    with pytest.raises(error, match=says) as caught:
        QRNNClassifier(**{**SMALL, **options}).fit(X, LABELS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (X[:2], LABELS[:2], "at least 3 sequences"),
        ([X[0], X[1][:, :1], X[2]], LABELS[:3], r"one D, got 3 .* D = \[1, 2\]"),
        ([X[0], X[1][:0], X[2]], LABELS[:3], "T > 0"),
        (np.where(X > 400, np.nan, X), LABELS, "NaN"),
        (X, LABELS[:-1], "inconsistent numbers"),
        (X, np.full(40, "high"), "at least 2 classes"),
        (X, np.random.default_rng(0).random(40), "continuous"),
    ],
)
def test_wrong_data_is_refused_by_fit(x, y, says):
    with pytest.raises(ValueError, match=says):
        QRNNClassifier(**SMALL).fit(x, y)


def test_names_of_columns_are_kept_and_compared():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X[..., 0], columns=list("abcde"))
    other = table[list("bacde")]
    for kind, y in ((QRNNClassifier, LABELS), (QRNNRegressor, HIGH * 1.0)):
        fitted = kind(**{**SMALL, "epochs": 1}).fit(table, y)
        assert fitted.feature_names_in_.tolist() == list("abcde")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fitted.predict(table)
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(other)


def test_a_fit_that_fails_leaves_no_mixture_of_two():
    fitted = QRNNClassifier(**{**SMALL, "epochs": 1}).fit(X, LABELS)
    with pytest.raises(ConfigError):
        fitted.set_params(lr=-1).fit(1000 * X, np.where(HIGH, "a", "b"))
    with pytest.raises(NotFittedError):
        fitted.predict(X)
    with pytest.raises(NotFittedError):
        QRNNRegressor().predict(X)


def test_wrong_data_is_refused_by_predict(classifier, ragged):
    for fitted in (classifier, ragged):
        with pytest.raises(DataError, match=r"X must be \(N, T, D\)"):
            fitted.predict(X[..., 0])
        with pytest.raises(ValueError, match="X has 1 features, but QRNNClassifier is expecting 2"):
            fitted.predict(X[..., :1])
    flat = QRNNClassifier(**{**SMALL, "epochs": 1}).fit(X[..., 0], LABELS)
    with pytest.raises(DataError, match=r"X must be \(N, 5\)"):
        flat.predict(X)


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ({"failure": "train/loss must be finite"}, NumericsError),
        ({"interrupted": True}, KeyboardInterrupt),
    ],
)
def test_a_training_that_does_not_end_well_is_an_error(end, error, monkeypatch):
    def train(config, folder, *, data):
        return replace(whole(config, folder, data=data), **end)

    whole = fitting.train
    monkeypatch.setattr(fitting, "train", train)
    with pytest.raises(error):
        QRNNClassifier(**{**SMALL, "epochs": 1}).fit(X, LABELS)


def test_a_saved_network_without_its_estimator_says_what_to_save(classifier, tmp_path):
    classifier.trained_.save(tmp_path / "alone.ckpt")
    with pytest.raises(ConfigError, match="pickle the estimator instead"):
        qrnn.load(tmp_path / "alone.ckpt").predict({"id": [1], "x0": [0.0]})


def test_fits_in_threads_are_those_of_one_after_the_other():
    def fit(_):
        return QRNNClassifier(**{**SMALL, "epochs": 1}).fit(X, LABELS).predict_proba(X)

    alone = fit(0)
    with ThreadPoolExecutor(3) as threads:
        for found in threads.map(fit, range(3)):
            np.testing.assert_allclose(found, alone, atol=1e-6)  # sums in threads of their own


def test_columns_of_a_list_of_data_frames_have_names():
    def frames(*names):
        return [pd.DataFrame(x, columns=["u", "v"])[list(names)] for x in RAGGED]

    model = QRNNClassifier(**{**SMALL, "epochs": 1}).fit(frames("u", "v"), LABELS)
    assert model.feature_names_in_.tolist() == ["u", "v"]
    model.predict(frames("u", "v"))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frames("v", "u"))
    with pytest.raises(DataError, match=r"same columns in each sequence, got \['u', 'v'\]"):
        model.predict([*frames("u", "v")[:1], *frames("v", "u")[1:]])


def test_sequences_of_numbers_with_different_lengths_are_told_their_form():
    with pytest.raises(DataError, match=r"got arrays of shapes .* are x\[:, None\]"):
        QRNNClassifier(**SMALL).fit([x[:, 0] for x in RAGGED], LABELS)


@pytest.mark.parametrize(("labels", "told"), [([], "no labels"), (["a"] * len(X), "one class, a")])
def test_fewer_than_two_classes_are_refused(labels, told):
    with pytest.raises(DataError, match=f"y must have at least 2 classes, got {told}"):
        QRNNClassifier(**SMALL).fit(X[: len(labels)], labels)
