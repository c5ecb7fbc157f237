"""The cell applied to whole sequences, with the conventions of `torch.nn.RNN`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from qrnn.cell.cell import QRNNCell, QRNNState
from qrnn.cell.checks import either
from qrnn.cell.layouts import backwards, over_time
from qrnn.cell.on_device import OnDevice
from qrnn.cell.sizes import n_qubits_of
from qrnn.cell.torch_names import layers_of, refuse_torchs
from qrnn.config.device_table import device_spec
from qrnn.config.models import HybridConfig
from qrnn.devices import DeviceOptions, open_device
from qrnn.errors import ConfigError
from qrnn.utils.checks import flag, probability, shown, whole
from qrnn.utils.hub import Pretrained, as_plain
from qrnn.utils.limits import MOST_LAYERS, limit_allocations
from qrnn.utils.private import published
from qrnn.utils.rows import Rows
from qrnn.utils.weights import check_weights, errors_about


@dataclass(frozen=True)
class QRNNStates(Rows):
    """The hidden states of a network of several cells.

    Attributes:
        cells: the state of each cell, layer by layer, forward before backward.
        directions: number of cells per layer.
    """

    cells: tuple[QRNNState, ...]
    directions: int

    @property
    def z(self) -> torch.Tensor:
        """The last readouts of the last layer (B, directions R)."""
        return torch.cat([state.z for state in self.cells[-self.directions :]], 1)

    def detach(self) -> QRNNStates:
        """Return the states detached from the autograd graph (truncated backpropagation)."""
        return QRNNStates(tuple(state.detach() for state in self.cells), self.directions)

    def select(self, rows: torch.Tensor) -> QRNNStates:
        """Return the states of some sequences, by their indices (K,); one may be repeated."""
        return QRNNStates(tuple(state.select(rows) for state in self.cells), self.directions)


Together = Callable[[Sequence[Callable[[], Any]]], list[Any]]
"""Runs calls that do not depend on each other; see `Device.together`."""


def one_by_one(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Return what calls return."""
    return [call() for call in calls]


class StackedCells(OnDevice):
    """Cells in layers and directions, applied along time.

    Args:
        build: returns a cell for a number of input features; it has `sequence` and `n_readouts`.
        input_size: number of input features D.
        num_layers: number of layers; each reads the outputs of the one below.
        bidirectional: whether each layer has a second cell, which reads the sequence backwards.
        batch_first: whether sequences are (B, T, D) instead of (T, B, D).
        dropout: dropout probability of the outputs of each layer but the last.

    Raises:
        ConfigError: there is no layer, or dropout with a single one.
    """

    dropout = 0.0  # of modules that an older version saved

    def __init__(
        self,
        build: Callable[[int], nn.Module],
        input_size: int,
        num_layers: int,
        bidirectional: bool,
        batch_first: bool,
        dropout: float = 0.0,
    ):
        super().__init__()
        num_layers = whole("num_layers", num_layers, 1)
        self.directions = 2 if flag("bidirectional", bidirectional) else 1
        self.batch_first = flag("batch_first", batch_first)
        self.dropout = probability("dropout", dropout)
        if self.dropout and num_layers == 1:
            raise ConfigError(
                f"dropout acts between layers, as in torch.nn.RNN, got dropout={dropout} with "
                f"num_layers=1: add a layer, or use controller_dropout"
            )
        self.cells = nn.ModuleList()
        for _ in range(num_layers):
            for _ in range(self.directions):
                self.cells.append(build(input_size))
            input_size = self.output_size

    @property
    def cell(self) -> QRNNCell:
        """The first cell, often the only one."""
        return self.cells[0]  # type: ignore[return-value]

    @property
    def input_size(self) -> int:
        """Number of input features D."""
        return self.cell.input_size

    @property
    def hidden_size(self) -> int:
        """Number of outputs of a layer in one direction, as in `torch.nn.RNN`: its readouts R."""
        return self.cell.n_readouts

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.cells) // self.directions

    @property
    def bidirectional(self) -> bool:
        """Whether each layer has a second cell, which reads the sequence backwards."""
        return self.directions == 2

    @property
    def output_size(self) -> int:
        """Number of outputs of a layer, over both directions."""
        return self.directions * self.hidden_size

    def flatten_parameters(self) -> None:
        """Do nothing: as in `torch.nn.RNN`, where it packs weights for cuDNN; here none are."""

    def extra_repr(self) -> str:
        """Return the options, for `print(rnn)`."""
        shown = [f"input_size={self.input_size}", f"hidden_size={self.hidden_size}"]
        defaults = {"num_layers": 1, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        given = {name: getattr(self, name) for name in defaults}
        shown += [f"{name}={value}" for name, value in given.items() if value != defaults[name]]
        return ", ".join(shown)

    def forward(
        self,
        input: torch.Tensor | PackedSequence | None = None,
        hx: QRNNState | QRNNStates | None = None,
        lengths: torch.Tensor | None = None,
        *,
        x: torch.Tensor | PackedSequence | None = None,
        state: QRNNState | QRNNStates | None = None,
    ) -> tuple[torch.Tensor | PackedSequence, QRNNState | QRNNStates]:
        """Run the network on sequences.

        Args:
            input: inputs; see the class for shapes.
            hx: state of the same sequences from an earlier call; None: |0...0>.
            lengths: (B,) number of steps of each sequence, at least 1; later steps are padding,
                which does not change the state; its z is 0.
            x: another name of `input`.
            state: another name of `hx`.

        Returns:
            z of all steps, and the state after each sequence's last step.

        Raises:
            ConfigError: the input has the wrong shape, or lengths do not match it.
        """
        sequences = either("input", input, "x", x)
        if sequences is None:
            raise ConfigError("input must be a tensor or a PackedSequence, got None")
        begun = either("hx", hx, "state", state)
        size = self.input_size
        return over_time(self._steps, sequences, begun, lengths, self.batch_first, size)

    def _steps(
        self,
        x: torch.Tensor,
        state: QRNNState | QRNNStates | None,
        lengths: torch.Tensor | None,
        active: torch.Tensor | None,
    ) -> tuple[torch.Tensor, QRNNState | QRNNStates]:
        """Run x (T, B, D) through all layers; return z (T, B, R) and the last state."""
        if state is None:
            states: list[QRNNState | None] = [None] * len(self.cells)
        else:
            states = list(state.cells) if isinstance(state, QRNNStates) else [state]
        directions = state.directions if isinstance(state, QRNNStates) else 1
        if state is not None and (len(states), directions) != (len(self.cells), self.directions):
            own = layers_of(len(self.cells), self.directions)
            raise ConfigError(
                f"state must be from this network's {own}, got one of "
                f"{layers_of(len(states), directions)}: start from None"
            )
        device = getattr(self.cell, "device", None)
        if device is not None and device.spec.submits_jobs and not torch.is_grad_enabled():
            together = device.together
            if self.directions == 1 and len(self.cells) > 1:
                return self._in_waves(x, states, active, together)
        else:
            together = one_by_one
        after = []
        for first in range(0, len(self.cells), self.directions):
            if first:
                x = self._between(x)
                if active is not None:  # mask the padding for the next layer
                    x = x.masked_fill(~active[:, :, None], 0)
            inputs = [x] if self.directions == 1 else [x, backwards(x, lengths)]
            calls = [
                partial(self._sequence, first + k, one, states[first + k], active)
                for k, one in enumerate(inputs)
            ]
            found = together(calls)
            after += [state for _, state in found]
            z = found[0][0]
            if self.directions == 2:
                z = torch.cat([z, backwards(found[1][0], lengths)], 2)
            x = z
        return x, after[0] if len(after) == 1 else QRNNStates(tuple(after), self.directions)

    def _between(self, z: torch.Tensor) -> torch.Tensor:
        """Return the inputs of a layer for the outputs of the one below."""
        return nn.functional.dropout(z, self.dropout, self.training) if self.dropout else z

    def _sequence(self, cell: int, *arguments: Any) -> tuple[torch.Tensor, QRNNState]:
        return self.cells[cell].sequence(*arguments)  # type: ignore[operator]

    def _in_waves(
        self,
        x: torch.Tensor,
        states: list[QRNNState | None],
        active: torch.Tensor | None,
        together: Together,
    ) -> tuple[torch.Tensor, QRNNStates]:
        """Run L layers at the same time, each a step behind the one below: T + L - 1 rounds.

        Args:
            x: inputs (T, B, D).
            states: of each layer.
            active: (T, B) bool, or None.
            together: see `Device.together`.
        """
        z: list[list[torch.Tensor]] = [list(x.unbind()), *([] for _ in self.cells)]
        for wave in range(len(x) + len(self.cells) - 1):
            layers = [k for k in range(len(self.cells)) if 0 <= wave - k < len(x)]
            calls = []
            for k in layers:
                t = wave - k
                now = None if active is None else active[t : t + 1]
                below = self._between(z[k][t][None]) if k else z[k][t][None]
                if k and now is not None:
                    below = below.masked_fill(~now[:, :, None], 0)
                calls.append(partial(self._sequence, k, below, states[k], now))
            for k, (found, state) in zip(layers, together(calls), strict=True):
                z[k + 1].append(found[0])
                states[k] = state
        after = tuple(state for state in states if state is not None)
        return torch.stack(z[-1]), QRNNStates(after, 1)


class QRNN(StackedCells, Pretrained):
    """`QRNNCell`s applied along time, with the names of `torch.nn.RNN`.

    Only the second argument differs: by position, it is the number of qubits, which sets the size
    of the quantum state. `hidden_size`, by keyword, is what it is in torch, the number of outputs
    of a layer in one direction, here of readouts: three for each qubit with `readout="XYZ"`.

    Args:
        input_size: number of input features D.
        n_qubits: number of qubits n of each cell; None: that of `hidden_size` readouts.
        hidden_size: number of readouts R of each cell; None: that of `n_qubits` qubits. If both
            are given, they must fit.
        num_layers: number of layers; each reads the readouts of the one below.
        bidirectional: whether each layer has a second cell, which reads the sequence backwards.
        batch_first: whether sequences are (B, T, D) instead of (T, B, D).
        dropout: dropout probability of the readouts between layers.
        controller_dropout: dropout probability in the controllers; `dropout` of `QRNNCell`.
        **cell_options: see `QRNNCell`.

    Shape:
        x (T, B, D), or (T, D) for one sequence, or a PackedSequence; z has the same shape with
        `output_size` (R, or 2R if bidirectional) instead of D.

    Raises:
        ConfigError: there is no layer, dropout with a single one, or no number of qubits has
            `hidden_size` readouts; see also `QRNNCell`.

    Examples:
        >>> rnn = QRNN(8, n_qubits=4, batch_first=True)
        >>> z, state = rnn(torch.rand(2, 5, 8))
        >>> z.shape
        torch.Size([2, 5, 12])
        >>> QRNN(8, hidden_size=12).cell.circuit.n_wires
        4
    """

    def __init__(
        self,
        input_size: int,
        n_qubits: int | None = None,
        *,
        hidden_size: int | None = None,
        num_layers: int = 1,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        controller_dropout: float = HybridConfig.dropout,
        **cell_options,
    ):
        self._arguments: dict[str, Any] = {
            "input_size": input_size,
            "n_qubits": n_qubits,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "bidirectional": bidirectional,
            "batch_first": batch_first,
            "dropout": dropout,
            "controller_dropout": controller_dropout,
            **{
                name: deepcopy(value) if isinstance(value, list | tuple | dict) else value
                for name, value in cell_options.items()
                if name != "device"
            },
        }
        refuse_torchs(cell_options)
        if "device" in cell_options:  # opened once for all cells
            cell_options["device"] = open_device(cell_options["device"])
        n = n_qubits_of(n_qubits, hidden_size, cell_options)

        def build(size: int) -> QRNNCell:
            return QRNNCell(size, n, dropout=controller_dropout, **cell_options)

        super().__init__(build, input_size, num_layers, bidirectional, batch_first, dropout)
        if hidden_size is not None and hidden_size != self.hidden_size:
            raise ConfigError(
                f"hidden_size must be the number of readouts, {self.hidden_size} of {n} qubits, "
                f"got {hidden_size}: give hidden_size or n_qubits alone"
            )

    def _saved(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return the arguments, with the device and the readout that it has now."""
        device, measured = self.cell.device, self.cell.circuit.measured
        if device.spec.submits_jobs:
            raise ConfigError(
                f"a network must be on a simulator to be saved, got {device.name}: use .on('fused')"
            )
        options = {
            **self._arguments,
            "batch_first": self.batch_first,
            "dropout": self.dropout,
            "device": {"name": device.name, **device.options.given()},
            "readout_mode": "expval" if measured is None else "measure",
            "readout_angle": None if measured is None else measured.angle,
        }
        plain = {name: as_plain(name, value) for name, value in options.items()}
        again = QRNN._built(plain)
        if repr(again.cells) != repr(self.cells):
            raise ConfigError(
                "a network must be as its arguments make it to be saved, but a part was replaced: "
                "save its state_dict"
            )
        check_weights(self.state_dict(), again.state_dict())
        return {**plain, "device": published(plain["device"])}, self.state_dict()

    @classmethod
    def _rebuilt(
        cls, config: dict[str, Any], weights: dict[str, torch.Tensor], source: str
    ) -> Self:
        with errors_about(source), limit_allocations("the network", "save it again"):
            rnn = cls._built(config)
            check_weights(weights, rnn.state_dict())
        if torch.float64 in {value.dtype for value in weights.values()}:
            rnn.double()
        rnn.load_state_dict(weights)
        return rnn.eval()

    @classmethod
    def _built(cls, arguments: dict[str, Any]) -> Self:
        """Return a network for plain arguments."""
        device, layers = arguments.get("device"), arguments.get("num_layers")
        if not isinstance(device, dict) or not device.keys() <= vars(DeviceOptions()).keys():
            raise ConfigError(f"device must be options by name, got {shown(device)}")
        whole("num_layers", layers, 1, MOST_LAYERS)
        try:
            _check_local(DeviceOptions(**device))
            with torch.random.fork_rng(devices=[]):
                return cls(**{**arguments, "device": DeviceOptions(**device)})
        except (TypeError, ValueError) as error:  # an argument that is not known, or of no use
            raise ConfigError(str(error)) from error


def _check_local(options: DeviceOptions) -> None:
    """Check that loading a network opens no account and writes nowhere.

    Raises:
        ConfigError: the device submits jobs, or an option is of an account or a path.
    """
    if device_spec(options.name).submits_jobs:
        raise ConfigError(f"device must be a simulator, got {options.name}, which submits jobs")
    if private := options.given_where(lambda one: not one.recorded):
        raise ConfigError(f"device must be saved without {', '.join(private)}: leave it out")
