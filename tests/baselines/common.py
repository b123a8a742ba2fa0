"""What every baseline script shares: one thread, double precision, one form of JSON."""

import json
import pathlib
import platform
import sys

import numpy
import torch

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

WIDTH = 100


def plain(value):
    """Tensors and arrays as nested lists of numbers, inside dicts and lists too."""
    if isinstance(value, torch.Tensor):
        return value.detach().tolist()
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def format_json(value, indent=0):
    """JSON with every float as its shortest exact decimal, vectors on one line each."""
    line = json.dumps(value, allow_nan=False)
    is_vector = isinstance(value, list) and not any(isinstance(v, (list, dict)) for v in value)
    if not isinstance(value, (dict, list)) or is_vector or indent + len(line) <= WIDTH:
        return line
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{json.dumps(k)}: {format_json(v, indent + 1)}" for k, v in value.items()]
    else:
        items = [format_json(v, indent + 1) for v in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + "\n" + ",\n".join(pad + item for item in items) + "\n" + " " * indent + closing


def emit(about, **results):
    """Prints the results of the running script, with `about` and the versions in front."""
    versions = {
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "torch": torch.__version__.split("+")[0],
    }
    if "sklearn" in sys.modules:
        versions["scikit-learn"] = sys.modules["sklearn"].__version__
    script = pathlib.Path(sys.argv[0]).name
    print(format_json(plain({"script": script, "about": about, "versions": versions, **results})))
