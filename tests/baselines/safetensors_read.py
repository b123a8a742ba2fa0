"""Reads a checkpoint with the `safetensors` package and prints what is in it as JSON.

    python safetensors_read.py FILE

One entry a tensor, sorted by name: dtype, shape and the SHA-256 of its bytes (row-major, little
endian); `sha256` is over the bytes of all tensors in that order. Exit status 77, which ctest takes
as skipped, where Python lacks safetensors or torch; 1 where the file is not a safetensors file.
"""

import argparse
import hashlib
import json
import sys


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    path = parser.parse_args().file
    try:
        import numpy  # noqa: F401 (tensor.numpy() needs it)
        import safetensors
        import torch
    except ImportError as error:
        print(f"SKIPPED: reading a checkpoint from Python: {error}", file=sys.stderr)
        return 77

    tensors, together = {}, hashlib.sha256()
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            for name in sorted(file.keys()):
                tensor = file.get_tensor(name)
                content = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
                together.update(content)
                tensors[name] = {
                    "dtype": str(tensor.dtype).removeprefix("torch."),
                    "shape": list(tensor.shape),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
    except (OSError, safetensors.SafetensorError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    print(
        json.dumps(
            {"tensors": tensors, "metadata": metadata, "sha256": together.hexdigest()}, indent=1
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
