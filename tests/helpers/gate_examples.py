"""One example of every gate of the gate set, and of gates that are decomposed into it."""

import pennylane as qml

# Name: (number of parameters, number of wires, quantum function of (parameters, wires)).
# The names without a "via" are those of `qrnn.circuit.gates.GATES`.
GATE_EXAMPLES = {
    "Identity": (0, 1, lambda p, w: qml.Identity(w)),
    "RX": (1, 1, lambda p, w: qml.RX(p[0], w)),
    "RY": (1, 1, lambda p, w: qml.RY(p[0], w)),
    "RZ": (1, 1, lambda p, w: qml.RZ(p[0], w)),
    "PhaseShift": (1, 1, lambda p, w: qml.PhaseShift(p[0], w)),
    "ControlledPhaseShift": (1, 2, lambda p, w: qml.ControlledPhaseShift(p[0], w)),
    "GlobalPhase": (1, 1, lambda p, w: qml.GlobalPhase(p[0], w)),
    "CRX": (1, 2, lambda p, w: qml.CRX(p[0], w)),
    "CRY": (1, 2, lambda p, w: qml.CRY(p[0], w)),
    "CRZ": (1, 2, lambda p, w: qml.CRZ(p[0], w)),
    "IsingXX": (1, 2, lambda p, w: qml.IsingXX(p[0], w)),
    "IsingYY": (1, 2, lambda p, w: qml.IsingYY(p[0], w)),
    "IsingZZ": (1, 2, lambda p, w: qml.IsingZZ(p[0], w)),
    "MultiRZ": (1, 3, lambda p, w: qml.MultiRZ(p[0], w)),
    "Hadamard": (0, 1, lambda p, w: qml.Hadamard(w)),
    "PauliX": (0, 1, lambda p, w: qml.X(w)),
    "PauliY": (0, 1, lambda p, w: qml.Y(w)),
    "PauliZ": (0, 1, lambda p, w: qml.Z(w)),
    "SX": (0, 1, lambda p, w: qml.SX(w)),
    "Adjoint(SX)": (0, 1, lambda p, w: qml.adjoint(qml.SX(w))),
    "S": (0, 1, lambda p, w: qml.S(w)),
    "Adjoint(S)": (0, 1, lambda p, w: qml.adjoint(qml.S(w))),
    "T": (0, 1, lambda p, w: qml.T(w)),
    "Adjoint(T)": (0, 1, lambda p, w: qml.adjoint(qml.T(w))),
    "CZ": (0, 2, lambda p, w: qml.CZ(w)),
    "CCZ": (0, 3, lambda p, w: qml.CCZ(w)),
    "CNOT": (0, 2, lambda p, w: qml.CNOT(w)),
    "Toffoli": (0, 3, lambda p, w: qml.Toffoli(w)),
    "CY": (0, 2, lambda p, w: qml.CY(w)),
    "SWAP": (0, 2, lambda p, w: qml.SWAP(w)),
    "Rot (via)": (3, 1, lambda p, w: qml.Rot(*p, w)),
    "CRot (via)": (3, 2, lambda p, w: qml.CRot(*p, w)),
    "U1 (via)": (1, 1, lambda p, w: qml.U1(p[0], w)),
    "U2 (via)": (2, 1, lambda p, w: qml.U2(*p, w)),
    "U3 (via)": (3, 1, lambda p, w: qml.U3(*p, w)),
    "PauliRot X (via)": (1, 1, lambda p, w: qml.PauliRot(p[0], "X", w)),
    "PauliRot ZY (via)": (1, 2, lambda p, w: qml.PauliRot(p[0], "ZY", w)),
    "PauliRot YXY (via)": (1, 3, lambda p, w: qml.PauliRot(p[0], "YXY", w)),
    "PauliRot XIZ (via)": (1, 3, lambda p, w: qml.PauliRot(p[0], "XIZ", w)),
    "IsingXY (via)": (1, 2, lambda p, w: qml.IsingXY(p[0], w)),
    "SingleExcitation (via)": (1, 2, lambda p, w: qml.SingleExcitation(p[0], w)),
    "ISWAP (via)": (0, 2, lambda p, w: qml.ISWAP(w)),
    "CSWAP (via)": (0, 3, lambda p, w: qml.CSWAP(w)),
    "CH (via)": (0, 2, lambda p, w: qml.CH(w)),
    "adjoint RX (via)": (1, 1, lambda p, w: qml.adjoint(qml.RX(p[0], w))),
    "adjoint Rot (via)": (3, 1, lambda p, w: qml.adjoint(qml.Rot(*p, w))),
    "adjoint CRY (via)": (1, 2, lambda p, w: qml.adjoint(qml.CRY(p[0], w))),
    "adjoint IsingYY (via)": (1, 2, lambda p, w: qml.adjoint(qml.IsingYY(p[0], w))),
    "adjoint PhaseShift (via)": (1, 1, lambda p, w: qml.adjoint(qml.PhaseShift(p[0], w))),
    "adjoint Hadamard (via)": (0, 1, lambda p, w: qml.adjoint(qml.Hadamard(w))),
    "adjoint U3 (via)": (3, 1, lambda p, w: qml.adjoint(qml.U3(*p, w))),
    "doubly controlled RY (via)": (1, 3, lambda p, w: qml.ctrl(qml.RY(p[0], w[2]), w[:2])),
    "RX controlled on 0 (via)": (
        1,
        2,
        lambda p, w: qml.ctrl(qml.RX(p[0], w[1]), w[0], control_values=[0]),
    ),
    "power of S (via)": (0, 1, lambda p, w: qml.pow(qml.S(w), 3)),
    "QFT (via)": (0, 3, lambda p, w: qml.QFT(w)),
}


def around(name):
    """Return an ansatz that has one gate of `GATE_EXAMPLES` between rotations, and its P."""
    n_parameters, n_wires, queue = GATE_EXAMPLES[name]

    def function(angles, wires):
        GATE_EXAMPLES["RX"][2](angles[0:1], wires[0])
        GATE_EXAMPLES["RY"][2](angles[1:2], wires[1])
        GATE_EXAMPLES["RY"][2](angles[0:1], wires[2])
        queue(angles[2 : 2 + n_parameters], [wires[2], wires[0], wires[1]][:n_wires])
        GATE_EXAMPLES["RX"][2](angles[1:2], wires[2])

    return {"ansatz": function, "n_angles": 2 + n_parameters}


def every_rotation():
    """Return an ansatz that has each gate of the set with an angle, and its P."""
    names = [name for name, (n, _, _) in GATE_EXAMPLES.items() if n and "via" not in name]

    def function(angles, wires):
        for index, name in enumerate(names):
            _, n_wires, queue = GATE_EXAMPLES[name]
            qml.Hadamard(wires[index % 3])
            queue([angles[index]], [wires[(index + k) % 3] for k in range(n_wires)])

    return {"ansatz": function, "n_angles": len(names)}
