"""Data sets: loaders and the tasks made of them."""

from qrnn.data.base import TASKS, Split, Task, TaskConfig, TaskData, loader, task
from qrnn.data.digits import DigitsConfig, digits
from qrnn.data.mnist import MnistConfig, mnist

__all__ = [
    "TASKS",
    "DigitsConfig",
    "MnistConfig",
    "Split",
    "Task",
    "TaskConfig",
    "TaskData",
    "digits",
    "loader",
    "mnist",
    "task",
]
