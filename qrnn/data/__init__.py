"""Data sets: loaders and the tasks made of them."""

from qrnn.data.base import (
    IGNORED,
    KINDS,
    SPLITS,
    TASKS,
    Batch,
    Shape,
    Split,
    Stream,
    Task,
    TaskConfig,
    TaskData,
    loader,
    task,
)
from qrnn.data.copying import CopyingConfig, copying
from qrnn.data.digits import DigitsConfig, digits
from qrnn.data.imdb import ImdbConfig, imdb
from qrnn.data.mnist import MnistConfig, mnist
from qrnn.data.mnist_binary import MnistBinaryConfig, mnist_binary
from qrnn.data.multi30k import Multi30kConfig, detokenise, multi30k
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
    "MnistBinaryConfig",
    "MnistConfig",
    "Multi30kConfig",
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
