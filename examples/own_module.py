"""Train your own module with a QRNN on sequences of different lengths. Saves turner.pt."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader

from qrnn import QRNN


class Turner(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = QRNN(2, n_qubits=3)
        self.head = nn.Linear(self.rnn.output_size, 2)

    def forward(self, x):
        _, state = self.rnn(x)  # x may be padded too: self.rnn(x, lengths=lengths)
        return self.head(state.z)  # the readouts after each sequence's last step


def circles(n):
    """Yield noisy points (T, 2), T = 4..12, on a circle, anticlockwise (0) or clockwise (1)."""
    for y in torch.randint(2, (n,)):
        angle = 6.28 * torch.rand(1) + 0.6 * (1 - 2 * y) * torch.arange(torch.randint(4, 13, ()))
        yield torch.stack([angle.cos(), angle.sin()], 1) + 0.4 * torch.randn(len(angle), 2), y


def collate(items):
    x, y = zip(*items, strict=True)
    return pack_sequence(x, enforce_sorted=False), torch.stack(y)


@torch.no_grad()
def accuracy(model, data):
    return 100 * torch.cat([model(x).argmax(1) == y for x, y in data]).float().mean()


def main():
    torch.manual_seed(0)
    train = DataLoader(list(circles(1000)), batch_size=50, shuffle=True, collate_fn=collate)
    test = DataLoader(list(circles(200)), batch_size=50, collate_fn=collate)
    model = Turner()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for x, y in (batch for _ in range(10) for batch in train):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # feedback can make gradients explode
        optimizer.step()
    print(f"trained: {accuracy(model, test):.1f}% of 200 new sequences")

    torch.save(model.state_dict(), "turner.pt")
    loaded = Turner()
    loaded.load_state_dict(torch.load("turner.pt", weights_only=True))
    loaded.rnn = loaded.rnn.on("lightning.qubit")
    print(f"loaded, on lightning.qubit: {accuracy(loaded, test):.1f}%")


if __name__ == "__main__":
    main()
