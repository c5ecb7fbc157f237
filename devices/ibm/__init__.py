"""The IBM device: `qml.device("qrnn.ibm", backend="fake_manila", wires=4, shots=1024)`.

Importing this package imports no Qiskit; making a device does.
"""

from qrnn.devices.ibm.backends import fake_names
from qrnn.devices.ibm.device import IBMDevice

__all__ = ["IBMDevice", "fake_names"]
