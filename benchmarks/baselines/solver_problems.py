"""The problems of ./run bench solvers, and the objective of all programs that solve them.

    solver_problems.py write FOLDER                    writes NAME_x.npy and NAME_y.npy
    solver_problems.py evaluate CASE FOLDER FILE ...   prints, for each FILE, the objectives of its
                                                       points, their log-losses on the test rows, if
                                                       there are some, and the distance of the best
    solver_problems.py compare CASE FOLDER REFERENCE FILE ...
                                                       prints how far each FILE's last point is from
                                                       the last one of REFERENCE

The objective is scikit-learn's divided by C and by the number of rows n: mean cross-entropy +
(l1_ratio * sum |W| + (1 - l1_ratio) / 2 * sum W^2) / (C n); the intercept isn't penalised. It is
computed in float64. FOLDER is that of the data: MNIST's, the sparse set's or that of `write`. A
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
import sparse_set
from solver_cases import find


def write(folder):
    """Writes the small data sets as every program reads them, float64 and int64."""
    from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

    loads = {
        "iris": load_iris,
        "digits": load_digits,
        "wine": load_wine,
        "breast_cancer": load_breast_cancer,
    }
    for name, load in loads.items():
        data = load()
        sets = {name: data.data / 16}
        if name != "digits":
            standardized = (data.data - data.data.mean(0)) / data.data.std(0)
            sets = {name: standardized, f"{name}_unscaled": data.data}
        for key, x in sets.items():
            np.save(pathlib.Path(folder) / f"{key}_x.npy", x)
            np.save(pathlib.Path(folder) / f"{key}_y.npy", data.target.astype(np.int64))


def read(problem, folder):
    """Returns rows and classes, to be used as they are by every program."""
    if problem.data == "mnist":
        return mnist.load(folder, mnist.TRAIN)
    if problem.data == "sparse":
        return sparse_set.read(pathlib.Path(folder) / "train.npz")
    start = pathlib.Path(folder) / problem.data
    return np.load(f"{start}_x.npy"), np.load(f"{start}_y.npy")


def read_test(problem, folder):
    """Returns rows to test on, and their classes; None if there are none."""
    if problem.data == "mnist":
        return mnist.load(folder, mnist.TEST)
    if problem.data == "sparse":
        return sparse_set.read(pathlib.Path(folder) / "test.npz")
    return None


def mean_loss(problem, x, y, point):
    """Returns the mean cross-entropy at a point, [outputs, features + 1], in float64."""
    z = x @ point[:, :-1].T + point[:, -1]
    if problem.outputs == 1:
        return float((np.logaddexp(0, z[:, 0]) - y * z[:, 0]).mean())
    z -= z.max(1, keepdims=True)
    return float((np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]).mean())


def objective(problem, x, y, point):
    """Returns the objective at a point, [outputs, features + 1]; everything is float64."""
    weight = point[:, :-1]
    l1 = problem.l1_ratio * np.abs(weight).sum()
    l2 = (1 - problem.l1_ratio) / 2 * (weight**2).sum()
    return mean_loss(problem, x, y, point) + float(l1 + l2) / (problem.c * len(y))


def violation(problem, x, y, point):
    """Returns the largest entry of the objective's subgradient of least size at a point, whatever
    program has found it: 0 at the optimum, and nowhere else.
    """
    weight = point[:, :-1]
    strength = 1 / (problem.c * len(y))
    l1 = problem.l1_ratio * strength
    z = x @ weight.T + point[:, -1]
    if problem.outputs == 1:
        errors = (1 / (1 + np.exp(-z[:, 0])) - y)[:, None]
    else:
        shares = np.exp(z - z.max(1, keepdims=True))
        errors = shares / shares.sum(1, keepdims=True)
        errors[np.arange(len(y)), y] -= 1
    gradient = (x.T @ errors).T / len(y) + (1 - problem.l1_ratio) * strength * weight
    at_zero = np.sign(gradient) * np.maximum(np.abs(gradient) - l1, 0)
    gradient = np.where(weight == 0, at_zero, gradient + l1 * np.sign(weight))
    return float(max(np.abs(gradient).max(), np.abs(errors.mean(0)).max()))


def distance(problem, point, other):
    """Returns the largest difference between the coefficients of two points."""
    difference = point - other
    if problem.outputs > 1:
        difference[:, -1] -= difference[:, -1].mean()
    return float(np.abs(difference).max())


def settled(problem, point):
    """Returns the point of least squares of those with the same objective: with L1 alone, a number
    may be added to all weights of a feature of a softmax if as many are above 0 as below, as long
    as none changes its sign. Every program ends at some point of these.
    """
    if problem.outputs == 1 or problem.l1_ratio < 1:
        return point
    result = point.copy()
    weight = result[:, :-1]
    ordered = np.sort(weight, axis=0)
    middle = ordered[(problem.outputs - 1) // 2], ordered[problem.outputs // 2]
    weight += np.clip(-weight.mean(0), -middle[1], -middle[0])
    return result


def points_of(problem, file):
    return np.fromfile(file).reshape(-1, problem.outputs, problem.features + 1)


def evaluate(problem, folder, files):
    x, y = read(problem, folder)
    x = x.astype(np.float64)
    test = read_test(problem, folder)
    known = {}  # by the bytes of the point: repeated runs of a program often go the same way
    result = []
    best = []  # (objective, point) of each file
    for file in files:
        points = points_of(problem, file)
        found = []  # objective, and loss on the test rows
        for point in points:
            key = hashlib.sha256(point.tobytes()).digest()
            if key not in known:
                loss = None if test is None else mean_loss(problem, *test, point)
                known[key] = objective(problem, x, y, point), loss
            found.append(known[key])
        result.append({"objectives": [value for value, _ in found]})
        if test is not None:
            result[-1]["test_losses"] = [loss for _, loss in found]
        least = int(np.argmin(result[-1]["objectives"]))
        best.append((found[least][0], points[least].copy()))
    optimum = min(best, key=lambda found: found[0])[1]
    for record, (_, point) in zip(result, best):
        record["distance"] = distance(problem, point, optimum)
    return result


def compare(problem, folder, reference, files):
    """Returns, for the last point of each file, its objective, how far it lies above that of the
    reference, relative to it, the distance of the coefficients, the largest entry of the
    subgradient, and how many of the weights are 0 in one of the two points alone.
    """
    x, y = read(problem, folder)
    x = x.astype(np.float64)
    end = settled(problem, points_of(problem, reference)[-1])
    best = objective(problem, x, y, end)
    result = []
    for file in files:
        point = settled(problem, points_of(problem, file)[-1])
        value = objective(problem, x, y, point)
        zeros = (point[:, :-1] == 0) != (end[:, :-1] == 0)
        differing = int(zeros.sum())
        largest = float(np.abs((point - end)[:, :-1][zeros]).max()) if differing else 0.0
        result.append(
            {
                "objective": value,
                "gap": (value - best) / best,
                "distance": distance(problem, point, end),
                "violation": violation(problem, x, y, point),
                "zeros": int((point[:, :-1] == 0).sum()),
                "differing_zeros": differing,
                "largest_differing": largest,
            }
        )
    return result


def main(arguments):
    if arguments[:1] == ["write"] and len(arguments) == 2:
        write(arguments[1])
    elif arguments[:1] == ["evaluate"] and len(arguments) > 3:
        print(json.dumps(evaluate(find(arguments[1]), arguments[2], arguments[3:])))
    elif arguments[:1] == ["compare"] and len(arguments) > 4:
        print(json.dumps(compare(find(arguments[1]), *arguments[2:4], arguments[4:])))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
