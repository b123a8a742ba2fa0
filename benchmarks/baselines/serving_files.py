"""Writes what ./run bench serving needs besides a checkpoint.

    serving_files.py FOLDER                                     MNIST's files with made-up images
    serving_files.py FOLDER --mnist DIR --checkpoint CHECKPOINT
        weights.npz, the weights of the checkpoint of a logistic regression; rows.npy and rows.json,
        64 test images as rows of 784 numbers from 0 to 1
"""

import argparse
import json
import pathlib
import struct

import numpy as np

import mnist


def write_made_mnist(folder):
    for part in (mnist.TRAIN, mnist.TEST):
        images, labels = mnist.make(part)
        pixels = np.round(images * 255).astype(np.uint8)
        head = struct.pack(">IIII", 0x803, len(pixels), 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        head = struct.pack(">II", 0x801, len(labels))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.astype(np.uint8).tobytes())


def read_tensors(path):
    """Returns the float32 tensors of a checkpoint, a safetensors file."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    data = content[8 + size :]
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def write_weights(checkpoint, path):
    of_model = {n: t for n, t in read_tensors(checkpoint).items() if n.startswith("model.")}
    weight = next(t for n, t in of_model.items() if n.endswith("weight"))
    bias = next(t for n, t in of_model.items() if n.endswith("bias"))
    np.savez(path, weight=weight, bias=bias)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--mnist", type=pathlib.Path)
    parser.add_argument("--checkpoint", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.checkpoint is None:
        arguments.folder.mkdir(exist_ok=True)
        write_made_mnist(arguments.folder)
        return
    write_weights(arguments.checkpoint, arguments.folder / "weights.npz")
    rows = mnist.load(arguments.mnist, mnist.TEST)[0][:64]
    np.save(arguments.folder / "rows.npy", rows)
    (arguments.folder / "rows.json").write_text(json.dumps({"rows": rows.tolist()}))


if __name__ == "__main__":
    main()
