"""Data sets and the tasks built from them."""

from qrnn.data.base import SPLITS, TASKS, Shape, Task, TaskConfig, TaskData, task
from qrnn.data.copying import CopyingConfig, copying
from qrnn.data.digits import DigitsConfig, digits
from qrnn.data.imdb import ImdbConfig, imdb
from qrnn.data.kinds import KINDS, Kind
from qrnn.data.loading import loader
from qrnn.data.mnist import MnistConfig, mnist
from qrnn.data.mnist_binary import MnistBinaryConfig, mnist_binary
from qrnn.data.multi30k import Multi30kConfig, detokenise, multi30k
from qrnn.data.objectives import Labels, Numbers, Objective
from qrnn.data.parts import IGNORED, Batch, Part, Split, Stream
from qrnn.data.ptb import PtbConfig, ptb
from qrnn.data.sequences import (
    DnaConfig,
    ElmanLettersConfig,
    ElmanXorConfig,
    SimpleConfig,
    dna,
    elman_letters,
    elman_xor,
    simple,
)
from qrnn.data.tables.forecast import ForecastConfig, forecast
from qrnn.data.tables.generated import henon, lorenz, mackey_glass, narma10
from qrnn.data.tables.sequences import SequencesConfig, sequences
from qrnn.data.tables.texts import TextsConfig, texts

__all__ = [
    "IGNORED",
    "KINDS",
    "SPLITS",
    "TASKS",
    "Batch",
    "CopyingConfig",
    "DigitsConfig",
    "DnaConfig",
    "ElmanLettersConfig",
    "ElmanXorConfig",
    "ForecastConfig",
    "ImdbConfig",
    "Kind",
    "Labels",
    "MnistBinaryConfig",
    "MnistConfig",
    "Multi30kConfig",
    "Numbers",
    "Objective",
    "Part",
    "PtbConfig",
    "SequencesConfig",
    "Shape",
    "SimpleConfig",
    "Split",
    "Stream",
    "Task",
    "TaskConfig",
    "TaskData",
    "TextsConfig",
    "copying",
    "detokenise",
    "digits",
    "dna",
    "elman_letters",
    "elman_xor",
    "forecast",
    "henon",
    "imdb",
    "loader",
    "lorenz",
    "mackey_glass",
    "mnist",
    "mnist_binary",
    "multi30k",
    "narma10",
    "ptb",
    "sequences",
    "simple",
    "task",
    "texts",
]
