"""Data sets and the tasks built from them."""

from qrnn.config.commands import SPLITS
from qrnn.config.tables import ForecastConfig, SequencesConfig, TextsConfig
from qrnn.config.tasks import (
    TASKS,
    CopyingConfig,
    DigitsConfig,
    DnaConfig,
    ElmanLettersConfig,
    ElmanXorConfig,
    ImdbConfig,
    MnistBinaryConfig,
    MnistConfig,
    Multi30kConfig,
    PtbConfig,
    SimpleConfig,
    Task,
    TaskConfig,
    task,
)
from qrnn.data.base import Shape, TaskData
from qrnn.data.copying import copying
from qrnn.data.digits import digits
from qrnn.data.imdb import imdb
from qrnn.data.kinds import KINDS, Kind
from qrnn.data.loading import loader
from qrnn.data.mnist import mnist
from qrnn.data.mnist_binary import mnist_binary
from qrnn.data.multi30k import detokenise, multi30k
from qrnn.data.objectives import Labels, Numbers, Objective
from qrnn.data.parts import IGNORED, Batch, Part, Split, Stream
from qrnn.data.ptb import ptb
from qrnn.data.sequences import dna, elman_letters, elman_xor, simple
from qrnn.data.tables.forecast import forecast
from qrnn.data.tables.generated import henon, lorenz, mackey_glass, narma10
from qrnn.data.tables.sequences import sequences
from qrnn.data.tables.texts import texts

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
