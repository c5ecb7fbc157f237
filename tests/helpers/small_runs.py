"""Training runs of a second each, for the tests of training and of resuming."""

from dataclasses import replace

from qrnn.config import TrainConfig, TrainerConfig
from qrnn.data import DigitsConfig, TaskData, digits
from qrnn.networks import HybridConfig
from qrnn.training.history import history

SMALL = HybridConfig(n_qubits=3, width=8, dropout=0.1)


def config(**trainer) -> TrainConfig:
    options = {"epochs": 4, "batch_size": 32, "schedule": "constant", "progress": False} | trainer
    return TrainConfig(task=DigitsConfig(), model=SMALL, trainer=TrainerConfig(**options))


def small_digits() -> TaskData:
    whole = digits(DigitsConfig())
    return replace(whole, train=whole.train.head(160), val=whole.val.head(60))


def losses(run_dir):
    return [value for _, value in history(run_dir)["train/loss"]]
