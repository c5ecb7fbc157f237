"""Train one step on one batch in so many processes: python ddp_run.py FOLDER PROCESSES."""

import sys

import torch

from qrnn.config import TrainConfig, TrainerConfig
from qrnn.data import DigitsConfig
from qrnn.data.base import TaskData
from qrnn.data.parts import Split
from qrnn.networks import HybridConfig
from qrnn.training.trainer import train

if __name__ == "__main__":
    folder, processes = sys.argv[1], int(sys.argv[2])
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(64, 5, 8, generator=generator), torch.arange(64) % 10
    split = Split(x, y)
    config = TrainConfig(
        task=DigitsConfig(),
        model=HybridConfig(n_qubits=3, width=8),
        trainer=TrainerConfig(
            epochs=1, batch_size=64, schedule="constant", progress=False, processes=processes
        ),
    )
    train(config, folder, data=TaskData(split, split, split, tuple(map(str, range(10)))))
