"""The recurrent cell, and networks that apply it to sequences."""

from qrnn.cell.cell import QRNNCell as QRNNCell
from qrnn.cell.cell import QRNNState as QRNNState
from qrnn.cell.rnn import QRNN as QRNN
