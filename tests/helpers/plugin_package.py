"""A package with plug-ins, laid out as pip installs it: in a folder for `PYTHONPATH`."""

from pathlib import Path
from textwrap import dedent

MODULE = '''
from dataclasses import dataclass, replace

import pennylane as qml
import torch

from qrnn import ANSAETZE, QRNN, Ansatz
from qrnn.data import Split, TaskConfig, TaskData, task
from qrnn.devices import add_device, device_spec, open_device
from qrnn.networks import ModelConfig, network


@dataclass
class FlipConfig(TaskConfig):
    """The first of some bits.

    Attributes:
        name: `flip`.
        flips: number of bits T.
    """

    name: str = "flip"
    flips: int = 3


@task(FlipConfig)
def flip(config):
    bits = torch.randint(2, (64, config.flips), generator=torch.Generator().manual_seed(0))
    part = Split(bits[:, :, None].float(), bits[:, 0])
    return TaskData(part, part, part, classes=("zero", "one"))


@dataclass
class PairConfig(ModelConfig):
    """Two qubits.

    Attributes:
        name: `pair`.
        width: of the controller.
        ansatz: name of an ansatz.
    """

    name: str = "pair"
    width: int = 4
    ansatz: str = "turns"


@network(PairConfig, width="width")
def pair(config, input_size, device):
    return QRNN(input_size, 2, ansatz=config.ansatz, width=config.width, batch_first=True,
                device=device)


@ANSAETZE.register("turns")
def turns(n_wires, layers=2):
    def apply(angles, wires):
        for angle, wire in zip(angles, wires):
            qml.RY(angle, wires=wire)

    return Ansatz(apply, n_wires, n_wires, ())


add_device(replace(device_spec("default.qubit"), name="acme.qubit"),
           type(open_device("default.qubit")))
'''
POINTS = """
[qrnn.tasks]
flip = acme.parts:flip
lost = acme.missing:lost
digits = acme.parts:digits

[qrnn.networks]
pair = acme.parts:pair

[qrnn.ansaetze]
turns = acme.parts:turns
unmade = acme.parts

[qrnn.devices]
acme.qubit = acme.parts
"""


def install(folder: Path) -> None:
    """Write the package `acme-qrnn` into a folder."""
    package, info = folder / "acme", folder / "acme_qrnn-1.0.dist-info"
    for one in (package, info):
        one.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text(dedent(MODULE))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-qrnn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
