"""scikit-learn's coefficients of small regressions: penalties, C, weights of rows and of classes.

x [24, 4] has features of different means and deviations, y [24] and y2 [24, 2] are values, labels
[24] are three unbalanced classes, weights [24] are 0.5, 1, 2 or 3. Each case names the estimator's
parameters; coef and intercept are what it found, to about 1e-10, so they can be compared to 1e-6.

`linear`: Ridge, Lasso and ElasticNet. `logistic`: LogisticRegression, whose intercepts are unique
only up to one constant added to all of them; subtract their mean first. `weights`: the same
estimators with sample_weight and class_weight. `class_weights`: compute_class_weight("balanced").
`standardized`: StandardScaler's mean_, scale_ and result, fitted on the first 16 rows; the last
feature is constant. `scores`: r2_score, mean_squared_error and mean_absolute_error.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight

from common import emit

ROWS = 24
random = np.random.default_rng(13)
x = np.round(random.normal(size=(ROWS, 4)) * [1.0, 0.7, 1.3, 0.9] + [0.3, -0.2, 0.1, 0.0], 3)
noise = random.normal(size=(ROWS, 2))
y2 = np.round(x @ [[1.5, -0.4], [-2.0, 0.0], [0.0, 0.8], [0.3, 0.1]] + [0.7, -1.1] + 0.3 * noise, 3)
y = y2[:, 0]
labels = np.where(x[:, 0] + 0.8 * noise[:, 0] > 1.2, 2, np.where(x[:, 1] + noise[:, 1] > -0.1, 1, 0))
weights = random.choice([0.5, 1.0, 2.0, 3.0], size=ROWS)


def linear(name, estimator, target, weight=None):
    estimator.fit(x, target, sample_weight=weight)
    parameters = {k: v for k, v in estimator.get_params().items() if k in ("alpha", "l1_ratio")}
    return {"estimator": name, **parameters, "outputs": 1 if target.ndim == 1 else target.shape[1],
            "coef": np.atleast_2d(estimator.coef_), "intercept": np.atleast_1d(estimator.intercept_)}


def linear_cases():
    exact = {"tol": 1e-14, "max_iter": 1_000_000}
    for target in (y, y2):
        yield linear("LinearRegression", LinearRegression(), target)
        yield linear("Ridge", Ridge(alpha=3.0), target)
        yield linear("Lasso", Lasso(alpha=0.2, **exact), target)
        yield linear("ElasticNet", ElasticNet(alpha=0.3, l1_ratio=0.4, **exact), target)


def logistic(target, c, l1_ratio=0.0, weight=None, class_weight=None):
    solver = {"solver": "newton-cg", "tol": 1e-12} if l1_ratio == 0 else {"solver": "saga", "tol": 1e-13}
    model = LogisticRegression(C=c, l1_ratio=l1_ratio, class_weight=class_weight,
                               max_iter=1_000_000, random_state=0, **solver)
    model.fit(x, target, sample_weight=weight)
    listed = class_weight
    if isinstance(class_weight, dict):
        listed = [class_weight[k] for k in sorted(class_weight)]
    return {"C": c, "l1_ratio": l1_ratio, "classes": len(model.classes_), "class_weight": listed,
            "weighted": weight is not None, "coef": model.coef_, "intercept": model.intercept_}


two = (labels > 0).astype(int)
with warnings.catch_warnings():
    warnings.simplefilter("error", ConvergenceWarning)
    logistic_cases = [logistic(target, c, r) for target in (labels, two)
                      for c, r in [(1.0, 0.0), (0.3, 0.0), (0.5, 1.0), (0.7, 0.35)]]
    by_class = {0: 2.0, 1: 0.5, 2: 3.0}
    weighted_logistic = [
        logistic(labels, 1.0, weight=weights),
        logistic(labels, 1.0, class_weight="balanced"),
        logistic(labels, 0.5, weight=weights, class_weight="balanced"),
        logistic(labels, 0.5, weight=weights, class_weight=by_class),
        logistic(two, 2.0, weight=weights, class_weight="balanced"),
    ]
    weighted_linear = [
        linear("LinearRegression", LinearRegression(), y, weights),
        linear("Ridge", Ridge(alpha=3.0), y, weights),
    ]
    linear_all = list(linear_cases())

with_constant = np.column_stack([x, np.full(ROWS, 0.1)])
scaler = StandardScaler().fit(with_constant[:16])
guess = np.round(y2 * 0.8 + 0.1, 3)

emit(
    __doc__,
    x=x, y=y, y2=y2, labels=labels, two=two, weights=weights,
    linear=linear_all,
    logistic=logistic_cases,
    weights_linear=weighted_linear,
    weights_logistic=weighted_logistic,
    class_weights=compute_class_weight("balanced", classes=np.unique(labels), y=labels),
    standardized={"x": with_constant, "rows": 16, "mean": scaler.mean_, "deviation": scaler.scale_,
                  "result": scaler.transform(with_constant)},
    scores={"guess": guess,
            "r2": r2_score(y2, guess), "mse": mean_squared_error(y2, guess),
            "mae": mean_absolute_error(y2, guess)},
)
