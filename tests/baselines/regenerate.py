"""Runs the baseline scripts and keeps what they print beside them.

    python tests/baselines/regenerate.py [NAME ...]           write NAME.json, by default all
    python tests/baselines/regenerate.py --check [NAME ...]   compare with the files, write nothing

--check lets numbers differ by 1e-9 of their size (another processor rounds differently; weights of
solvers by 1e-6) and versions differ at all; it exits with 1 where something else does.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
NAMES = [
    "optimizers",
    "schedulers",
    "logistic_regression",
    "sklearn_weights",
    "solvers",
    "one_vs_rest",
    "regression_cv",
    "cross_validation",
    "regression",
    "mlp",
    "clip",
    "splits",
    "readers",
    "images",
    "safetensors_files",
    "torch_files",
    "onnx_files",
    "sparse_readers",
    "tables",
    "metrics",
    "pipeline_schedules",
    "tuning",
]
TOLERANCES = {"sklearn_weights": 1e-6, "solvers": 1e-6, "one_vs_rest": 1e-6, "regression_cv": 1e-6,
              "cross_validation": 1e-6, "regression": 1e-6}
# How far two solvers happened to be apart: the scripts bound these themselves.
NOT_COMPARED = {"versions", "tools", "gradient", "newton_difference", "lbfgs_difference"}


def differences(old, new, tolerance, where=""):
    """Paths at which two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if key in NOT_COMPARED:
                continue
            if key not in old or key not in new:
                yield f"{where}.{key}: only in one"
            else:
                yield from differences(old[key], new[key], tolerance, f"{where}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new)):
            yield from differences(*pair, tolerance, f"{where}[{index}]")
    elif type(old) is float and type(new) is float:
        if not math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance):
            yield f"{where}: {old} became {new}"
    elif old != new or type(old) is not type(new):
        yield f"{where}: {old} became {new}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in NAMES:
            parser.error(f"no baseline is called {name}: {', '.join(NAMES)}")

    failed = False
    for name in arguments.names or NAMES:
        path = FOLDER / f"{name}.json"
        command = [sys.executable, "-B", str(FOLDER / f"{name}.py")]
        text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        new = json.loads(text)
        if not arguments.check:
            path.write_text(text)
            print(f"{name}: wrote {path.name}, {len(text)} bytes")
            continue
        found = list(differences(json.loads(path.read_text()), new, TOLERANCES.get(name, 1e-9)))
        failed |= bool(found)
        print(f"{name}: {'same' if not found else f'{len(found)} differences'}")
        for line in found[:10]:
            print("  " + line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
