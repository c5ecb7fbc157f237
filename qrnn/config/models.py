"""The `model` group: the keys of each recurrent network, and the names of networks and ansaetze.

The defaults of the cells' own arguments are those of the keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from qrnn.config.tasks import MISSING
from qrnn.utils.registry import Later, Registry


@dataclass
class ModelConfig:
    """The `model` group of the config; each network adds its own keys.

    Attributes:
        name: name of a registered network.
        num_layers: number of stacked layers; each reads the outputs of the one below.
        bidirectional: whether a second network reads each layer's input backwards.
        budget: number of parameters of the recurrent network (encoder and decoder each; without
            embedding and head) to match within 2% by choosing its width, whose own value is then
            not read; None: the width is used as given.
        input_scale: factor for inputs that are not tokens. With optimisers whose step size does not
            depend on the gradient's, weights that read scaled inputs effectively learn faster than
            those that read the state.
        embedding: size of a token's embedding E; token tasks only.
        embedding_dropout: dropout probability after the embedding; token tasks only.
        head_width: units of the head's hidden layer (GELU); None: the head is linear.
        head_norm: whether the head begins with a LayerNorm. Readouts of a random state are as small
            as 2^(-n/2), and without it the head needs thousands of steps to adapt.
        head_dropout: dropout probability before the head.
        pooling: `last` or `mean`: whether the head reads the last outputs, or their mean over all
            steps; tasks with one label or forecast per sequence only.
        skip: whether head and attention also read a step's embedded token directly, as a skip
            connection; language models and translation only.
        residual: `last`: the head predicts the change since the targets' last values, of a
            forecast; `relative`: the network also reads their past as differences from these, for
            series with a trend; None: the values themselves.
        attention: `additive` or `dot`, over the encoder's outputs; translation only.
        frozen: `circuit`: the recurrent network (controller and circuit) and the embedding keep
            their random initial weights, and the head alone is trained, by ridge regression in one
            pass (a reservoir); the keys of the optimiser are not read. None: all is trained.
    """

    name: str = MISSING
    num_layers: int = 1
    bidirectional: bool = False
    budget: int | None = None
    input_scale: float = 1.0
    embedding: int = 64
    embedding_dropout: float = 0.0
    head_width: int | None = None
    head_norm: bool = False
    head_dropout: float = 0.0
    pooling: str = "last"
    skip: bool = False
    residual: str | None = None
    attention: str = "additive"
    frozen: str | None = None


@dataclass(frozen=True)
class NetworkEntry:
    """A registered network.

    Attributes:
        schema: dataclass of its config keys.
        build: function of such a config, the number of input features and `DeviceOptions`; returns
            the network, a torch module.
        width: the key that `budget` determines.
        tokens: whether it reads tokens directly and returns probabilities of the next one, without
            embedding and head; its `input_size` is the size of the vocabulary.
    """

    schema: type[ModelConfig]
    build: Callable[[Any, int, Any], Any]
    width: str
    tokens: bool = False


NETWORKS: Registry[NetworkEntry] = Registry("model", "qrnn.networks")
# By name, functions of the number of qubits and of options that return an `Ansatz`.
ANSAETZE: Registry[Callable[..., Any]] = Registry("ansatz", "qrnn.ansaetze")
for _name in ("rotations", "strongly_entangling", "basic_entangler"):
    ANSAETZE.add(_name, Later("qrnn.circuit.ansatz", _name))

Build = TypeVar("Build", bound=Callable[[Any, int, Any], Any])
Schema = TypeVar("Schema", bound=type[ModelConfig])


def network(
    schema: type[ModelConfig], *, width: str, tokens: bool = False
) -> Callable[[Build], Build]:
    """Register the decorated builder as a network of the same name, with the schema of its keys."""

    def decorate(build: Build) -> Build:
        entry = NetworkEntry(schema, build, width, tokens)
        NETWORKS.add(build.__name__, entry, build.__module__)
        return build

    return decorate


def built_in(module: str, *, width: str, tokens: bool = False) -> Callable[[Schema], Schema]:
    """Register a network of this package by its schema; its module is imported when it is built.

    Args:
        module: where the function is that has the network's name.
        width: see `NetworkEntry`.
        tokens: see `NetworkEntry`.
    """

    def decorate(schema: Schema) -> Schema:
        network(schema, width=width, tokens=tokens)(Later(module, schema.name))
        return schema

    return decorate


@built_in("qrnn.networks.hybrid", width="width")
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
        circuits: number of equal circuits side by side, of n_qubits / circuits qubits each; see
            `QRNNCell`.
        readout: letters of XYZ on every qubit, `XX`, `YY` or `ZZ` on coupled pairs, several of
            these joined by `+`, or a list of Pauli words.
        forget: `gate`, `constant` or `reset`: how the state is damped before each step; see
            `QRNNCell`.
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
    ansatz: str = "rotations"
    layers: int = 2
    rotations: list[str] | None = None
    entangler: str | None = None
    topology: Any = None
    circuits: int = 1
    readout: Any = "XYZ"
    forget: str | None = None
    readout_mode: str = "expval"
    readout_angle: float | None = None
    controller: str = "gelu"
    width: int = 64
    depth: int = 1
    dropout: float = 0.0
    feedback: bool = True
    feedback_readout: Any = None
    bias_range: float = 0.1
    output_lr: float = 1.0
    readout_shots: int | None = None
    readout_depolarizing: float = 0.0

    def cell_options(self) -> dict[str, Any]:
        """Return the keyword arguments of `QRNNCell`, without the input size."""
        from omegaconf import OmegaConf  # not loaded for a cell alone

        shared = {field.name for field in fields(ModelConfig)} | {"output_lr"}
        options = {k: v for k, v in vars(self).items() if v is not None and k not in shared}
        for name in ("topology", "readout", "rotations", "feedback_readout"):
            if OmegaConf.is_config(options.get(name)):
                options[name] = OmegaConf.to_container(options[name])
        return options


@dataclass
class ClassicalConfig(ModelConfig):
    """Torch's recurrent networks.

    Attributes:
        name: `rnn`, `gru` or `lstm`.
        hidden_size: units H per layer and direction; the width that `budget` determines.
        dropout: dropout probability between layers.
    """

    hidden_size: int = 64
    dropout: float = 0.0


@built_in("qrnn.networks.classical", width="hidden_size")
@dataclass
class RNNConfig(ClassicalConfig):
    """`torch.nn.RNN`; see `ClassicalConfig`."""

    name: str = "rnn"


@built_in("qrnn.networks.classical", width="hidden_size")
@dataclass
class GRUConfig(ClassicalConfig):
    """`torch.nn.GRU`; see `ClassicalConfig`."""

    name: str = "gru"


@built_in("qrnn.networks.classical", width="hidden_size")
@dataclass
class LSTMConfig(ClassicalConfig):
    """`torch.nn.LSTM`; see `ClassicalConfig`."""

    name: str = "lstm"


@built_in("qrnn.networks.scornn", width="hidden_size")
@dataclass
class ScoRNNConfig(ModelConfig):
    """The scaled Cayley orthogonal network.

    Attributes:
        name: `scornn`.
        hidden_size: number of units n; the width that `budget` determines.
        negative_share: fraction of -1 on the diagonal of D; in the paper 0.1 for MNIST (17 of 170),
            0.5 for copying (95 of 190).
        skew_lr: learning rate of A, relative to the other parameters.
    """

    name: str = "scornn"
    hidden_size: int = 64
    negative_share: float = 0.1
    skew_lr: float = 0.1


@built_in("qrnn.networks.orthogonal", width="width")
@dataclass
class OrthogonalConfig(ModelConfig):
    """The orthogonal cell and its controller.

    Attributes:
        name: `orthogonal`.
        n_qubits: number n of emulated qubits, for a state of 2^(n+1) real numbers.
        n_angles: angles per step P, at most 2^n; None: 4n, as in the hybrid cell's default circuit,
            or 2^n if that is smaller.
        readout: letters of XYZ, as measured on each of n qubits.
        learned: whether W is learned; if False it stays at its random initial value and only the
            controller is learned, as in the hybrid cell.
        skew_lr: learning rate of W's parameter, relative to the other parameters.
        controller: `linear`, `relu`, `gelu` or `glu`.
        width: units per hidden layer of the controller; the width that `budget` determines.
        depth: number of hidden layers of the controller.
        dropout: dropout probability after each hidden layer.
    """

    name: str = "orthogonal"
    n_qubits: int = 4
    n_angles: int | None = None
    readout: str = "XYZ"
    learned: bool = True
    skew_lr: float = ScoRNNConfig.skew_lr
    controller: str = HybridConfig.controller
    width: int = HybridConfig.width
    depth: int = HybridConfig.depth
    dropout: float = HybridConfig.dropout


@built_in("qrnn.networks.qlstm", width="hidden_size")
@dataclass
class QLSTMConfig(ModelConfig):
    """The LSTM of variational circuits.

    Attributes:
        name: `qlstm`.
        hidden_size: size H of the cell state; the width that `budget` determines.
        n_qubits: qubits n of each circuit.
        depth: layers of each circuit.
        output_circuits: whether two more circuits compute h and the output, as in the paper; if
            False, both are o tanh(c), as in an LSTM.
    """

    name: str = "qlstm"
    hidden_size: int = 16
    n_qubits: int = 4
    depth: int = 2
    output_circuits: bool = True


@built_in("qrnn.networks.data_register", width="layers")
@dataclass
class DataRegisterConfig(ModelConfig):
    """The network with a data and a history register.

    Attributes:
        name: `data_register`.
        n_data: qubits d of the data register.
        n_history: qubits h of the history register.
        layers: layers of the circuit; the width that `budget` determines.
        topology: pairs of RZZ over all d + h qubits: `line`, `ring` or `all`.
    """

    name: str = "data_register"
    n_data: int = 2
    n_history: int = 3
    layers: int = 2
    topology: str = "ring"


@built_in("qrnn.networks.quantum_neuron", width="workspace", tokens=True)
@dataclass
class QuantumNeuronConfig(ModelConfig):
    """The quantum-neuron cell: it reads tokens as bits and returns probabilities of the next one.

    It has no embedding and no head, so their keys must be left out.

    Attributes:
        name: `quantum_neuron`.
        workspace: workspace qubits w; the width that `budget` determines.
        in_out: input/output qubits; None: as many as the task's tokens need.
        stages: stages between input and output.
        order: order k of the neurons, which is also the number of ancillas.
        degree: size d of the largest control subset with its own parameter.
        theta_mean: initial mean of theta, radians; see `QuantumNeuronCell`.
    """

    name: str = "quantum_neuron"
    workspace: int = 5
    in_out: int | None = None
    stages: int = 1
    order: int = 2
    degree: int = 3
    theta_mean: float = 0.0
