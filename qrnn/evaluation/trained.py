"""A trained model as Python uses it: load a checkpoint, predict, evaluate, change the device."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from qrnn.config import TrainConfig
from qrnn.data import SPLITS, Objective, Split, TaskData
from qrnn.data.tables.base import ENCODERS, Encoder
from qrnn.data.tables.files import Table
from qrnn.data.tables.windows import ForecastEncoder
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.errors import ConfigError
from qrnn.evaluation.evaluation import Evaluation, check_runnable
from qrnn.evaluation.evaluation import evaluate as evaluate_model
from qrnn.evaluation.files import path_of
from qrnn.evaluation.hardware import start_run
from qrnn.evaluation.metrics import judge
from qrnn.evaluation.predict import Outcome, run
from qrnn.evaluation.rows import rows_of
from qrnn.models.base import Model
from qrnn.models.cells import device_of, refuse_options
from qrnn.training.checkpoint import (
    PREFIX,
    built,
    check_content,
    load_checkpoint,
    load_data,
    plain_model,
)
from qrnn.utils.checkpoints import results_folder
from qrnn.utils.checks import whole
from qrnn.utils.files import atomic_write, write_text
from qrnn.utils.hub import Pretrained
from qrnn.utils.modes import evaluating
from qrnn.utils.private import published
from qrnn.utils.registry import unknown_name
from qrnn.utils.weights import errors_about

if TYPE_CHECKING:
    import pandas as pd


class TrainedModel(Pretrained):
    """A trained model, with what it needs to read tables as its training did.

    `save_pretrained`, `push_to_hub` and `from_pretrained` keep it as Hugging Face's Hub does.

    Args:
        model: the model, on the device that trained it or another one.
        config: the configuration it was trained with.
        encoder: what turns rows of a table into sequences; None: the task reads no tables.
        folder: the run's folder, where jobs on IBM devices are recorded; None: nowhere.
    """

    def __init__(
        self,
        model: Model,
        config: TrainConfig,
        encoder: Encoder | None = None,
        folder: Path | None = None,
    ):
        self.model, self.config, self.encoder, self.folder = model, config, encoder, folder

    def _saved(self) -> tuple[dict[str, Any], dict[str, Any]]:
        if self.model.made_of is None:
            raise ConfigError("a saved model must be built from a configuration: use qrnn.load")
        shape = json.loads(self.model.made_of)["shape"]
        plain = plain_model(self.config, shape, self.objective, self.encoder)
        plain["config"] |= {"resume": None, "finetune": None}
        private = self.config.device.given_where(lambda one: not one.recorded)
        plain["config"]["device"] |= dict.fromkeys(private)  # account and paths
        plain["config"] = published(plain["config"])
        return plain, self.model.state_dict()

    @classmethod
    def _rebuilt(cls, config: dict[str, Any], weights: dict[str, Any], source: str) -> Self:
        state = {f"{PREFIX}{name}": value for name, value in weights.items()}
        content = {"qrnn": config, "state_dict": state}
        with errors_about(source):
            check_content(content)
        return cls(*built(content, source))

    def save(self, path: str | Path) -> None:
        """Save the configuration and the weights as a checkpoint, without the training's state.

        It is a third of `best.ckpt`, and can be used in its place but to resume the training. It
        has the names of data files, but neither their folders nor an account.

        Args:
            path: the file.

        Raises:
            ConfigError: the model was not built from a configuration.
        """
        plain, weights = self._saved()
        state = {f"{PREFIX}{name}": value.cpu().clone() for name, value in weights.items()}
        torch.save({"qrnn": plain, "state_dict": state}, buffer := io.BytesIO())
        with atomic_write(path) as temporary:
            temporary.write_bytes(buffer.getvalue())

    @property
    def objective(self) -> Objective:
        """What the model was trained for."""
        return self.model.objective

    def on(self, device: str | DeviceOptions | Device, **options: Any) -> TrainedModel:
        """Return the same model, its circuits on another device.

        Args:
            device: its name, options, or itself.
            **options: fields of `DeviceOptions`, e.g. `shots=1024`.

        Raises:
            ConfigError: the device or one of its options is unknown.
            DeviceError: the device cannot run the model.
        """
        model = self.model.on(open_device(device, **options))
        return TrainedModel(model, self.config, self.encoder, self.folder)

    def evaluate(
        self,
        device: str | DeviceOptions | Device | None = None,
        *,
        split: str = "test",
        limit: int | None = None,
        data: TaskData | None = None,
        data_dir: str | None = None,
        **options: Any,
    ) -> Evaluation:
        """Evaluate the model on a split of its task's data.

        Args:
            device: where; None: on the device that it is on.
            split: `test`, `val` or `train`.
            limit: number of sequences, the first of the split; None: all.
            data: the task's data, if it is loaded already.
            data_dir: folder of the data, if it has moved since training.
            options: of `qrnn.evaluation.evaluation.evaluate`.

        Raises:
            ConfigError: an option is the device's.
            DataError: the data that it was trained with is no longer there.
        """
        if of_device := sorted(options.keys() & vars(DeviceOptions()).keys()):
            name = of_device[0]
            raise ConfigError(
                f"{name} is an option of the device: use .on(device, {name}={options[name]!r})"
                f".evaluate()"
            )
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        data = data if data is not None else load_data(self.config, data_dir)
        part = getattr(data, split).head(limit)
        options = {"folder": self.folder, "progress": False, "training": data.train} | options
        used = device if device is not None else self._own()
        return evaluate_model(self.model, part, used, judge=judge(data, split, limit), **options)

    def _own(self) -> str | Device:
        return device_of(self.model) or "fused"

    def predict(
        self,
        rows: str | Path | pd.DataFrame | Table,
        device: str | DeviceOptions | Device | None = None,
        *,
        every: bool = False,
        steps: int | None = None,
        recursive: bool = False,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Predict new rows of a table with the columns of the training's.

        Args:
            rows: a data frame, whose index may be the time or the name of the series or sequence;
                or a CSV or Parquet file.
            device: where the circuits run; None: on the device that the model is on.
            every: of a forecast, whether to predict from every window of the table; else from the
                last one of each series.
            steps: of a forecast, number of steps to predict; None: the horizon.
            recursive: of a forecast, whether to go on with the predictions as the past, for more
                steps than the horizon.
            batch_size: sequences that run at once; None: all.
            progress: whether to show a progress bar, and an IBM device's price.

        Returns:
            A row for each prediction: which sequence or time it is of, the prediction, quantiles or
            probabilities, and the truth where the table has it.

        Raises:
            ConfigError: the task reads no tables, or an option does not fit it.
            DataError: the rows do not have the training's columns, or a cell is wrong.
            DeviceError: the device cannot run the model, or the price exceeds the budget.
        """
        import pandas as pd

        encoder = self._encoder()
        table = rows_of(rows, self.config, encoder)
        if not isinstance(encoder, ForecastEncoder):
            if every or recursive or steps is not None:
                raise ConfigError("every, steps and recursive must be left out: it is no forecast")
            split, keys = encoder.encode(table)
            found = self.outcome(split, device, batch_size, progress)
            return encoder.decode(keys, split, joined(found), self.objective)
        wanted = encoder.horizon if steps is None else whole("steps", steps, 1)
        if wanted > encoder.horizon and not recursive:
            raise ConfigError(
                f"steps must be at most the horizon of {encoder.horizon}, got {wanted}: set "
                f"recursive=true to go on with the predictions as the past"
            )
        if wanted > encoder.horizon:
            encoder.check_recursive()
            if every:
                raise ConfigError("every must be false with more steps than the horizon")
        frames, done = [], 0
        while done < wanted:
            split, keys = encoder.encode(table, every)
            found = self.outcome(split, device, batch_size, progress)
            frame = encoder.decode(keys, split, joined(found), self.objective)
            if wanted > encoder.horizon:
                table = encoder.extended(table, frame)
            frames.append(frame.assign(step=frame["step"] + done))
            done += encoder.horizon
        out = pd.concat(frames, ignore_index=True)
        out = out[out["step"] < wanted + encoder.lead]
        order = [encoder.series, "step"] if encoder.series is not None and not every else None
        if order is not None and done > encoder.horizon:
            out = out.sort_values("step", kind="stable").sort_values(order[0], kind="stable")
        return out.reset_index(drop=True)

    def encode(
        self, rows: str | Path | pd.DataFrame | Table, *, every: bool = False
    ) -> tuple[Split, pd.DataFrame]:
        """Return the sequences of new rows, and the names of their predictions; see `predict`."""
        encoder = self._encoder()
        table = rows_of(rows, self.config, encoder)
        if isinstance(encoder, ForecastEncoder):
            return encoder.encode(table, every)
        if every:
            raise ConfigError("every must be left out: it is no forecast")
        return encoder.encode(table)

    def _encoder(self) -> Encoder:
        if self.encoder is None and self.config.task.name in ENCODERS:
            raise ConfigError(
                "predict must have a checkpoint that knows its table, got one of an estimator, "
                "which scales the inputs itself: pickle the estimator instead"
            )
        if self.encoder is None:
            raise ConfigError(
                f"predict must have a task that reads tables, got {self.config.task.name}: train "
                f"with task=forecast, task=sequences or task=texts"
            )
        return self.encoder

    def outcome(
        self,
        split: Split,
        device: str | DeviceOptions | Device | None = None,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> Outcome:
        """Return the outputs for sequences that are encoded already; see `predict`."""
        if batch_size is not None:
            whole("batch_size", batch_size, 1)
        opened = open_device(device if device is not None else self._own())
        check_runnable(self.model, split, "closed", opened.spec.submits_jobs)
        refuse_options(self.model, opened.options)
        with (
            evaluating(self.model),
            start_run(
                self.model,
                opened,
                split,
                feedback="closed",
                reading={},
                batch_size=batch_size,
                folder=self.folder,
                quiet=not progress,
                training=lambda: load_data(self.config).train,
            ) as on,
        ):
            title = opened.name if progress else None
            return run(on.model, split, batch_size, title, on.note)


def joined(found: Outcome) -> Any:
    """Return the outputs of all sequences, (N, C), or (N, T, C) with 0 where a batch is shorter."""
    from torch.nn.utils.rnn import pad_sequence

    if found.each[0].ndim == 2:
        return torch.cat(found.each)
    return pad_sequence([one for batch in found.each for one in batch], batch_first=True)


def save_predictions(
    evaluation: Evaluation, data: TaskData, part: Split, folder: str | Path
) -> Path | None:
    """Write the predictions of an evaluation as CSV, as `qrnn predict` does; return the path.

    Args:
        evaluation: of the task's data.
        data: it.
        part: the sequences that were evaluated.
        folder: where to write.

    Returns:
        The path; None: the task has no names for its predictions.
    """
    if data.encoder is None or data.rows is None or evaluation.split is None:
        return None
    assert evaluation.outcome is not None
    keys = data.rows[evaluation.split]
    outputs = joined(evaluation.outcome)
    frame = data.encoder.decode(keys, part, outputs, data.goal)
    path = path_of(evaluation, folder)
    path = path.with_name(f"predictions{path.stem.removeprefix('evaluation')}.csv")
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))
    return path


def load(checkpoint: str | Path) -> TrainedModel:
    """Return the trained model of a checkpoint, on the device that trained it.

    Args:
        checkpoint: a file that `qrnn train` wrote, or the name of a shipped one.

    Raises:
        DataError: not a checkpoint, or a damaged one.
        ConfigError: its configuration does not fit this version.
        DeviceError: the device that trained it is not installed.

    Examples:
        >>> model = qrnn.load("runs/forecast/best.ckpt")  # doctest: +SKIP
        >>> model.predict("new.csv", device="fake_fez")  # doctest: +SKIP
    """
    model, config, encoder = load_checkpoint(checkpoint)
    return TrainedModel(model, config, encoder, results_folder(checkpoint))


def evaluate(
    checkpoint: str | Path, device: str | DeviceOptions | Device | None = None, **options: Any
) -> Evaluation:
    """Evaluate a checkpoint on a split of its task's data, as `qrnn evaluate` does.

    Args:
        checkpoint: a file that `qrnn train` or `qrnn.train` wrote, or the name of a shipped one.
        device: where; None: on the device that trained it.
        **options: of `TrainedModel.evaluate`, such as `split` and `limit`.

    Raises:
        DataError: not a checkpoint, or the data that it was trained with is no longer there.
        DeviceError: the device cannot run the model.

    Examples:
        >>> done = qrnn.train(["trainer.epochs=2"])  # doctest: +SKIP
        >>> qrnn.evaluate(done.best, "default.qubit").value  # doctest: +SKIP
    """
    return load(checkpoint).evaluate(device, **options)


def predict(
    checkpoint: str | Path,
    rows: str | Path | pd.DataFrame | Table,
    device: str | DeviceOptions | Device | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Predict new rows of a table by a checkpoint, as `qrnn predict` does.

    Args:
        checkpoint: a file that `qrnn train` or `qrnn.train` wrote, or the name of a shipped one.
        rows: a data frame, or a CSV or Parquet file, with the columns of the training's.
        device: where the circuits run; None: on the device that trained it.
        **options: of `TrainedModel.predict`, such as `steps`.

    Returns:
        A row for each prediction; see `TrainedModel.predict`.

    Raises:
        ConfigError: the task reads no tables, or an option does not fit it.
        DataError: not a checkpoint, or the rows do not have the training's columns.
        DeviceError: the device cannot run the model.
    """
    return load(checkpoint).predict(rows, device, **options)
