"""The circuit of the quantum-neuron cell, as PennyLane quantum functions.

The neurons' nonlinearity is a measurement that projects an ancilla on 0. The same functions run on
simulators, which renormalise the state, and on hardware, which discards the other shots.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import pennylane as qml

from qrnn.neurons.definition import BIAS, Definition, Neuron, Weights


def apply_neuron(definition: Definition, weights: Weights, neuron: Neuron) -> None:
    """Queue one neuron; its ancillas are 0 before and after.

    Order 1 rotates an ancilla by 2 eta(s), applies a controlled -iY = RY(pi) from it to the target,
    undoes the rotation and projects the ancilla on 0. Order k replaces the rotation by a neuron of
    order k - 1 on ancilla k, which is then the control.
    """
    lanes = [*definition.ancillas, neuron.target]
    controls = definition.controls(neuron.target)
    theta, phi = weights.theta[neuron.row], weights.phi[neuron.row]

    def rotate(sign: int) -> None:
        qml.RY(sign * (BIAS + theta), wires=lanes[0])
        for i, subset in enumerate(definition.subsets):
            rotation = qml.RY(sign * phi[i], wires=lanes[0])
            qml.ctrl(rotation, control=[controls[j] for j in subset])

    def turn(level: int, sign: int) -> None:
        if level == 0:
            rotate(1)
        else:
            turn(level - 1, 1)
        qml.CRY(sign * pi, wires=[lanes[level], lanes[level + 1]])
        if level == 0:
            rotate(-1)
        else:
            turn(level - 1, -1)
        # No reset: the postselected ancilla is 0.
        qml.measure(lanes[level], postselect=0)

    turn(definition.order - 1, 1)


def apply_step(definition: Definition, weights: Weights, value: int) -> None:
    """Queue one step with an input of 0..2^io-1, without the final measurement of in/out."""
    flip(definition, value, pi)
    for layer, neurons in enumerate(definition.work_layers):
        if layer:
            for i, wire in enumerate(definition.workspace_wires):
                qml.RY(weights.rotation[layer - 1, i], wires=wire)
        for neuron in neurons:
            apply_neuron(definition, weights, neuron)
    flip(definition, value, -pi)
    for neuron in definition.output_layer:
        apply_neuron(definition, weights, neuron)


def flip(definition: Definition, value: int, angle: float) -> None:
    """Queue the flips that write a value to in/out (angle pi), or that undo them (angle -pi)."""
    # Rotations, not X: circuits for all inputs have the same structure and are transpiled once.
    for wire, bit in zip(definition.io_wires, definition.bits(value), strict=True):
        qml.RY(angle * bit, wires=wire)


def project(definition: Definition, value: int) -> None:
    """Queue the projection of in/out on a value, and a reset."""
    for wire, bit in zip(definition.io_wires, definition.bits(value), strict=True):
        qml.measure(wire, reset=True, postselect=bit)


def apply_steps(
    definition: Definition, weights: Weights, inputs: Sequence[int], outcomes: Sequence[int]
) -> None:
    """Queue t steps from |0...0>, without the last step's measurement of in/out.

    Args:
        definition: the cell.
        weights: its parameters.
        inputs: inputs of all t steps.
        outcomes: values on which in/out is projected after each of the first t - 1 steps.
    """
    for value, outcome in zip(inputs, outcomes, strict=False):
        apply_step(definition, weights, value)
        project(definition, outcome)
    apply_step(definition, weights, inputs[len(outcomes)])
