"""The common part of the baseline programs in Python: their arguments, the data, the models, and
the line of JSON that bench.py reads. program.h is the counterpart for the programs in C++.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import time

import numpy as np
import torch

import mnist

HERE = pathlib.Path(__file__).parent

# For each problem: the number of features, the units of the hidden layers, the number of classes.
PROBLEMS = {
    "logistic_regression": (784, 10),
    "mlp": (784, 32, 10),
    "wide_mlp": (784, 512, 512, 10),
    "iris": (4, 3),
    "digits": (64, 10),
}


def parse_arguments(description, loops):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loop", choices=loops, default=loops[0])
    parser.add_argument("--problem", choices=PROBLEMS, default="logistic_regression")
    parser.add_argument(
        "--mnist",
        default=os.environ.get("MNIST_DIR"),
        help="folder of the IDX files, gzipped or not; made: make images like them",
    )
    parser.add_argument("--tables", default=HERE.parent.parent / "datamodules" / "data")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch's operations")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only-first-step", type=int, default=0, help="1: stop after it")
    arguments = parser.parse_args()
    if PROBLEMS[arguments.problem][0] == 784 and not arguments.mnist:
        parser.error("give --mnist, or set MNIST_DIR")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU that it can use")
    return arguments


def load(arguments, part):
    """Returns inputs, float32 [rows, features], and labels, int64 [rows]. Only MNIST has parts."""
    if PROBLEMS[arguments.problem][0] == 784:
        is_made = str(arguments.mnist) == mnist.MADE
        images, labels = mnist.make(part) if is_made else mnist.load(arguments.mnist, part)
        return torch.from_numpy(images), torch.from_numpy(labels)
    path = pathlib.Path(arguments.tables) / f"{arguments.problem}.csv"
    table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)
    scale = 16 if arguments.problem == "digits" else 1
    inputs = np.ascontiguousarray(table[:, :-1]) / np.float32(scale)
    return torch.from_numpy(inputs), torch.from_numpy(table[:, -1].astype(np.int64))


def make_model(problem):
    sizes = PROBLEMS[problem]
    layers = []
    for i in range(len(sizes) - 1):
        layers += [torch.nn.Linear(sizes[i], sizes[i + 1]), torch.nn.ReLU()]
    return layers[0] if len(sizes) == 2 else torch.nn.Sequential(*layers[:-1])


class Recorder:
    """Measures the time and memory of a training. On a GPU, an epoch ends when its work is done."""

    def __init__(self, device):
        self.synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
        self.first_step_ns = 0
        self.epoch_seconds = []

    def start(self):
        self.synchronize()
        self.last = time.perf_counter()

    def step(self):
        """Call this after each step, or after the first step only."""
        if not self.first_step_ns:
            self.synchronize()
            self.first_step_ns = time.monotonic_ns()

    def epoch(self):
        self.synchronize()
        now = time.perf_counter()
        self.epoch_seconds.append(now - self.last)
        self.last = now

    def finish(self):
        """Call this at the end of the training. Nothing after it is measured."""
        self.peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(description, loops, libraries=""):
    """Runs one of `loops`, a dict of functions (model, inputs, labels, arguments, recorder). The
    model and the data are on the CPU.
    """
    arguments = parse_arguments(description, list(loops))
    recorder = Recorder(arguments.device)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    inputs, labels = load(arguments, mnist.TRAIN)
    model = make_model(arguments.problem)
    recorder.start()
    loops[arguments.loop](model, inputs, labels, arguments, recorder)
    recorder.finish()

    accuracy = 0.0
    rows = len(inputs)
    if not arguments.only_first_step:
        inputs, labels = load(arguments, mnist.TEST)
        model.cpu()
        with torch.no_grad():
            accuracy = (model(inputs).argmax(1) == labels).float().mean().item()
    compiler = torch.__config__.show().splitlines()[1].strip(" -")
    built = f"Python {platform.python_version()}, PyTorch {torch.__version__} ({compiler}), "
    built += torch.backends.cpu.get_cpu_capability() + libraries
    result = {
        "problem": arguments.problem,
        "loop": arguments.loop,
        "storage": "float32",
        "batch_size": arguments.batch_size,
        "threads": str(arguments.threads),
        "steps_per_epoch": -(-rows // arguments.batch_size),
        "epoch_seconds": recorder.epoch_seconds,
        "first_step_ns": recorder.first_step_ns,
        "peak_bytes": recorder.peak_bytes,
        "accuracy": round(accuracy, 4),
        "built": built,
    }
    if arguments.device != "cpu":
        result["device"] = arguments.device
    print(json.dumps(result))
