"""Reads files of weights with `torch.load(weights_only=True)` and prints what is in them as JSON.

    python torch_read.py FILE ...

A list with an object for each file. One entry a tensor: dtype, shape and the SHA-256 of its bytes (row-major, little endian). Of a
checkpoint of Lightning, the tensors are those of its state dict; `hyper_parameters` are printed,
too, and, if Lightning is installed, `loaded`: the names of the parameters of a linear layer that
`load_from_checkpoint` has filled with the checkpoint's bits. Exit status 77, which ctest takes as
skipped, if Python lacks torch.
"""

import argparse
import hashlib
import json
import sys


def loaded_by_lightning(path, tensors):
    try:
        import pytorch_lightning
    except ImportError:
        return None
    import torch

    class Linear(pytorch_lightning.LightningModule):
        def __init__(self, in_features, num_classes, bias=True, **rest):
            super().__init__()
            self.save_hyperparameters()
            self.linear = torch.nn.Linear(in_features, num_classes, bias)

    module = Linear.load_from_checkpoint(path, map_location="cpu", weights_only=True,
                                         strict=False)
    return [name for name, value in module.state_dict().items() if value.equal(tensors[name])]


def contents(path):
    import torch

    content = torch.load(path, weights_only=True, mmap=True)
    is_checkpoint = "pytorch-lightning_version" in content
    tensors = content["state_dict"] if is_checkpoint else content
    result = {"tensors": {}}
    for name, tensor in tensors.items():
        elements = bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())
        result["tensors"][name] = {
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "sha256": hashlib.sha256(elements).hexdigest(),
        }
    if is_checkpoint:
        result["hyper_parameters"] = content["hyper_parameters"]
        result["loaded"] = loaded_by_lightning(path, tensors)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    files = parser.parse_args().files
    try:
        import torch  # noqa: F401
    except ImportError as error:
        print(f"SKIPPED: reading weights from Python: {error}", file=sys.stderr)
        return 77
    print(json.dumps([contents(path) for path in files]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
