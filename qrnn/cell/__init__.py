"""The recurrent cell and sequences of its steps."""

from qrnn.cell.cell import QRNNCell as QRNNCell
from qrnn.cell.cell import QRNNState as QRNNState
from qrnn.cell.rnn import QRNN as QRNN
