"""scikit-learn's LassoCV, ElasticNetCV and RidgeCV on the diabetes data.

The rows are written to diabetes.csv beside this script, the target last. `alphas` and `mse_path`
are [l1_ratios, alphas] and [l1_ratios, alphas, folds], with the strengths falling; of the 100
strengths of a grid, only those at `places` are kept here. Weights of rows are 1 + i % 3. RidgeCV's
errors by leaving out single rows are means over the rows, `loo`. All optima are found with tol
1e-10, RidgeCV's in closed form.
"""

import pathlib
import warnings

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNetCV, LassoCV, Ridge, RidgeCV
from sklearn.model_selection import KFold

from common import emit

FOLDER = pathlib.Path(__file__).resolve().parent
PLACES = [0, 1, 10, 40, 70, 99]


def descend(name, model, x, y, weights=None):
    model.fit(x, y, sample_weight=weights)
    ratios = 1 if np.ndim(getattr(model, "l1_ratio", 1.0)) == 0 else len(model.l1_ratio)
    alphas = np.reshape(model.alphas_, (ratios, -1))
    errors = np.reshape(model.mse_path_, (ratios, alphas.shape[1], -1))
    places = [p for p in PLACES if p < alphas.shape[1]]
    return {"penalty": name, "l1_ratios": getattr(model, "l1_ratio", None), "weighted": weights is not None,
            "bias": model.fit_intercept, "cv": errors.shape[2], "places": places,
            "alphas": alphas[:, places], "mse_path": errors[:, places],
            "mean_errors": errors.mean(2).min(1), "alpha": model.alpha_,
            "l1_ratio": getattr(model, "l1_ratio_", None), "coefficients": model.coef_,
            "intercept": float(np.ravel(model.intercept_)[0])}


def ridge(x, y, alphas, folds, weights=None):
    model = RidgeCV(alphas=alphas, cv=folds, store_cv_results=folds is None,
                    scoring="neg_mean_squared_error" if folds else None)
    model.fit(x, y, sample_weight=weights)
    alphas = sorted(alphas, reverse=True)
    errors = []
    for alpha in alphas:
        if folds is None:
            rows = model.cv_results_[:, list(model.alphas).index(alpha)]
            errors.append([rows.sum() / (len(y) if weights is None else weights.sum())])
            continue
        own = []
        for train, test in KFold(folds).split(x):
            fitted = Ridge(alpha=alpha).fit(x[train], y[train])
            own.append(((fitted.predict(x[test]) - y[test])**2).mean())
        errors.append(own)
    return {"penalty": "ridge", "l1_ratios": None, "weighted": weights is not None, "bias": True,
            "cv": folds or 0, "places": list(range(len(alphas))), "alphas": [alphas],
            "mse_path": [errors], "mean_errors": [min(np.mean(e) for e in errors)],
            "alpha": model.alpha_, "l1_ratio": None, "coefficients": model.coef_,
            "intercept": float(np.ravel(model.intercept_)[0])}


def main():
    warnings.simplefilter("ignore")
    data = load_diabetes()
    x, y = np.round(data.data * 20.0, 4), data.target  # features of deviation about 1
    with open(FOLDER / "diabetes.csv", "w") as file:
        for row, value in zip(x, y):
            file.write(",".join(repr(float(v)) for v in row) + f",{float(value)!r}\n")
    weights = 1.0 + np.arange(len(y)) % 3
    exact = {"tol": 1e-10, "max_iter": 100000}
    emit(__doc__.split("\n")[0], cases=[
        descend("lasso", LassoCV(**exact), x, y),
        descend("lasso", LassoCV(cv=3, alphas=[5.0, 0.1, 1.0], fit_intercept=False, **exact), x, y),
        descend("lasso", LassoCV(**exact), x, y, weights),
        descend("elastic-net", ElasticNetCV(l1_ratio=[0.1, 0.5, 0.9], cv=4, **exact), x, y),
        ridge(x, y, [0.01, 0.1, 1.0, 10.0, 100.0], 5),
        ridge(x, y, [0.1, 1.0, 10.0, 50.0], None),
        ridge(x, y, [0.1, 1.0, 10.0, 50.0], None, weights),
    ])


main()
