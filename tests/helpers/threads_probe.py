"""Models called from 8 Python threads at once; prints `wrong: NAME` for each wrong answer."""

import sys
from concurrent.futures import ThreadPoolExecutor

import torch

from helpers.small_networks import SMALL
from qrnn import QRNN
from qrnn.data import Batch
from qrnn.devices import DeviceOptions
from qrnn.models.next_token import NextToken
from qrnn.networks import NETWORKS
from qrnn.neurons import QuantumNeuronRNN

THREADS, CALLS, T, B, D = 8, 8, 2, 2, 2


def recurrent(device, dtype=torch.float32, batch=B, **options):
    """A QRNN with its gradient."""
    rnn = QRNN(D, 2, width=4, bias_range=2.0, readout="ZXY").to(dtype).on(device, **options)

    def call(seed):
        draw = torch.Generator().manual_seed(seed)
        x = torch.rand(T, batch, D, generator=draw, dtype=dtype).requires_grad_()
        z = rnn(x)[0]
        return z.detach(), *torch.autograd.grad(z.square().sum(), (x, rnn.cell.quantum.bias))

    return call


def network(name, device):
    """A registered network with its gradient."""
    model = NETWORKS[name].build(SMALL[name], D, DeviceOptions(device))

    def call(seed):
        draw = torch.Generator().manual_seed(seed)
        x = torch.rand(B, T, D, dtype=torch.float32, generator=draw)
        z = model(x)[0]
        (grad,) = torch.autograd.grad(z.square().sum(), next(model.parameters()))
        return z.detach(), grad

    return call


def neurons(device):
    """Quantum neurons: what is kept, and tokens that are sampled."""
    model = NextToken(QuantumNeuronRNN(1, 1, order=1, batch_first=True, device=device))

    def call(seed):
        draw = torch.Generator().manual_seed(seed)
        x = torch.randint(2, (B, T), generator=draw)
        with torch.no_grad():
            answer = model.answer(Batch(x, x.flip(1)))
        kept = torch.zeros(1) if answer.kept is None else answer.kept
        return answer.logits, kept, model.generate(x, 3, draw)

    return call


CASES = {
    "fused": lambda: recurrent("fused"),
    "fused blocks": lambda: recurrent("fused", batch=40),
    "default.qubit": lambda: recurrent("default.qubit"),
    "default.qubit float64": lambda: recurrent("default.qubit", torch.float64),
    "default.mixed": lambda: recurrent("default.mixed"),
    "lightning.qubit": lambda: recurrent("lightning.qubit"),
    "adjoint": lambda: recurrent("lightning.qubit", torch.float64, strategy="replayed"),
    "shift": lambda: recurrent("default.qubit", strategy="replayed", gradient="parameter-shift"),
    "qlstm": lambda: network("qlstm", "lightning.qubit"),
    "data_register": lambda: network("data_register", "fused"),
    "neurons fused": lambda: neurons("fused"),
    "neurons default.qubit": lambda: neurons("default.qubit"),
}


def main(names):
    torch.manual_seed(0)
    sys.setswitchinterval(1e-4)
    jobs = []
    for name in names:
        call = CASES[name]()
        jobs += [(name, call, seed, call(seed)) for seed in range(CALLS)]
    jobs.sort(key=lambda job: job[2])  # all cases at once

    def check(job):
        name, call, seed, expected = job
        try:
            found = call(seed)
        except Exception as error:
            return f"wrong: {name}: {type(error).__name__}: {error}"
        same = all(
            a.dtype == b.dtype and torch.allclose(a, b, atol=1e-5)
            for a, b in zip(found, expected, strict=True)
        )
        return None if same else f"wrong: {name}"

    with ThreadPoolExecutor(THREADS) as threads:
        for line in filter(None, threads.map(check, jobs)):
            print(line, flush=True)
    print("default dtype", torch.get_default_dtype())


if __name__ == "__main__":
    main(sys.argv[1:] or list(CASES))
