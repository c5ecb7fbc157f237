"""Data sets: loaders and the tasks made of them."""

from qrnn.data.base import (
    IGNORED,
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
from qrnn.data.multi30k import Multi30kConfig, detokenise, multi30k
from qrnn.data.ptb import PtbConfig, ptb

__all__ = [
    "IGNORED",
    "TASKS",
    "Batch",
    "CopyingConfig",
    "DigitsConfig",
    "ImdbConfig",
    "MnistConfig",
    "Multi30kConfig",
    "PtbConfig",
    "Shape",
    "Split",
    "Stream",
    "Task",
    "TaskConfig",
    "TaskData",
    "copying",
    "detokenise",
    "digits",
    "imdb",
    "loader",
    "mnist",
    "multi30k",
    "ptb",
    "task",
]
