"""scikit-learn estimators of sequences: a label, or numbers, of each."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
from typing_extensions import override

from qrnn.config import TrainConfig, TrainerConfig
from qrnn.data import IGNORED, Labels, Numbers, Objective, Split, TaskData
from qrnn.data.tables.labels import shares
from qrnn.data.tables.scaling import Scaling
from qrnn.devices import Device, DeviceOptions
from qrnn.errors import ConfigError, DataError
from qrnn.estimators.fitting import config_of, fitted, moved
from qrnn.evaluation.trained import TrainedModel, joined
from qrnn.utils.checks import shown

TASK = "sequences"
READS = ("val", "scale", "target", "loss", "quantiles", "seed")
FEWEST = 3  # sequences: of which one is for validation


class SequenceEstimator(BaseEstimator):
    """What classifier and regressor share: parameters, inputs, training.

    A parameter that is None has the default of its key in the configuration, as on the command
    line.

    Args:
        n_qubits: number of qubits n.
        layers: number of layers of the ansatz.
        width: units per hidden layer of the controller.
        readout: what is measured at each step, such as `XYZ`.
        bias_range: range of the initial bias, radians.
        output_lr: learning rate of the controller's last layer, relative to the other parameters.
        epochs: number of passes over the training part.
        batch_size: number of sequences per batch B.
        lr: peak learning rate.
        patience: epochs without a lower validation loss before stopping.
        val: share of the validation part, on which the best epoch is chosen.
        scale: of inputs and numbers, fitted on the training part: `standard`, `minmax` or `none`.
        device: name or options of the device that runs the circuits. It is read by `fit` and by
            each prediction, so it may be changed after `fit`; see `on`.
        random_state: seed of the parts, the initialisation and the order of the sequences; None: a
            random one.
        overrides: of other keys of the configuration, e.g. `("trainer.clip=0.5", "model=lstm")`.
    """

    trained_: TrainedModel
    scaling_: Scaling
    steps_: int | None
    n_features_in_: int

    def __init__(
        self,
        *,
        n_qubits: int | None = None,
        layers: int | None = None,
        width: int | None = None,
        readout: Any = None,
        bias_range: float | None = None,
        output_lr: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        patience: int | None = None,
        val: float | None = None,
        scale: str | None = None,
        device: str | DeviceOptions | None = None,
        random_state: int | np.random.RandomState | None = TrainerConfig.seed,
        overrides: tuple[str, ...] = (),
    ):
        self.n_qubits = n_qubits
        self.layers = layers
        self.width = width
        self.readout = readout
        self.bias_range = bias_range
        self.output_lr = output_lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.patience = patience
        self.val = val
        self.scale = scale
        self.device = device
        self.random_state = random_state
        self.overrides = overrides

    def on(self, device: str | DeviceOptions | Device, **options: Any) -> Self:
        """Return a copy of the fitted estimator that predicts on another device.

        It shares the trained model; `set_params(device=...)` does the same in place.

        Args:
            device: its name, options, or itself.
            **options: fields of `DeviceOptions`, e.g. `shots=1024`.

        Raises:
            ConfigError: the device or one of its options is unknown.
            DeviceError: the device is not installed.
        """
        return moved(self, device, options)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _inputs(self, X: Any, *, fit: bool) -> tuple[np.ndarray, torch.Tensor | None]:
        """Return inputs (N, T, D), 0 after each sequence's end, and the lengths (N,).

        Args:
            X: see `fit`.
            fit: whether to set `n_features_in_`, or to compare with it.
        """
        least = FEWEST if fit else 1
        if isinstance(X, np.ndarray) and X.ndim == 1 and _are_sequences(list(X)):
            X = list(X)  # how NumPy holds arrays of different lengths
        parts = X
        if isinstance(X, list | tuple):
            parts = [one if hasattr(one, "columns") else np.asarray(one) for one in X]
            shapes = [one.shape for one in parts]
            if not _are_sequences(parts) and len({*shapes}) > 1:
                raise DataError(
                    f"X must be (N, T), (N, T, D) or a list of arrays (T, D), got arrays of shapes "
                    f"{shown(shapes)}: sequences x of one number each are x[:, None]"
                )
        if not (_are_sequences(parts) or getattr(X, "ndim", None) == 3):
            if not fit and self.steps_ is None:
                raise DataError(
                    f"X must be (N, T, D) or a list of arrays (T, D), as in fit, got {np.shape(X)}"
                )
            x = validate_data(self, X, reset=fit, dtype=np.float64, ensure_min_samples=least)
            self.steps_ = x.shape[1] if fit else self.steps_
            return x[..., None], None
        if not fit and self.steps_ is not None:
            raise DataError(
                f"X must be (N, {self.steps_}), a sequence of numbers in each row as in fit, got "
                f"sequences of several features"
            )
        lengths = torch.tensor([len(one) for one in parts])
        widths = sorted({one.shape[1] for one in parts})
        if len(parts) < least or not lengths.min() or len(widths) > 1:
            raise DataError(
                f"X must hold at least {least} sequences (T, D) with T > 0 and one D, got "
                f"{len(parts)} of T = {lengths.tolist()[:12]} and D = {widths}"
            )
        steps = validate_data(self, _joined(parts), reset=fit, dtype=np.float64)
        self.steps_ = None if fit else self.steps_
        x = np.zeros((len(parts), int(lengths.max()), widths[0]))
        for n, one in enumerate(np.split(steps, lengths.cumsum(0)[:-1].tolist())):
            x[n, : len(one)] = one
        return x, lengths if len(lengths.unique()) > 1 else None

    def _split(self, x: np.ndarray, y: torch.Tensor, lengths: torch.Tensor | None) -> Split:
        return Split(torch.as_tensor(self.scaling_(x), dtype=torch.float32), y, lengths)

    @abstractmethod
    def _targets(self, y: Any) -> np.ndarray:
        """Return checked targets: labels as numbers (N,), or numbers (N, 1, K)."""

    @abstractmethod
    def _objective(
        self, y: np.ndarray, rows: list[int], config: TrainConfig
    ) -> tuple[Objective, torch.Tensor]:
        """Return the objective, scaled by the training part, and the targets it is to learn."""

    def _fit(self, X: Any, y: Any, target: str) -> Self:
        self.__dict__.pop("trained_", None)  # a fit that fails leaves no mixture of two
        values = self._targets(y)
        x, lengths = self._inputs(X, fit=True)
        check_consistent_length(x, values)
        config = config_of(self, TASK, READS, f"task.target={target}")
        task: Any = config.task
        task.seed = config.trainer.seed
        stratify = [str(one) for one in values] if target == "class" else None
        train, val, _ = shares(len(x), task.val, 0.0, task.seed, stratify)
        seen = [x[row, : None if lengths is None else int(lengths[row])] for row in train]
        names = [f"X[..., {d}]" for d in range(x.shape[-1])]
        self.scaling_ = Scaling.fit(np.concatenate(seen), task.scale, names)
        objective, targets = self._objective(values, train, config)
        parts = []
        for rows in (train, val):
            kept = None if lengths is None else lengths[rows]
            parts.append(self._split(x[rows], targets[rows], kept))
        data = TaskData(
            train=parts[0],
            val=parts[1],
            test=parts[1],  # which no one reads
            classes=tuple(str(one) for one in getattr(self, "classes_", ())),
            kind="classify" if target == "class" else "regress",
            objective=objective,
        )
        self.trained_ = fitted(config, data)
        return self

    def _outputs(self, X: Any) -> torch.Tensor:
        """Return the head's outputs (N, C)."""
        check_is_fitted(self, "trained_")
        x, lengths = self._inputs(X, fit=False)
        objective = self.trained_.objective
        if isinstance(objective, Numbers):
            y = torch.full((len(x), 1, len(objective.targets)), torch.nan)
        else:
            y = torch.full((len(x),), IGNORED)
        return joined(self.trained_.outcome(self._split(x, y, lengths), self.device))


class QRNNClassifier(ClassifierMixin, SequenceEstimator):
    """A classifier of sequences, with scikit-learn's interface.

    Attributes:
        classes_: the labels (C,), sorted.
        n_features_in_: number of columns: T of (N, T), else D.
        trained_: the trained model, of the best epoch.
        scaling_: of the inputs.

    Examples:
        >>> model = qrnn.QRNNClassifier(n_qubits=4).fit(X, y)  # doctest: +SKIP
        >>> model.on("fake_fez", shots=1024).score(X_test, y_test)  # doctest: +SKIP
    """

    classes_: np.ndarray

    def fit(self, X: Any, y: Any) -> Self:
        """Train on labelled sequences.

        Args:
            X: (N, T, D), or (N, T) with a number at each step, or a list of N arrays (T_i, D),
                also as an array of objects.
            y: labels (N,) of any kind.

        Raises:
            ValueError: the data has the wrong shape, too few sequences or one label only.
            ConfigError: a parameter is out of range.
            NumericsError: the training diverged.
        """
        return self._fit(X, y, "class")

    @override
    def _targets(self, y: Any) -> np.ndarray:
        labels = validate_data(self, y=y)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            given = f"one class, {self.classes_[0]}" if len(labels) else "no labels"
            raise DataError(f"y must have at least 2 classes, got {given}")
        return numbers

    @override
    def _objective(
        self, y: np.ndarray, rows: list[int], config: TrainConfig
    ) -> tuple[Objective, torch.Tensor]:
        return Labels(len(self.classes_)), torch.as_tensor(y)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes, (N, C), in the order of `classes_`.

        Raises:
            ConfigError: the model was trained with `model.frozen`, whose outputs are scores.
        """
        outputs = self._outputs(X).double()
        objective = self.trained_.objective
        if isinstance(objective, Labels) and not objective.has_probabilities:
            raise ConfigError(
                "predict_proba must have a model that learned probabilities, got one with "
                "model.frozen, which has scores: use predict"
            )
        return outputs.softmax(-1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each sequence, (N,).

        Args:
            X: as in `fit`.
        """
        labels = self._outputs(X).argmax(-1).numpy()
        return self.classes_[labels]


class QRNNRegressor(RegressorMixin, SequenceEstimator):
    """A regressor of sequences, with scikit-learn's interface.

    Attributes:
        n_features_in_: number of columns: T of (N, T), else D.
        trained_: the trained model, of the best epoch.
        scaling_: of the inputs.

    Examples:
        >>> model = qrnn.QRNNRegressor(n_qubits=4).fit(X, y)  # doctest: +SKIP
        >>> model.on("fake_fez", shots=1024).predict(X_test)  # doctest: +SKIP
    """

    one_number_: bool

    def fit(self, X: Any, y: Any) -> Self:
        """Train on sequences with numbers.

        Args:
            X: (N, T, D), or (N, T) with a number at each step, or a list of N arrays (T_i, D),
                also as an array of objects.
            y: (N,), or (N, K) for K numbers each.

        Raises:
            ValueError: the data has the wrong shape, or too few sequences.
            ConfigError: a parameter is out of range.
            NumericsError: the training diverged.
        """
        return self._fit(X, y, "number")

    @override
    def _targets(self, y: Any) -> np.ndarray:
        values = validate_data(self, y=y, multi_output=True, y_numeric=True)
        self.one_number_ = values.ndim == 1
        return values.reshape(len(values), 1, -1).astype(np.float64)

    @override
    def _objective(
        self, y: np.ndarray, rows: list[int], config: TrainConfig
    ) -> tuple[Objective, torch.Tensor]:
        task: Any = config.task
        names = tuple(f"y{k}" for k in range(y.shape[-1]))
        scaling = Scaling.fit(y[rows, 0], task.scale, names)
        objective = Numbers(
            names, 1, task.loss, tuple(task.quantiles), scaling.offset, scaling.scale
        )
        return objective, torch.as_tensor(scaling(y), dtype=torch.float32)

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted numbers (N,) or (N, K); of quantiles, the median.

        Args:
            X: as in `fit`.
        """
        outputs = self._outputs(X)
        found = self.trained_.objective.answers(outputs)[:, 0].numpy()
        return found[:, 0] if self.one_number_ else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _joined(parts: Any) -> Any:
    """Return all steps of sequences (T_i, D); as a data frame, if all are, for its columns' names.

    Raises:
        DataError: the columns are not those of the first.
    """
    if not all(hasattr(one, "columns") for one in parts):
        return np.concatenate([np.asarray(one) for one in parts])
    import pandas as pd

    columns = list(parts[0].columns)
    if other := next((list(one.columns) for one in parts if list(one.columns) != columns), None):
        raise DataError(f"X must have the same columns in each sequence, got {columns}, {other}")
    return pd.concat(parts, ignore_index=True)


def _are_sequences(parts: Any) -> bool:
    """Return whether it is a list of arrays (T, D)."""
    return (
        isinstance(parts, list)
        and len(parts) > 0
        and all(getattr(one, "ndim", None) == 2 for one in parts)
    )
