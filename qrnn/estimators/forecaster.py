"""A forecaster with sktime's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from qrnn.config import TrainerConfig
from qrnn.data import Numbers, TaskData
from qrnn.data.tables.files import Table
from qrnn.data.tables.scaling import Scaling
from qrnn.data.tables.sequences import SequencesConfig
from qrnn.data.tables.series import Columns, read_series
from qrnn.data.tables.windows import ForecastEncoder
from qrnn.devices import Device, DeviceOptions
from qrnn.errors import ConfigError, DataError, require_extra
from qrnn.estimators.fitting import config_of, fitted, moved
from qrnn.evaluation.trained import TrainedModel

try:
    from sktime.forecasting.base import BaseForecaster, ForecastingHorizon
except ImportError as missing:
    if missing.name != "sktime":
        raise
    BaseForecaster = ForecastingHorizon = object

if TYPE_CHECKING:
    import pandas as pd

TASK = "forecast"
RUN = 8  # rows without a gap that tell the step, also of weekdays
READS = ("window", "horizon", "scale", "loss", "quantiles")


class QRNNForecaster(BaseForecaster):
    """A forecaster of time series, with sktime's interface.

    It learns windows of the past, and predicts all steps up to the last one of the forecasting
    horizon `fh` at once. Columns of X are known ahead, over the whole horizon. A parameter that is
    None has the default of its key in the configuration, as on the command line.

    Args:
        window: steps that are read, L.
        residual: `last`: the network predicts the change since the last value; `relative`: it also
            reads the past as differences from this value, for series with a trend.
        n_qubits: number of qubits n.
        layers: number of layers of the ansatz.
        width: units per hidden layer of the controller.
        readout: what is measured at each step, such as `XYZ`.
        bias_range: range of the initial bias, radians.
        output_lr: learning rate of the controller's last layer, relative to the other parameters.
        epochs: number of passes over the training part.
        batch_size: number of windows per batch B.
        lr: peak learning rate.
        patience: epochs without a lower validation loss before stopping.
        val: share of the windows, the last ones, on which the best epoch is chosen. Training
            windows end before the first value that these predict.
        scale: of all columns, fitted on the training part: `standard`, `minmax` or `none`.
        device: name or options of the device that runs the circuits. It is read by `fit` and by
            `predict`; see `on`. `update` trains where `fit` did.
        random_state: seed of the initialisation and the order of the windows; None: a random one.
        overrides: of other keys of the configuration, e.g. `("task.loss=mae", "model=lstm")`.

    Attributes:
        trained_: the trained model, of the best epoch.

    Raises:
        MissingExtraError: sktime is not installed.

    Examples:
        >>> model = qrnn.QRNNForecaster(window=24).fit(y, fh=range(1, 7))  # doctest: +SKIP
        >>> model.on("fake_fez", shots=1024).predict()  # doctest: +SKIP
    """

    _tags: ClassVar[dict[str, Any]] = {
        "authors": "The qrnn developers",
        "maintainers": "The qrnn developers",
        "y_inner_mtype": "pd.DataFrame",
        "X_inner_mtype": "pd.DataFrame",
        "capability:multivariate": True,
        "capability:exogenous": True,
        "capability:categorical_in_X": False,
        "capability:insample": False,
        "capability:missing_values": False,
        "capability:non_contiguous_X": False,
        "capability:pred_int": False,
        "capability:random_state": True,
        "capability:update": True,
        "property:randomness": "derandomized",
        "requires-fh-in-fit": True,
    }
    _config: ClassVar[dict[str, Any]] = {"remember_data": False}  # `_rows` does

    trained_: TrainedModel

    def __init__(
        self,
        *,
        window: int | None = None,
        residual: str | None = None,
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
        val: float = SequencesConfig.val,
        scale: str | None = None,
        device: str | DeviceOptions | None = None,
        random_state: int | np.random.RandomState | None = TrainerConfig.seed,
        overrides: tuple[str, ...] = (),
    ):
        if BaseForecaster is object:
            raise require_extra("sktime", "sktime", "QRNNForecaster")
        self.window = window
        self.residual = residual
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
        super().__init__()
        self._y = self._X = None  # for `remember_data=True`

    def on(self, device: str | DeviceOptions | Device, **options: Any) -> Self:
        """Return a copy of the fitted forecaster that predicts on another device.

        It shares the trained model. (sktime's `set_params` would forget it.)

        Args:
            device: its name, options, or itself.
            **options: fields of `DeviceOptions`, e.g. `shots=1024`.

        Raises:
            ConfigError: the device or one of its options is unknown.
            DeviceError: the device is not installed.
        """
        other = moved(self, device, options)
        if hasattr(self, "forecasters_"):  # of several series; sktime fits one for each
            other.forecasters_ = self.forecasters_.map(lambda one: one.on(other.device))
        return other

    def _of(self, y: pd.DataFrame, X: pd.DataFrame | None) -> pd.DataFrame:
        """Return targets, then known inputs, under names of our own: sktime's may be numbers.

        Raises:
            DataError: X is missing, or columns are not those of `fit`.
        """
        import pandas as pd

        y = _ordered(y, self._columns, "y")
        frame = y.set_axis([f"y{k}" for k in range(y.shape[1])], axis=1)
        if self._known is None:
            return frame
        if X is None:
            raise DataError(f"X must be given as in fit, with columns {list(self._known)}")
        known = _ordered(X, self._known, "X").loc[y.index]
        known = known.set_axis([f"x{k}" for k in range(known.shape[1])], axis=1)
        return pd.concat([frame, known], axis=1)

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> Self:
        _check_no_gaps(y.index, getattr(y.index, "freq", None))
        self._columns, self._known = y.columns, None if X is None else X.columns
        self._rows = self._of(y, X)
        horizon = int(fh.to_relative(self.cutoff).to_numpy().max())
        config = config_of(self, TASK, READS, f"task.horizon={horizon}")
        self.trained_ = fitted(config, windows(self._rows, config.task, self.val))
        return self

    def _update(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True
    ) -> Self:
        """Read new rows; train again on all rows if the parameters are to be updated."""
        import pandas as pd

        rows = pd.concat([self._rows, self._of(y, X)])
        rows = rows[~rows.index.duplicated(keep="last")].sort_index()
        _check_no_gaps(rows.index, getattr(self.cutoff, "freq", None))
        self._rows = rows
        if update_params:
            config = self.trained_.config
            self.trained_ = fitted(config, windows(self._rows, config.task, self.val))
        return self

    def _predict(self, fh: Any, X: pd.DataFrame | None) -> pd.DataFrame:
        import pandas as pd

        task: Any = self.trained_.config.task
        past = self._rows[self._rows.index <= self.cutoff[0]]
        known = past.columns[len(self._columns) :]
        frame = past.tail(task.window)
        if len(known):
            steps = ForecastingHorizon(np.arange(1, task.horizon + 1), is_relative=True)
            ahead = steps.to_absolute_index(self.cutoff)
            if X is None or not ahead.isin(X.index).all():
                raise DataError(
                    f"X must have rows for all {task.horizon} steps after {self.cutoff[0]}, as X "
                    f"in fit is known ahead, got {0 if X is None else ahead.isin(X.index).sum()}"
                )
            ordered = _ordered(X, self._known, "X")
            later = pd.DataFrame(ordered.loc[ahead].to_numpy(), columns=known)
            frame = pd.concat([frame, later])
        found = self.trained_.predict(frame, self.device)
        values = found.filter(regex="^prediction").to_numpy(np.float64)
        at = fh.to_relative(self.cutoff).to_numpy().astype(int) - 1
        index = fh.to_absolute_index(self.cutoff)
        return pd.DataFrame(values[at], index=index, columns=self._columns)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return parameters for sktime's tests."""
        small = {"window": 3, "n_qubits": 2, "width": 4, "epochs": 1}
        return [small, {**small, "residual": "last", "scale": "minmax"}]


def _ordered(frame: pd.DataFrame, columns: pd.Index, name: str) -> pd.DataFrame:
    """Return a frame with the columns of `fit`, in their order.

    Raises:
        DataError: it has others.
    """
    if len(columns) == frame.shape[1] == 1:  # a series, whose name says nothing
        return frame
    if {*frame.columns} != {*columns}:
        raise DataError(
            f"{name} must have the columns of fit, {list(columns)}, got {list(frame.columns)}"
        )
    return frame[list(columns)]


def _check_no_gaps(index: pd.Index, freq: Any) -> None:
    """Raise the error for times that are not there: all rows of a window are taken to follow.

    Args:
        index: sorted times.
        freq: the step of an index of dates; None: it is inferred.

    Raises:
        DataError: a time is missing, or dates have no regular step.
    """
    import pandas as pd

    first, last = index[0], index[-1]
    if isinstance(index, pd.PeriodIndex):
        whole = pd.period_range(first, last, freq=index.freq)
    elif not isinstance(index, pd.DatetimeIndex):
        whole = pd.RangeIndex(first, last + 1)
    elif len(index) < 3:  # too short for any window
        return
    elif (freq := freq or pd.infer_freq(index)) is not None:
        whole = pd.date_range(first, last, freq=freq)
    else:
        some = (pd.infer_freq(index[k : k + RUN]) for k in range(max(1, len(index) - RUN)))
        step = next((one for one in some if one is not None), "D")
        raise DataError(
            f"y must have times with a regular step, got an index without freq: use "
            f"y.asfreq({step!r}) and fill the gaps"
        )
    if len(missing := whole.difference(index)):
        raise DataError(
            f"y must have a row for each step from {first} to {last}, but {missing[0]} is missing: "
            f"fill it first"
        )


def windows(frame: pd.DataFrame, task: Any, val: float) -> TaskData:
    """Return the windows of a series; those with the last targets are for validation.

    Args:
        frame: targets y0, y1, ..., then inputs known ahead.
        task: the configuration, a `ForecastConfig`.
        val: share of the validation part.

    Raises:
        ConfigError: the share is out of range.
        DataError: the series is too short.
    """
    if not 0 < val < 1:
        raise ConfigError(f"val must be more than 0 and less than 1, got {val}")
    targets = tuple(name for name in frame.columns if name.startswith("y"))
    columns = Columns(targets, known=tuple(frame.columns[len(targets) :]))
    (series,) = read_series(Table(frame.reset_index(drop=True), "y"), columns)
    window, horizon = task.window, task.horizon
    count = len(series) - window - horizon + 1
    if count <= horizon:
        raise DataError(
            f"y must have at least {window + 2 * horizon} steps, to train and validate with a "
            f"window of {window} and a horizon of {horizon}, got {len(series)}"
        )
    first = count - min(max(1, round(val * count)), count - horizon)
    columns_of = np.concatenate([series.past, series.ahead, series.delta[:, None]], 1)
    scaling = Scaling.fit(columns_of[: first + window], task.scale, [*frame.columns, "time"])
    encoder = ForecastEncoder(
        targets,
        (),
        columns.known,
        time=None,
        series=None,
        missing=columns.missing,
        delta=False,
        past=True,
        window=window,
        horizon=horizon,
        lead=1,
        offset=scaling.offset,
        scale=scaling.scale,
    )
    of_targets = scaling.head(len(targets))
    part = encoder.split(series, range(first, count))
    return TaskData(
        train=encoder.split(series, range(first - horizon + 1)),
        val=part,
        test=part,  # which no one reads
        classes=(),
        kind="regress",
        objective=Numbers(
            targets,
            horizon,
            task.loss,
            tuple(task.quantiles),
            of_targets.offset,
            of_targets.scale,
        ),
        encoder=encoder,
        n_past=len(targets),
    )
