"""Optima of scikit-learn's LogisticRegression, for Levin's solvers.

Objectives are scikit-learn's, divided by the n rows: mean cross-entropy + (1 - r) / (2 C n) sum W^2
+ r / (C n) sum |W|, where r is l1_ratio and the intercept isn't penalised. That is Levin's with
l2_strength = (1 - r) / (2 C n) and l1_strength = r / (C n). They are computed here, in float64, at
scikit-learn's coefficients. C is null if there is no penalty at all, which needs classes that
overlap: the rows then have the first `columns` features only.

The rows of Iris and digits are in Levin; those of wine and of breast cancer are written to
solvers_<name>.csv beside this script, the class last. "standardized" features have mean 0 and
population deviation 1. Smooth objectives are minimised by newton-cholesky (newton-cg for digits),
the others by saga, with tol 1e-12; `gradient` is the largest entry of the subgradient there.

A softmax's intercepts are unique only up to one constant: subtract their mean before comparing.
"""

import pathlib
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from common import emit

FOLDER = pathlib.Path(__file__).resolve().parent


def data_sets():
    for name, load in (("iris", load_iris), ("digits", load_digits), ("wine", load_wine),
                       ("breast_cancer", load_breast_cancer)):
        data = load()
        yield name, data.data / (16 if name == "digits" else 1), data.target
        if name in ("wine", "breast_cancer"):
            with open(FOLDER / f"solvers_{name}.csv", "w") as file:
                for row, label in zip(data.data, data.target):
                    file.write(",".join(str(float(v)) for v in row) + f",{label}\n")


def standardized(x):
    deviation = x.std(0)
    return (x - x.mean(0)) / np.where(deviation == 0, 1, deviation)


def at_optimum(x, y, weights, coefficients, intercepts, c, ratio):
    """The objective and its subgradient's largest entry."""
    z = x @ coefficients.T + intercepts
    n = weights.sum()
    if len(coefficients) == 1:
        z = z[:, 0]
        losses = np.logaddexp(0, z) - y * z
        errors = (1 / (1 + np.exp(-z)) - y)[:, None]
    else:
        z -= z.max(1, keepdims=True)
        losses = np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]
        errors = np.exp(z) / np.exp(z).sum(1, keepdims=True) - np.eye(len(coefficients))[y]
    errors *= weights[:, None]
    l1, l2 = (ratio / (c * n), (1 - ratio) / (2 * c * n)) if c else (0, 0)
    objective = (weights * losses).sum() / n
    objective += l1 * np.abs(coefficients).sum() + l2 * (coefficients**2).sum()
    gradient = errors.T @ x / n + 2 * l2 * coefficients
    at_zero = np.sign(gradient) * np.maximum(np.abs(gradient) - l1, 0)
    gradient = np.where(coefficients == 0, at_zero, gradient + l1 * np.sign(coefficients))
    return objective, max(np.abs(gradient).max(), np.abs(errors.sum(0) / n).max())


def solve(name, x, y, c, ratio, scaled, balanced=False, columns=None):
    columns = columns or x.shape[1]
    x = x[:, :columns]
    x = standardized(x) if scaled else x
    smooth = "newton-cg" if name == "digits" else "newton-cholesky"
    model = LogisticRegression(C=c or np.inf, l1_ratio=ratio, solver="saga" if ratio else smooth, tol=1e-12,
                               max_iter=100000, class_weight="balanced" if balanced else None,
                               random_state=0)
    model.fit(x, y)
    counts = np.bincount(y)
    weights = (len(y) / (len(counts) * counts))[y] if balanced else np.ones(len(y))
    objective, gradient = at_optimum(x, y, weights, model.coef_, model.intercept_, c, ratio)
    return {"data": name, "C": c, "l1_ratio": ratio, "standardized": scaled, "balanced": balanced,
            "columns": columns, "objective": objective, "gradient": gradient, "coefficients": model.coef_,
            "intercepts": model.intercept_}


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", FutureWarning)
    cases = []
    data = {name: (x, y) for name, x, y in data_sets()}
    for name, (x, y) in data.items():
        cases.append(solve(name, x, y, 1.0, 0.0, name != "digits"))
        if name != "digits":
            cases.append(solve(name, x, y, 1.0, 0.0, False))
            cases.append(solve(name, x, y, 0.1, 0.5, True))
            cases.append(solve(name, x, y, 10.0, 0.0, True, balanced=True))
        cases.append(solve(name, x, y, 0.5 if name != "digits" else 0.1, 1.0, name != "digits"))
    cases.append(solve("digits", *data["digits"], 0.1, 0.5, False))
    for name, columns in (("wine", 2), ("breast_cancer", 3)):
        cases.append(solve(name, *data[name], None, 0.0, True, columns=columns))
    emit(__doc__.split("\n")[0], cases=cases)


main()
