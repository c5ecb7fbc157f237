"""scikit-learn's handwritten digits: 1,797 images of 8x8 pixels, without a download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (test part).
"""

from __future__ import annotations

import torch

from qrnn.config.tasks import DigitsConfig
from qrnn.data.base import TaskData
from qrnn.data.parts import Split
from qrnn.data.sources import check_seed


def digits(config: DigitsConfig) -> TaskData:
    """Return the images as 8 steps of one row each (8 grey values in [0, 1]).

    The split into 1,257 training, 180 validation and 360 test images is stratified.

    Raises:
        ConfigError: the seed is out of range.
    """
    check_seed("task.seed", config.seed)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images, labels = bunch.images / 16.0, bunch.target
    rest, test = train_test_split(
        range(len(labels)), test_size=360, stratify=labels, random_state=config.seed
    )
    train, val = train_test_split(
        rest, test_size=180, stratify=labels[rest], random_state=config.seed
    )

    def split(rows: list[int]) -> Split:
        return Split(
            torch.as_tensor(images[rows], dtype=torch.float32),
            torch.as_tensor(labels[rows], dtype=torch.int64),
        )

    return TaskData(split(train), split(val), split(test), tuple("0123456789"), images=True)
