"""Recurrent networks with as many parameters as the trained one, trained in the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import torch

from qrnn.config import TrainConfig
from qrnn.data import Shape
from qrnn.devices import DeviceOptions
from qrnn.errors import ConfigError
from qrnn.models.base import Model
from qrnn.models.build import build_model
from qrnn.networks import NETWORKS, ModelConfig, solve_width
from qrnn.utils.registry import unknown_name

FOLDER = "baselines"
SHARED = [one.name for one in fields(ModelConfig) if one.name not in ("name", "budget")]


def check_baselines(names: Sequence[str], model: str, processes: int) -> None:
    """Check the names of the baselines.

    Args:
        names: `trainer.baselines`.
        model: name of the network that is trained.
        processes: `trainer.processes`.

    Raises:
        ConfigError: a name is unknown, given twice or the trained network's own, or several
            processes share the training.
    """
    for name in names:
        if name not in NETWORKS:
            raise unknown_name("trainer.baselines", name, NETWORKS)
    if model in names or len(set(names)) < len(names):
        raise ConfigError(
            f"trainer.baselines must name different networks, others than model {model}, got "
            f"{list(names)}"
        )
    if names and processes > 1:
        raise ConfigError(
            f"trainer.baselines must be empty with trainer.processes={processes}, got "
            f"{list(names)}: train them as runs of their own, with model.budget"
        )


def baseline_configs(config: TrainConfig, model: Model, shape: Shape) -> dict[str, TrainConfig]:
    """Return the configuration of each baseline, by its name.

    Embedding, head, number of layers and trainer are those of the trained model; the width is the
    one whose number of recurrent parameters is nearest to the model's.

    Args:
        config: the configuration of the training.
        model: the model that it trains.
        shape: sizes and kind of the task's inputs and labels.

    Raises:
        ConfigError: a network cannot learn the task, or does not read one of the shared keys.
    """
    networks = len(model.networks())  # encoder and decoder have the budget each
    size = config.model.embedding if shape.tokens else shape.input_size
    found = {}
    for name in config.trainer.baselines:
        options = NETWORKS[name].schema(**{key: getattr(config.model, key) for key in SHARED})
        options.budget = max(1, round(model.recurrent_parameters() / networks))
        if NETWORKS[name].tokens:
            raise ConfigError(f"trainer.baselines must name networks with a head, got {name}")
        found[name] = replace(
            config,
            model=solve_width(options, size, DeviceOptions(), tolerance=math.inf),
            device=DeviceOptions(),
            trainer=replace(config.trainer, baselines=[]),
            resume=None,
        )
        with torch.random.fork_rng(devices=[]):
            build_model(found[name], shape)  # it fails here, not after the training of the model
    return found


def baseline_folder(run_dir: str | Path, name: str) -> Path:
    """Return the folder of a baseline within that of the run."""
    return Path(run_dir) / FOLDER / name
