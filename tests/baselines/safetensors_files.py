"""Small files as Python's safetensors writes them, with the tensors they hold.

Files and elements are hexadecimal digits; elements are little-endian and row-major.
"""

import safetensors.torch
import torch

from common import emit


def elements(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex()


def case(tensors, metadata=None):
    return {
        "file": safetensors.torch.save(tensors, metadata).hex(),
        "metadata": metadata or {},
        "tensors": [
            {
                "name": name,
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "shape": list(tensor.shape),
                "elements": elements(tensor),
            }
            for name, tensor in sorted(tensors.items())
        ],
    }


def main():
    numbers = torch.tensor([[0.0, -1.5, 2.0], [65504.0, -0.0, 1e-7]], dtype=torch.float64)
    types = {
        str(dtype).removeprefix("torch."): numbers.clamp(0, 100).to(dtype)
        if not dtype.is_floating_point
        else numbers.to(dtype)
        for dtype in (
            torch.float64,
            torch.float32,
            torch.float16,
            torch.bfloat16,
            torch.int64,
            torch.int32,
            torch.int16,
            torch.int8,
            torch.uint8,
            torch.uint16,
            torch.uint32,
            torch.uint64,
            torch.bool,
        )
    }
    shapes = {
        "scalar": torch.tensor(3.25, dtype=torch.float32),
        "empty": torch.zeros(0, dtype=torch.float32),
        "no_rows": torch.zeros(0, 4, dtype=torch.int64),
        "odd": torch.arange(3, dtype=torch.uint8),
        "deep": torch.arange(24, dtype=torch.float32).reshape(2, 3, 4),
        "layer.weight/ü": torch.ones(1, dtype=torch.float64),
    }
    emit(
        __doc__.strip(),
        cases=[case(types), case(shapes, {"format": "pt"}), case({})],
    )


if __name__ == "__main__":
    main()
