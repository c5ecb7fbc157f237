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
    "ImdbConfig",
    "Kind",
    "MnistBinaryConfig",
    "MnistConfig",
    "Multi30kConfig",
    "Part",
    "PtbConfig",
    "Shape",
    "SimpleConfig",
    "Split",
    "Stream",
    "Task",
    "TaskConfig",
    "TaskData",
    "copying",
    "detokenise",
    "digits",
    "dna",
    "elman_letters",
    "elman_xor",
    "imdb",
    "loader",
    "mnist",
    "mnist_binary",
    "multi30k",
    "ptb",
    "simple",
    "task",
]
