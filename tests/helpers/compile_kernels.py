"""Compiles what most tests need before they start, so that no two workers do it at once.

python -m helpers.compile_kernels DTYPE
"""

import sys

import torch

from qrnn import QRNN


def main() -> None:
    dtype = getattr(torch, sys.argv[1])
    pure = QRNN(2, 2, width=4).to(dtype)
    for rnn in (pure, pure.on("fused", noise="depolarizing", strength=0.1)):
        for stepwise in (False, True):
            if stepwise:  # a hook on the cell must see each step
                rnn.cell.register_forward_hook(lambda *_: None)
            x = torch.ones(2, 20, 2, dtype=dtype, requires_grad=True)
            rnn(x)[0].square().sum().backward()


if __name__ == "__main__":
    main()
