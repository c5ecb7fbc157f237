"""What a model is trained for: the loss of its outputs, and how they become answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch.nn import functional
from typing_extensions import override

from qrnn.data.parts import IGNORED
from qrnn.errors import ConfigError
from qrnn.utils.registry import unknown_name

LOSSES = ("mse", "mae", "huber", "quantile")
LABEL_LOSSES = ("cross_entropy", "squared")
MEDIAN = 0.5


@dataclass(frozen=True)
class Objective(ABC):
    """What a model is trained for."""

    name: ClassVar[str]
    lower_is_better: ClassVar[bool]

    @property
    @abstractmethod
    def shown(self) -> str:
        """The metric that training shows beside the loss, of `SHOWN`."""

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Number of outputs of the head, for a sequence or a step."""

    @abstractmethod
    def asked(self, outputs: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the outputs and targets of what is asked for.

        Args:
            outputs: of the head, (B, C) or (B, T, C).
            y: targets of sequences or steps.

        Returns:
            outputs (M, C) and targets (M, ...).
        """

    @abstractmethod
    def losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss of each of what `asked` returned, (M,)."""

    @abstractmethod
    def answers(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return what is predicted: labels (M,), or numbers in their own units, float64."""

    @abstractmethod
    def truth(self, y: torch.Tensor) -> torch.Tensor:
        """Return the targets as `answers` returns the predictions."""

    @abstractmethod
    def measure(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return numbers (M, K) whose means (K) give the metric `shown`; NaN ones do not count."""

    @abstractmethod
    def metric_of(self, means: torch.Tensor) -> torch.Tensor:
        """Return the metric `shown` of the means (K) of all that `measure` returned."""

    @abstractmethod
    def squared(self) -> Self:
        """Return the same with the squared error as its loss, whose least is a linear system.

        Raises:
            ConfigError: it has another loss.
        """

    @abstractmethod
    def least_squares(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss as a weighted square: losses are (weights (outputs - targets)^2).sum(1).

        Args:
            y: targets that `asked` returned, (M, ...), of an objective that `squared` returned.

        Returns:
            targets and weights (M, C), the weight 0 where there is no target.
        """

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, for a checkpoint."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {"name": self.name, **values}


@dataclass(frozen=True)
class Labels(Objective):
    """One of C labels.

    Attributes:
        n_classes: number of labels C.
        weights: of the labels in the loss (C); empty: all alike.
        loss: `cross_entropy` (nats), or `squared`: the mean over the C outputs of the squared
            difference from 1 for the label and 0 for all others. The outputs are then scores,
            not logits, and give no probabilities.

    Raises:
        ConfigError: an unknown loss.
    """

    name: ClassVar[str] = "labels"
    lower_is_better: ClassVar[bool] = False

    n_classes: int
    weights: tuple[float, ...] = ()
    loss: str = LABEL_LOSSES[0]

    def __post_init__(self) -> None:
        if self.loss not in LABEL_LOSSES:
            raise unknown_name("loss of labels", self.loss, LABEL_LOSSES)

    @property
    def has_probabilities(self) -> bool:
        """Whether the softmax of the outputs are probabilities."""
        return self.loss == LABEL_LOSSES[0]

    @property
    @override
    def shown(self) -> str:
        return "accuracy"

    @property
    @override
    def n_outputs(self) -> int:
        return self.n_classes

    @override
    def asked(self, outputs: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if y.ndim > 1:  # after the last label of a batch nothing is asked for
            outputs = outputs[:, : y.shape[1]]
        wanted = y.flatten() != IGNORED
        return outputs.flatten(0, -2)[wanted], y.flatten()[wanted]

    @override
    def losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.has_probabilities:
            found = functional.cross_entropy(outputs, y, reduction="none")
        else:
            found = (outputs - functional.one_hot(y, self.n_classes)).square().mean(-1)
        return found * outputs.new_tensor(self.weights)[y] if self.weights else found

    @override
    def answers(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.argmax(-1)

    @override
    def truth(self, y: torch.Tensor) -> torch.Tensor:
        return y

    @override
    def measure(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (outputs.argmax(-1) == y).float()[:, None]

    @override
    def metric_of(self, means: torch.Tensor) -> torch.Tensor:
        return means.mean()

    @override
    def squared(self) -> Self:
        return replace(self, loss="squared")

    @override
    def least_squares(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        targets = functional.one_hot(y, self.n_classes).double()
        each = targets.new_tensor(self.weights or [1.0] * self.n_classes)[y] / self.n_classes
        return targets, each[:, None].expand_as(targets)


@dataclass(frozen=True)
class Numbers(Objective):
    """Numbers: K targets at each of H steps, or K at each step of the input (H = 1).

    Targets that are NaN are not asked for. The model learns scaled targets,
    (y - offset) / scale; predictions are in the targets' own units. Training shows the RMSE of one
    target, and of several the mean of their NRMSE, since their units may differ.

    Attributes:
        targets: names of the K targets.
        horizon: number of steps H.
        loss: `mse`, `mae`, `huber` (of threshold 1, scaled) or `quantile` (pinball).
        quantiles: to predict, ascending, each in (0, 1); of the loss `quantile` only.
        offset: of each target (K); empty: 0.
        scale: of each target (K); empty: 1.

    Raises:
        ConfigError: an unknown loss, or quantiles that do not fit it.
    """

    name: ClassVar[str] = "numbers"
    lower_is_better: ClassVar[bool] = True

    targets: tuple[str, ...]
    horizon: int = 1
    loss: str = "mse"
    quantiles: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise unknown_name("task.loss", self.loss, LOSSES)
        given = list(self.quantiles)
        if (self.loss == "quantile") != bool(given):
            raise ConfigError(
                f"task.quantiles must be given with task.loss=quantile, and only there, got "
                f"{given} with {self.loss}: try task.loss=quantile task.quantiles=[0.1,0.5,0.9]"
            )
        if given and (given != sorted(set(given)) or not 0 < given[0] <= given[-1] < 1):
            raise ConfigError(f"task.quantiles must ascend within (0, 1), got {given}")
        if given and MEDIAN not in given:
            raise ConfigError(f"task.quantiles must hold {MEDIAN}, the prediction, got {given}")

    @property
    @override
    def shown(self) -> str:
        return "rmse" if len(self.targets) == 1 else "nrmse"

    @property
    @override
    def n_outputs(self) -> int:
        return self.horizon * len(self.targets) * max(1, len(self.quantiles))

    def _unscaled(self, values: torch.Tensor) -> torch.Tensor:
        """Return scaled values (..., K, Q) in the targets' units, float64."""
        scale, offset = self.scaling(values)
        return values * scale[:, None] + offset[:, None]

    def scaling(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale and offset (K), float64: in float32 a large offset would round values."""
        n, kind = len(self.targets), torch.float64
        return (
            like.new_tensor(self.scale or [1] * n, dtype=kind),
            like.new_tensor(self.offset or [0] * n, dtype=kind),
        )

    @property
    def _median(self) -> int:
        """The place of the prediction among the sorted quantiles."""
        return self.quantiles.index(MEDIAN) if self.quantiles else 0

    def _shaped(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return outputs (M, C) as (M, H, K, Q)."""
        return outputs.unflatten(-1, (self.horizon, len(self.targets), max(1, len(self.quantiles))))

    @override
    def asked(self, outputs: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if outputs.ndim > 2:  # of steps: without those that only pad
            y = y[:, : outputs.shape[1]]
        outputs, y = outputs.flatten(0, -2), y.reshape(-1, self.horizon, len(self.targets))
        wanted = ~y.isnan().flatten(1).all(1)
        return outputs[wanted], y[wanted]

    @override
    def losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        known = ~y.isnan()
        found, y = self._shaped(outputs), torch.where(known, y, 0.0)
        if self.loss == "quantile":
            levels = found.new_tensor(self.quantiles)
            errors = y[..., None] - found
            each = torch.maximum(levels * errors, (levels - 1) * errors).mean(-1)
        else:
            functions: dict[str, Callable[..., torch.Tensor]] = {
                "mse": functional.mse_loss,
                "mae": functional.l1_loss,
                "huber": functional.huber_loss,
            }
            each = functions[self.loss](found[..., 0], y, reduction="none")
        return (each * known).flatten(1).sum(1) / known.flatten(1).sum(1)

    @override
    def answers(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the predictions (M, H, K)."""
        return self.levels(outputs)[..., self._median]

    def repeated(self, values: torch.Tensor) -> torch.Tensor:
        """Return one value for each target (..., K) as outputs (..., C), all steps alike."""
        shape = (*values.shape[:-1], self.horizon, values.shape[-1], max(1, len(self.quantiles)))
        return values[..., None, :, None].expand(shape).flatten(-3)

    def levels(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return all quantiles (M, H, K, Q) in the targets' units, sorted so that none cross."""
        return self._unscaled(self._shaped(outputs)).sort(-1).values

    @override
    def truth(self, y: torch.Tensor) -> torch.Tensor:
        scale, offset = self.scaling(y)
        return y * scale + offset

    @override
    def measure(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.shown == "rmse":
            return (self.answers(outputs) - self.truth(y)).square().flatten(0, 1)
        # Of scaled numbers, which have the same NRMSE: errors, and the moments of the truth.
        found = self._shaped(outputs).sort(-1).values[..., self._median].double()
        truth = y.double()
        return torch.cat([(found - truth).square(), truth, truth.square()], -1).flatten(0, 1)

    @override
    def metric_of(self, means: torch.Tensor) -> torch.Tensor:
        if self.shown == "rmse":
            return means.sqrt().nanmean()
        errors, mean, square = means.unflatten(0, (3, -1))
        variance = square - mean.square()
        # Of a target that does not vary there is none.
        return torch.where(variance > 0, errors / variance, torch.nan).sqrt().nanmean()

    @override
    def squared(self) -> Self:
        if self.loss != "mse":
            raise ConfigError(f"task.loss must be mse for a closed form, got {self.loss}")
        return self

    @override
    def least_squares(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = y.flatten(1).double()
        known = (~y.isnan()).double()
        return y.nan_to_num(), known / known.sum(1, keepdim=True)


SHOWN = ("accuracy", "rmse", "nrmse")
"""The metrics that training shows beside the loss."""

OBJECTIVES: dict[str, type[Objective]] = {"labels": Labels, "numbers": Numbers}


def objective_from(plain: Mapping[str, Any]) -> Objective:
    """Return the objective of plain values, as a checkpoint holds them.

    Raises:
        ConfigError: they are not such values.
    """
    given = dict(plain)
    kind = OBJECTIVES.get(given.pop("name", ""))
    try:
        if kind is None:
            raise TypeError(f"the name must be one of {', '.join(OBJECTIVES)}")
        values = {
            k: tuple(v) if isinstance(v, Sequence) and not isinstance(v, str) else v
            for k, v in given.items()
        }
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"an objective cannot be read: {error}") from error
