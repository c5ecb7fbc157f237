"""The IBM device: `qml.device("qrnn.ibm", backend="fake_manila", wires=4, shots=1024)`.

Qiskit is imported when a device is made, not with this package.
"""

from qrnn.devices.ibm.backends import fake_names
from qrnn.devices.ibm.budget import Usage
from qrnn.devices.ibm.device import IBMDevice
from qrnn.devices.ibm.estimate import Estimate, estimate, estimate_of

__all__ = ["Estimate", "IBMDevice", "Usage", "estimate", "estimate_of", "fake_names"]
