"""The keys of tasks from tables of one's own, and of series made by an equation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qrnn.config.tasks import TaskConfig, built_in


@dataclass
class WindowsConfig(TaskConfig):
    """How a series is cut into windows, and what is learned of them.

    Attributes:
        window: steps that are read, L.
        horizon: steps that are predicted, H.
        lead: steps from the last one read to the first one predicted.
        stride: steps from one training window to the next.
        split: shares of training, validation and test part, by time; or the two times at which
            validation and test part begin.
        scale: of all columns, fitted on the training part: `standard`, `minmax` or `none`.
        loss: `mse`, `mae`, `huber` or `quantile`.
        quantiles: to predict, with 0.5, of `loss=quantile`.
    """

    window: int = 24
    horizon: int = 1
    lead: int = 1
    stride: int = 1
    split: list[Any] = field(default_factory=lambda: [0.7, 0.15, 0.15])
    scale: str = "standard"
    loss: str = "mse"
    quantiles: list[float] = field(default_factory=list)


@built_in("qrnn.data.tables.forecast")
@dataclass
class ForecastConfig(WindowsConfig):
    """Forecast the columns of a table: without a file, the yearly sunspot numbers.

    Attributes:
        name: `forecast`.
        file: a CSV or Parquet file; null: the yearly numbers of sunspots since 1700.
        target: column to predict, or a list of several; their past is an input, too.
        inputs: further columns, known up to the present.
        known: further columns, known ahead over the whole horizon, such as a price or a holiday.
        time: column of the times, dates or numbers; null: rows follow each other by one step.
        past: whether the targets' own past is an input; else only the other columns are.
        id: column that names the series, of a file with many; null: it is one series.
        missing: empty cells are an error (`refuse`), are filled between their neighbours
            (`interpolate`), or hold the last known value with an input that says so (`mask`).
        separator: between the columns of a CSV file.
        decimal: the decimal mark of numbers that are text, `.` or `,`.
    """

    name: str = "forecast"
    file: str | None = None
    target: Any = None
    inputs: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    past: bool = True
    time: str | None = None
    id: str | None = None
    missing: str = "refuse"
    separator: str = ","
    decimal: str = "."


@built_in("qrnn.data.tables.sequences")
@dataclass
class SequencesConfig(TaskConfig):
    """Classify sequences of your own, or predict a number of each.

    Attributes:
        name: `sequences`.
        file: a CSV or Parquet file, with a row for each step.
        test_file: another one, as test part; null: a share of the sequences.
        id: column that names the sequence a row belongs to.
        order: column by which the rows of a sequence are ordered; null: as they stand.
        label: column to predict.
        features: input columns; empty: all others.
        target: whether labels are a `class` or a `number`.
        each: whether there is a label for each `sequence` or each `step`.
        scale: of features and numbers, fitted on the training part: `standard`, `minmax` or `none`.
        val: share of the validation part; sequences are never cut, classes have their share in it.
        test: share of the test part, where there is no `test_file`.
        seed: of the parts.
        loss: of numbers: `mse`, `mae`, `huber` or `quantile`.
        quantiles: to predict, with 0.5, of `loss=quantile`.
        separator: between the columns of a CSV file.
        decimal: the decimal mark of numbers that are text, `.` or `,`.
    """

    name: str = "sequences"
    file: str | None = None
    test_file: str | None = None
    id: str = "id"
    order: str | None = None
    label: str = "label"
    features: list[str] = field(default_factory=list)
    target: str = "class"
    each: str = "sequence"
    scale: str = "standard"
    val: float = 0.15
    test: float = 0.15
    seed: int = 0
    loss: str = "mse"
    quantiles: list[float] = field(default_factory=list)
    separator: str = ","
    decimal: str = "."


@built_in("qrnn.data.tables.texts")
@dataclass
class TextsConfig(TaskConfig):
    """Classify texts of your own.

    Attributes:
        name: `texts`.
        file: a CSV or Parquet file, with a row for each text.
        test_file: another one, as test part; null: a share of the texts.
        text: column of the texts; read in lower case, as words and punctuation.
        label: column of the classes.
        min_count: how often a word must occur in the training part to be in the vocabulary.
        max_words: size of the vocabulary at most.
        max_length: words of a text that are read, from its beginning; null: all.
        class_weights: whether rare classes count more in the loss, each class as much in all.
        val: share of the validation part, of each class.
        test: share of the test part, where there is no `test_file`.
        seed: of the parts.
        separator: between the columns of a CSV file.
    """

    name: str = "texts"
    file: str | None = None
    test_file: str | None = None
    text: str = "text"
    label: str = "label"
    min_count: int = 2
    max_words: int = 20_000
    max_length: int | None = None
    class_weights: bool = False
    val: float = 0.15
    test: float = 0.15
    seed: int = 0
    separator: str = ","


@dataclass
class SeriesConfig(WindowsConfig):
    """A generated series.

    Attributes:
        length: number of its points.
    """

    length: int = 1000


@built_in("qrnn.data.tables.generated")
@dataclass
class MackeyGlassConfig(SeriesConfig):
    """Mackey-Glass's delay equation dx/dt = 0.2 x(t-17) / (1 + x(t-17)^10) - 0.1 x(t).

    Attributes:
        name: `mackey_glass`.
        tau: the delay, steps.
        seed: of the history before the first point.
    """

    name: str = "mackey_glass"
    tau: int = 17
    seed: int = 0


@built_in("qrnn.data.tables.generated")
@dataclass
class Narma10Config(SeriesConfig):
    """NARMA-10: predict y from the past of u alone.

    y(t+1) = 0.3 y(t) + 0.05 y(t) (y(t) + ... + y(t-9)) + 1.5 u(t-9) u(t) + 0.1,
    with u uniform in [0, 0.5].

    Attributes:
        name: `narma10`.
        seed: of u.
    """

    name: str = "narma10"
    length: int = 3200
    split: list[Any] = field(default_factory=lambda: [0.625, 0.15625, 0.21875])
    seed: int = 0


@built_in("qrnn.data.tables.generated")
@dataclass
class LorenzConfig(SeriesConfig):
    """Lorenz's system of sigma=10, rho=28, beta=8/3, a point every 0.03.

    Attributes:
        name: `lorenz`.
    """

    name: str = "lorenz"


@built_in("qrnn.data.tables.generated")
@dataclass
class HenonConfig(SeriesConfig):
    """Henon's map x' = 1 - 1.4 x^2 + y, y' = 0.3 x, from (0, 0).

    Attributes:
        name: `henon`.
    """

    name: str = "henon"
