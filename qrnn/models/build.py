"""Build an untrained model from a configuration."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from qrnn.config import TrainConfig, to_plain
from qrnn.data import KINDS, Labels, Objective, Shape
from qrnn.devices import DeviceOptions, device_spec
from qrnn.errors import ConfigError
from qrnn.models.base import Model
from qrnn.models.identity import made_of
from qrnn.models.next_token import NextToken
from qrnn.models.sequence import SequenceClassifier, SequenceLabeller
from qrnn.models.translation import Translator
from qrnn.networks import NETWORKS, ModelConfig, refuse_unread, solve_width
from qrnn.utils.checks import typed, whole
from qrnn.utils.limits import MOST_LAYERS, limit_allocations, size_remedy
from qrnn.utils.registry import unknown_name

RESIDUALS = (None, "last", "relative")
MAX_BUDGET = 10**8  # the width is found by building


def build_model(
    config: TrainConfig,
    shape: Shape,
    vectors: torch.Tensor | None = None,
    objective: Objective | None = None,
) -> Model:
    """Return the untrained model of a configuration, on its device.

    A device that submits jobs is not opened to build a model, which is then on `fused`.

    Args:
        config: the full configuration.
        shape: sizes and kind of the task's inputs and labels.
        vectors: initial embedding (V, E), pretrained; None: random.
        objective: meaning of the outputs; None: labels.

    Raises:
        ConfigError: a value is out of range, a key is not used by the task, or no width meets the
            budget.
    """
    check_model(config.model)
    with limit_allocations("the model", size_remedy(config.model)):
        model = _build(config, shape, vectors).float()  # like the data, whatever torch's default
    model.objective = objective or Labels(shape.n_classes)
    if config.model.frozen is not None:
        model.objective = model.objective.squared()
    model.made_of = made_of(to_plain(config), asdict(shape))
    return model


def _build(config: TrainConfig, shape: Shape, vectors: torch.Tensor | None) -> Model:
    model, device = config.model, config.device
    if device_spec(device.name).submits_jobs:
        device = DeviceOptions()

    def network(options: ModelConfig, input_size: int) -> Any:
        solved = solve_width(options, input_size, device)
        return NETWORKS[options.name].build(solved, input_size, device)

    if NETWORKS[model.name].tokens:
        if not shape.tokens or shape.kind != "label":
            raise ConfigError(
                f"model {model.name} must have a task of tokens with one label per step, got kind "
                f"{shape.kind}: use task=elman_xor, or another model"
            )
        return NextToken(network(model, max(shape.input_size, shape.n_classes)))
    if shape.kind not in KINDS:
        raise unknown_name("kind", shape.kind, KINDS)
    if KINDS[shape.kind].tokens and not shape.tokens:
        raise ConfigError(f"a task of kind {shape.kind} must have tokens as inputs, got numbers")
    if not shape.tokens:
        refuse_unread(model, ("embedding", "embedding_dropout"), "for inputs that are not tokens")
    else:
        refuse_unread(model, ("input_scale",), "for tokens, which have an embedding")
    if shape.kind != "translate":
        refuse_unread(model, ("attention",), "where nothing is translated")
    per_step = "T" in KINDS[shape.kind].axes
    if model.skip and not shape.tokens:
        raise ConfigError("model.skip must be false for inputs that are not tokens, got true")
    if model.skip and not per_step and shape.kind != "translate":
        raise ConfigError(
            "model.skip must be false for a task with one label per sequence, whose head reads "
            "only the last outputs, got true"
        )
    if model.residual and not shape.n_past:
        raise ConfigError(
            f"model.residual must be null where the targets' past is not an input, got "
            f"{model.residual}: add model.residual=null"
        )
    if model.residual not in RESIDUALS:
        raise ConfigError(f"model.residual must be null, last or relative, got {model.residual}")
    if per_step and model.residual == "relative":
        raise ConfigError(
            "model.residual must be null or last for a task with numbers at each step, got relative"
        )
    skip = model.embedding if model.skip else 0
    if per_step or shape.kind == "translate":
        refuse_unread(model, ("pooling",), "where a sequence has more than one label")
    head = (model.head_dropout, model.head_width, model.head_norm, skip)
    kind = SequenceLabeller if per_step else partial(SequenceClassifier, pooling=model.pooling)
    if not shape.tokens:
        rnn = network(model, shape.input_size)
        scale = Scale(model.input_scale)
        residual = shape.n_past if model.residual else 0
        relative = model.residual == "relative"
        return kind(rnn, shape.n_classes, scale, *head, residual=residual, relative=relative)
    source = embedding(shape.input_size, model, vectors)
    if shape.kind == "translate":
        return Translator(
            network(model, model.embedding),
            network(replace(model, bidirectional=False), model.embedding),
            source,
            embedding(shape.n_classes, model),
            shape.n_classes,
            attention=model.attention,
            dropout=model.head_dropout,
            width=model.head_width,
            norm=model.head_norm,
            skip=skip,
            hands_over=not model.bidirectional,
        )
    rnn = network(model, model.embedding)
    return kind(rnn, shape.n_classes, source, *head)


def check_model(config: ModelConfig) -> None:
    """Check the keys that all models share, and that all numbers are finite.

    The other keys of a network are checked where it is built.

    Raises:
        ConfigError: a value is out of range; the message names the key and the allowed values.
    """
    typed(config, "model")
    for key, value in vars(config).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"model.{key} must be a finite number, got {value}")
    whole("model.num_layers", config.num_layers, 1, MOST_LAYERS)
    if config.frozen not in (None, "circuit"):
        raise ConfigError(f"model.frozen must be null or circuit, got {config.frozen}")
    limits: dict[str, tuple[bool, str]] = {
        "budget": (
            config.budget is None or 1 <= config.budget <= MAX_BUDGET,
            f"null or in 1..{MAX_BUDGET}",
        ),
        "embedding": (config.embedding >= 1, "at least 1"),
        "embedding_dropout": (0 <= config.embedding_dropout < 1, "in [0, 1)"),
        "head_width": (config.head_width is None or config.head_width >= 1, "null or at least 1"),
        "head_dropout": (0 <= config.head_dropout < 1, "in [0, 1)"),
    }
    for key, (holds, allowed) in limits.items():
        if not holds:
            raise ConfigError(f"model.{key} must be {allowed}, got {getattr(config, key)}")


class Scale(nn.Module):
    """Multiplies by a constant."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the product."""
        return x if self.factor == 1 else self.factor * x


def embedding(n_tokens: int, model: ModelConfig, vectors: torch.Tensor | None = None) -> nn.Module:
    """Return an embedding from tokens (B, T) to (B, T, E), followed by dropout.

    Raises:
        ConfigError: the pretrained vectors have another size.
    """
    table = nn.Embedding(n_tokens, model.embedding)
    if vectors is not None:
        if vectors.shape[1] != model.embedding:
            raise ConfigError(
                f"model.embedding must be {vectors.shape[1]}, the size of task.vectors, got "
                f"{model.embedding}"
            )
        table = nn.Embedding.from_pretrained(vectors, freeze=False)
    return nn.Sequential(table, nn.Dropout(model.embedding_dropout))
