"""Bausch's network of quantum neurons, built from a config."""

from __future__ import annotations

from dataclasses import fields

from qrnn.config.models import ModelConfig, QuantumNeuronConfig
from qrnn.devices import DeviceOptions
from qrnn.errors import ConfigError
from qrnn.networks.base import refuse_unread
from qrnn.neurons.rnn import QuantumNeuronRNN


def quantum_neuron(
    config: QuantumNeuronConfig, input_size: int, device: DeviceOptions
) -> QuantumNeuronRNN:
    """Build the network of a configuration; `input_size` is the size of the vocabulary.

    Raises:
        ConfigError: there are several layers or directions, keys of an embedding or a head are set,
            or there are too few in/out qubits for the tokens.
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
