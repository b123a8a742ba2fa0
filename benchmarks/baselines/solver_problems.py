"""The problems of ./run bench solvers, and the objective of all programs that solve them.

    solver_problems.py write FOLDER                      writes NAME_x.npy and NAME_y.npy
    solver_problems.py evaluate CASE MNIST_DIR FILE ...  prints a list of objectives for each FILE

The objective is scikit-learn's divided by the number of rows n: mean cross-entropy + sum W^2 /
(2 C n), or + sum |W| / (C n) for "l1"; the intercept isn't penalised. It is computed in float64. A
FILE has float64 numbers, [points, outputs, features + 1], whose last column is the intercept.
"""

import hashlib
import json
import pathlib
import sys

import numpy as np

import mnist
from solver_cases import find


def write(folder):
    """Writes the small data sets as every program reads them, float64 and int64."""
    from sklearn.datasets import load_breast_cancer, load_digits

    digits, cancer = load_digits(), load_breast_cancer()
    standardized = (cancer.data - cancer.data.mean(0)) / cancer.data.std(0)
    for name, x, y in (
        ("digits", digits.data / 16, digits.target),
        ("breast_cancer", standardized, cancer.target),
    ):
        np.save(pathlib.Path(folder) / f"{name}_x.npy", x)
        np.save(pathlib.Path(folder) / f"{name}_y.npy", y.astype(np.int64))


def read(problem, folder):
    """Returns rows and classes. The folder is MNIST's, or that of the files of `write`."""
    if problem.data == "mnist":
        return mnist.load(folder, mnist.TRAIN)
    start = pathlib.Path(folder) / problem.data
    return np.load(f"{start}_x.npy"), np.load(f"{start}_y.npy")


def objective(problem, x, y, point):
    """Returns the objective at a point, [outputs, features + 1]; everything is float64."""
    weight, bias = point[:, :-1], point[:, -1]
    z = x @ weight.T + bias
    if problem.outputs == 1:
        losses = np.logaddexp(0, z[:, 0]) - y * z[:, 0]
    else:
        z -= z.max(1, keepdims=True)
        losses = np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]
    strength = 1 / (problem.c * len(y))
    if problem.penalty == "l1":
        return losses.mean() + strength * np.abs(weight).sum()
    return losses.mean() + strength / 2 * (weight**2).sum()


def evaluate(problem, folder, files):
    x, y = read(problem, folder)
    x = x.astype(np.float64)
    known = {}  # by the bytes of the point: repeated runs of a program often go the same way
    result = []
    for file in files:
        points = np.fromfile(file).reshape(-1, problem.outputs, problem.features + 1)
        objectives = []
        for point in points:
            key = hashlib.sha256(point.tobytes()).digest()
            if key not in known:
                known[key] = float(objective(problem, x, y, point))
            objectives.append(known[key])
        result.append(objectives)
    return result


def main(arguments):
    if arguments[:1] == ["write"] and len(arguments) == 2:
        write(arguments[1])
    elif arguments[:1] == ["evaluate"] and len(arguments) > 3:
        print(json.dumps(evaluate(find(arguments[1]), arguments[2], arguments[3:])))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
