"""The problems of ./run bench solvers, and the objective of all programs that solve them.

    solver_problems.py write FOLDER                      writes NAME_x.npy and NAME_y.npy
    solver_problems.py evaluate CASE MNIST_DIR FILE ...  prints, for each FILE, the objectives of its
                                                         points and the distance of the best one

The objective is scikit-learn's divided by the number of rows n: mean cross-entropy + sum W^2 /
(2 C n), or + sum |W| / (C n) for "l1"; the intercept isn't penalised. It is computed in float64. A
FILE has float64 numbers, [points, outputs, features + 1], whose last column is the intercept. The
distance is the largest difference between coefficients of a FILE's best point and those of the best
point of all FILEs. Intercepts of a softmax are compared without their mean, which is arbitrary.
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


def distance(problem, point, other):
    """Returns the largest difference between the coefficients of two points."""
    difference = point - other
    if problem.outputs > 1:
        difference[:, -1] -= difference[:, -1].mean()
    return float(np.abs(difference).max())


def evaluate(problem, folder, files):
    x, y = read(problem, folder)
    x = x.astype(np.float64)
    known = {}  # by the bytes of the point: repeated runs of a program often go the same way
    result = []
    best = []  # (objective, point) of each file
    for file in files:
        points = np.fromfile(file).reshape(-1, problem.outputs, problem.features + 1)
        objectives = []
        for point in points:
            key = hashlib.sha256(point.tobytes()).digest()
            if key not in known:
                known[key] = float(objective(problem, x, y, point))
            objectives.append(known[key])
        result.append({"objectives": objectives})
        least = int(np.argmin(objectives))
        best.append((objectives[least], points[least]))
    optimum = min(best, key=lambda found: found[0])[1]
    for record, (_, point) in zip(result, best):
        record["distance"] = distance(problem, point, optimum)
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
