"""The hybrid network of this framework: `QRNN`, built from a config."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from omegaconf import OmegaConf

from qrnn.cell.cell import QRNNCell
from qrnn.cell.rnn import QRNN
from qrnn.circuit import ansatz as ansaetze
from qrnn.devices import DeviceOptions
from qrnn.networks.base import ModelConfig, network
from qrnn.utils.checks import positive
from qrnn.utils.defaults import default_of


@dataclass
class HybridConfig(ModelConfig):
    """The hybrid cell and its controller; None: the ansatz's default.

    Attributes:
        name: `hybrid`.
        n_qubits: number of qubits n.
        ansatz: name of a registered ansatz.
        layers: number of layers of the ansatz.
        rotations: rotations of a layer, in order; ansatz `rotations` only.
        entangler: two-qubit gate of a layer; ansatz `rotations` only.
        topology: `line`, `ring`, `all` or a list of pairs; ansatz `rotations` only.
        readout: letters of XYZ on every qubit, `XX`, `YY` or `ZZ` on coupled pairs, several of
            these joined by `+`, or a list of Pauli words.
        readout_mode: `expval`, or `measure`: mid-circuit, through an ancilla.
        readout_angle: angle of the ancilla's controlled RY, radians; `measure` only.
        controller: `linear`, `relu`, `gelu` or `glu`.
        width: units per hidden layer of the controller.
        depth: number of hidden layers of the controller.
        dropout: dropout probability after each hidden layer.
        feedback: whether the controller reads the last readouts.
        feedback_readout: the readout set that the controller reads; `readout` must begin with it.
            None: all readouts.
        bias_range: the bias is initialised uniformly in [-bias_range, bias_range], radians; see
            `QRNNCell`.
        output_lr: learning rate of the bias and the controller's last layer, relative to the other
            parameters: their changes act on the state again at each of T steps.
        readout_shots: during training, add the noise of this many shots to exact readouts.
        readout_depolarizing: during training, shrink exact readouts by this fraction.
    """

    name: str = "hybrid"
    n_qubits: int = 6
    ansatz: str = default_of(QRNNCell, "ansatz")
    layers: int = default_of(ansaetze.rotations, "layers")
    rotations: list[str] | None = None
    entangler: str | None = None
    topology: Any = None
    readout: Any = default_of(QRNNCell, "readout")
    readout_mode: str = default_of(QRNNCell, "readout_mode")
    readout_angle: float | None = None
    controller: str = default_of(QRNNCell, "controller")
    width: int = default_of(QRNNCell, "width")
    depth: int = default_of(QRNNCell, "depth")
    dropout: float = default_of(QRNNCell, "dropout")
    feedback: bool = default_of(QRNNCell, "feedback")
    feedback_readout: Any = None
    bias_range: float = default_of(QRNNCell, "bias_range")
    output_lr: float = 1.0
    readout_shots: int | None = None
    readout_depolarizing: float = default_of(QRNNCell, "readout_depolarizing")

    def cell_options(self) -> dict[str, Any]:
        """Return the keyword arguments of `QRNNCell`, without the input size."""
        shared = {field.name for field in fields(ModelConfig)} | {"output_lr"}
        options = {k: v for k, v in vars(self).items() if v is not None and k not in shared}
        for name in ("topology", "readout", "rotations", "feedback_readout"):
            if OmegaConf.is_config(options.get(name)):
                options[name] = OmegaConf.to_container(options[name])
        return options


@network(HybridConfig, width="width")
def hybrid(config: HybridConfig, input_size: int, device: DeviceOptions) -> QRNN:
    """Build the network of a configuration."""
    output_lr = positive("model.output_lr", config.output_lr)
    rnn = QRNN(
        input_size,
        num_layers=config.num_layers,
        bidirectional=config.bidirectional,
        batch_first=True,
        device=device,
        **config.cell_options(),
    )
    cells: Any = rnn.cells
    for cell in cells:
        for parameter in (*cell.controller[-1].parameters(), cell.quantum.bias):
            parameter.lr_scale = output_lr  # read by the trainer
    return rnn
