"""MNIST softmax regression with Lightning, and with plain PyTorch loops beside it, on the CPU.

    python lightning_mnist.py --mnist DIR [--epochs 3] [--rounds 1] [--json] [PROGRAM ...]

  lightning  the Trainer over TensorDataset and DataLoader, Adam, the loss logged
  plain      the same loader and optimizer in a hand-written loop
  fused      a hand-written loop: batches taken from the tensors by index, fused Adam

With several rounds the programs take turns, so that a noisy machine treats them alike. Only the
training is timed, from untrained weights, with what fit does at its start and end included.
"""

import argparse
import json
import logging
import platform
import time
import warnings

import pytorch_lightning
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import mnist


class SoftmaxRegression(pytorch_lightning.LightningModule):
    def __init__(self, learning_rate):
        super().__init__()
        self.linear = torch.nn.Linear(784, 10)
        self.learning_rate = learning_rate

    def forward(self, images):
        return self.linear(images)

    def training_step(self, batch, batch_index):
        images, labels = batch
        loss = F.cross_entropy(self(images), labels)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


def train_lightning(images, labels, options):
    model = SoftmaxRegression(options.learning_rate)
    loader = DataLoader(TensorDataset(images, labels), batch_size=options.batch_size, shuffle=True)
    trainer = pytorch_lightning.Trainer(
        max_epochs=options.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    start = time.perf_counter()
    trainer.fit(model, loader)
    return model, time.perf_counter() - start


def train_plain(images, labels, options):
    model = torch.nn.Linear(784, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.learning_rate)
    loader = DataLoader(TensorDataset(images, labels), batch_size=options.batch_size, shuffle=True)
    start = time.perf_counter()
    for _ in range(options.epochs):
        for batch_images, batch_labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(batch_images), batch_labels).backward()
            optimizer.step()
    return model, time.perf_counter() - start


def train_fused(images, labels, options):
    model = torch.nn.Linear(784, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.learning_rate, fused=True)
    start = time.perf_counter()
    for _ in range(options.epochs):
        for rows in torch.randperm(len(images)).split(options.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
    return model, time.perf_counter() - start


PROGRAMS = {"lightning": train_lightning, "plain": train_plain, "fused": train_fused}


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="by default all three")
    mnist.add_argument(parser)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch's operations")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    for name in options.programs:
        if name not in PROGRAMS:
            parser.error(f"no program is called {name}: {', '.join(PROGRAMS)}")
    options.programs = options.programs or list(PROGRAMS)
    return options


def main():
    options = parse_arguments()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(options.threads)
    images, labels = map(torch.from_numpy, mnist.load(options.mnist, mnist.TRAIN))
    test_images, test_labels = map(torch.from_numpy, mnist.load(options.mnist, mnist.TEST))
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch_lightning": pytorch_lightning.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": options.threads,
    }
    if not options.json:
        print(", ".join(f"{name} {value}" for name, value in versions.items()))

    steps = -(-len(images) // options.batch_size)
    for round_index in range(options.rounds):
        for name in options.programs:
            torch.manual_seed(0)
            model, seconds = PROGRAMS[name](images, labels, options)
            with torch.no_grad():
                accuracy = (model(test_images).argmax(1) == test_labels).float().mean().item()
            epoch = seconds / options.epochs
            result = {
                "program": name,
                "round": round_index,
                "epochs": options.epochs,
                "batch_size": options.batch_size,
                "seconds_per_epoch": epoch,
                "microseconds_per_step": epoch / steps * 1e6,
                "test_accuracy": accuracy,
            }
            if options.json:
                print(json.dumps(result | {"versions": versions}), flush=True)
            else:
                print(
                    f"{name:10s} {epoch:7.3f} s/epoch {epoch / steps * 1e6:7.0f} us/step"
                    f"  test accuracy {accuracy:.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
