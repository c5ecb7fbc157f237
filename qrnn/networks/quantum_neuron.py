"""Bausch's network of quantum neurons by config."""

from __future__ import annotations

from dataclasses import dataclass, fields

from qrnn.devices import DeviceOptions
from qrnn.errors import ConfigError
from qrnn.networks.base import ModelConfig, network, refuse_unread
from qrnn.neurons.definition import Definition
from qrnn.neurons.rnn import QuantumNeuronRNN
from qrnn.utils.defaults import default_of


@dataclass
class QuantumNeuronConfig(ModelConfig):
    """The quantum-neuron cell: it reads tokens as bits and gives the next one's probabilities.

    There is no embedding and no head, so the keys of these must be left out.

    Attributes:
        name: `quantum_neuron`.
        workspace: workspace qubits w; the width that `budget` solves.
        in_out: qubits that take the input and give the output; None: as many as the task's tokens
            need.
        stages: stages between input and output.
        order: k of the neurons; k ancillas.
        degree: size d of the largest set of control qubits with a parameter of its own.
        theta_mean: mean of theta at the start, radians; see `QuantumNeuronCell`.
    """

    name: str = "quantum_neuron"
    workspace: int = 5
    in_out: int | None = None
    stages: int = Definition.stages
    order: int = Definition.order
    degree: int = Definition.degree
    theta_mean: float = default_of(Definition.start_weights, "theta_mean")


@network(QuantumNeuronConfig, width="workspace", tokens=True)
def quantum_neuron(
    config: QuantumNeuronConfig, input_size: int, device: DeviceOptions
) -> QuantumNeuronRNN:
    """Return the network of a configuration; `input_size` is the number of tokens.

    Raises:
        ConfigError: several layers or directions, keys of an embedding or a head, or too few in/out
            qubits for the tokens.
    """
    if config.num_layers != 1 or config.bidirectional:
        raise ConfigError(
            "model quantum_neuron must have one layer in one direction, got "
            f"num_layers={config.num_layers}, bidirectional={config.bidirectional}: leave them out"
        )
    own = ("name", "budget", "num_layers", "bidirectional")
    others = [key.name for key in fields(ModelConfig) if key.name not in own]
    refuse_unread(config, others, "with model quantum_neuron, which has neither embedding nor head")
    needed = max(1, (input_size - 1).bit_length())
    in_out = needed if config.in_out is None else config.in_out
    if in_out < needed:
        raise ConfigError(
            f"model.in_out must be at least {needed}, for {input_size} tokens, got {in_out}: leave "
            "it out"
        )
    return QuantumNeuronRNN(
        config.workspace,
        in_out,
        stages=config.stages,
        order=config.order,
        degree=config.degree,
        theta_mean=config.theta_mean,
        batch_first=True,
        device=device,
    )
