"""Reads MNIST's four IDX files, which may be gzipped, for the programs in this folder; or makes
images like them.
"""

import gzip
import os
import pathlib

import numpy as np

TRAIN, TEST = "train", "t10k"
MADE = "made"  # the name of the folder that stands for images made by `make`


def add_argument(parser):
    parser.add_argument(
        "--mnist",
        metavar="DIR",
        default=os.environ.get("MNIST_DIR"),
        required="MNIST_DIR" not in os.environ,
        help="folder with the IDX files (default: $MNIST_DIR)",
    )


def read_idx(folder, name):
    """Returns the array of unsigned bytes in an IDX file."""
    path = pathlib.Path(folder) / name
    content = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an IDX file of bytes")
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", count=dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def load(folder, part):
    """Returns the images, float32 [rows, 784] from 0 to 1, and the labels, int64 [rows]."""
    images = read_idx(folder, f"{part}-images-idx3-ubyte").reshape(-1, 784)
    labels = read_idx(folder, f"{part}-labels-idx1-ubyte")
    return images.astype(np.float32) / np.float32(255), labels.astype(np.int64)


def make(part):
    """Returns as many images as MNIST has, and labels, as Images in ../measured_fit.h makes them:
    a pattern for each class, which noise hides in part. The parts have the same patterns.
    """
    patterns = np.random.default_rng(0).random((10, 784)) < 0.2
    random = np.random.default_rng([TRAIN, TEST].index(part) + 1)
    rows = 60000 if part == TRAIN else 10000
    labels = random.integers(0, 10, rows)
    images = np.float32(0.7) * patterns[labels]
    images += random.random((rows, 784), np.float32) < np.float32(0.2)
    return np.minimum(images, 1, out=images), labels
