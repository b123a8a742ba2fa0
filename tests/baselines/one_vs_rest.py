"""Optima, classes and probabilities of scikit-learn's OneVsRestClassifier(LogisticRegression).

`objective` is the sum over the classes of scikit-learn's objectives, divided by the n rows, as in
solvers.py: mean logistic loss + (1 - r) / (2 C n) sum w^2 + r / (C n) sum |w|, where r is l1_ratio.
The rows are those of Iris, standardized (mean 0, population deviation 1), and of digits, divided by
16. `weighting` is "none", "balanced" (each class as much as all others together), or "rows": row i
has the weight 1 + i % 3. `classes` and `probabilities` are the predictions for the rows 0, 25, 50
and so on. Smooth objectives are minimised by newton-cholesky, the others by saga, with tol 1e-12.
"""

import warnings

import numpy as np
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from common import emit


def binary_objective(x, y, weights, coefficients, intercept, c, ratio):
    z = x @ coefficients + intercept
    n = weights.sum()
    return ((weights * (np.logaddexp(0, z) - y * z)).sum() / n
            + ratio / (c * n) * np.abs(coefficients).sum()
            + (1 - ratio) / (2 * c * n) * (coefficients**2).sum())


def solve(name, x, y, c, ratio, weighting):
    own = LogisticRegression(C=c, l1_ratio=ratio, solver="saga" if ratio else "newton-cholesky",
                             tol=1e-12, max_iter=100000, random_state=0,
                             class_weight="balanced" if weighting == "balanced" else None)
    rows = 1.0 + np.arange(len(y)) % 3 if weighting == "rows" else np.ones(len(y))
    model = OneVsRestClassifier(own).fit(x, y)
    if weighting == "rows":  # the wrapper doesn't pass on the weights of rows
        for k, estimator in enumerate(model.estimators_):
            estimator.fit(x, (y == k).astype(int), sample_weight=rows)
    objective = 0.0
    for k, estimator in enumerate(model.estimators_):
        positive = y == k
        weights = rows
        if weighting == "balanced":
            weights = np.where(positive, len(y) / (2 * positive.sum()),
                               len(y) / (2 * (len(y) - positive.sum())))
        objective += binary_objective(x, positive, weights, estimator.coef_[0],
                                      estimator.intercept_[0], c, ratio)
    some = x[::25]
    return {"data": name, "C": c, "l1_ratio": ratio, "weighting": weighting,
            "objective": objective,
            "coefficients": np.concatenate([e.coef_ for e in model.estimators_]),
            "intercepts": np.concatenate([e.intercept_ for e in model.estimators_]),
            "classes": model.predict(some), "probabilities": model.predict_proba(some)}


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", FutureWarning)
    iris, digits = load_iris(), load_digits()
    x = (iris.data - iris.data.mean(0)) / iris.data.std(0)
    emit(__doc__.split("\n")[0], cases=[
        solve("iris", x, iris.target, 1.0, 0.0, "none"),
        solve("iris", x, iris.target, 1.0, 0.0, "balanced"),
        solve("iris", x, iris.target, 1.0, 0.0, "rows"),
        solve("iris", x, iris.target, 0.5, 1.0, "none"),
        solve("iris", x, iris.target, 0.2, 0.5, "balanced"),
        solve("digits", digits.data / 16, digits.target, 1.0, 0.0, "none"),
        solve("digits", digits.data / 16, digits.target, 0.1, 1.0, "none"),
    ])


main()
