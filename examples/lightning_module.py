"""Train your own LightningModule with a QRNN on the digits. Saves reader.ckpt."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split

from qrnn import QRNN


class Reader(lightning.LightningModule):
    def __init__(self, n_qubits: int = 5, lr: float = 0.01):
        super().__init__()
        self.save_hyperparameters()
        self.rnn = QRNN(8, n_qubits, batch_first=True)
        self.head = nn.Linear(self.rnn.output_size, 10)

    def forward(self, x):
        z, _ = self.rnn(x)
        return self.head(z[:, -1])

    def training_step(self, batch):
        x, y = batch
        return cross_entropy(self(x), y)

    def test_step(self, batch):
        x, y = batch
        self.log("accuracy", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.hparams.lr)


def main():
    lightning.seed_everything(0, verbose=False)
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 8, 8) / 16
    train, test = random_split(TensorDataset(x, torch.tensor(labels)), [0.8, 0.2])
    trainer = lightning.Trainer(
        max_epochs=15,
        gradient_clip_val=1.0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(Reader(), DataLoader(train, batch_size=64, shuffle=True))
    trainer.save_checkpoint("reader.ckpt")

    model = Reader.load_from_checkpoint("reader.ckpt", weights_only=True)
    for device in ("fused", "default.qubit"):
        model.rnn = model.rnn.on(device)
        (metrics,) = trainer.test(model, DataLoader(test, batch_size=64), verbose=False)
        print(f"{device}: {100 * metrics['accuracy']:.1f}% of {len(test)} new images")


if __name__ == "__main__":
    main()
