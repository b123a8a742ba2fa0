"""scikit-learn's LogisticRegressionCV: the folds, their scores, the chosen C and the coefficients.

`folds` has, for each data set, the fold that StratifiedKFold without shuffling gives each row. The
rows are those of solvers.py; "standardized" features have mean 0 and population deviation 1. All
optima are found by newton-cholesky with tol 1e-12. `scores` is [folds, Cs].
"""

import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from common import emit


def solve(name, x, y, scaled, cs, scoring, folds):
    if scaled:
        x = (x - x.mean(0)) / x.std(0)
    model = LogisticRegressionCV(Cs=cs, cv=folds, scoring=scoring, solver="newton-cholesky",
                                 tol=1e-12, max_iter=10000, l1_ratios=(0,),
                                 use_legacy_attributes=False)
    model.fit(x, y)
    scores = np.asarray(model.scores_).reshape(folds, -1)
    return {"data": name, "standardized": scaled, "Cs": model.Cs_, "scoring": scoring,
            "cv": folds, "scores": scores, "C": float(np.ravel(model.C_)[0]),
            "coefficients": model.coef_, "intercepts": model.intercept_}


def main():
    warnings.simplefilter("ignore")
    data = {"iris": load_iris(), "wine": load_wine(), "breast_cancer": load_breast_cancer()}
    folds = {}
    for name, it in data.items():
        fold_of = np.zeros(len(it.target), dtype=int)
        for fold, (_, left_out) in enumerate(StratifiedKFold(5).split(it.data, it.target)):
            fold_of[left_out] = fold
        folds[name] = fold_of
    cases = [
        solve("iris", data["iris"].data, data["iris"].target, False, 10, "accuracy", 5),
        solve("wine", data["wine"].data, data["wine"].target, True, [0.01, 0.1, 1.0, 10.0],
              "neg_log_loss", 5),
        solve("breast_cancer", data["breast_cancer"].data, data["breast_cancer"].target, True, 10,
              "accuracy", 5),
        solve("breast_cancer", data["breast_cancer"].data, data["breast_cancer"].target, True,
              [0.01, 0.1, 1.0, 10.0], "neg_log_loss", 3),
    ]
    emit(__doc__.split("\n")[0], folds=folds, cases=cases)


main()
