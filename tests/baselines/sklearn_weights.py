"""Weights of scikit-learn's LogisticRegression on all rows of Iris and of digits / 16.

newton-cg, tol 1e-12. It minimises sum of cross-entropies + sum W^2 / (2 C); divided by the n rows
that is Levin's mean cross-entropy + l2_strength sum W^2 with l2_strength = 1 / (2 C n), the bias
unpenalised. Two classes have one logit, weight [1, features]; K > 2 classes a softmax, weight
[classes, features].

How to compare: the penalty makes every weight unique. A softmax intercept is unique only up to one
constant added to all classes, so subtract the mean from both sides first (scikit-learn's happens to
have mean 0). A single logit's intercept is compared as it is.

Each solution is checked here by two others in float64: Newton's method with the full Hessian
(numpy) and PyTorch's LBFGS; `newton_difference` and `lbfgs_difference` are the largest absolute
differences of any weight or centred intercept, `gradient` the largest entry of the gradient at
scikit-learn's solution.
"""

import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from common import emit

TOLERANCE = 1e-12


def data_sets():
    iris, digits = load_iris(), load_digits()
    two = iris.target > 0
    return [
        ("iris", iris.data, iris.target, [10.0, 1.0, 0.1]),
        ("iris_versicolor_or_virginica", iris.data[two], iris.target[two] - 1, [1.0, 0.1]),
        ("digits", digits.data / 16, digits.target, [1.0, 0.1]),
    ]


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def probabilities_and_targets(x, y, parameters):
    """One column per logit: K for a softmax, one for two classes."""
    z = x @ parameters.T
    if len(parameters) == 1:
        return 1 / (1 + np.exp(-z)), y[:, None].astype(float)
    return softmax(z), np.eye(len(parameters))[y]


def gradient(x, y, parameters, l2):
    """Gradient of Levin's objective; the last column of x is 1, of parameters the intercept."""
    p, t = probabilities_and_targets(x, y, parameters)
    penalty = 2 * l2 * parameters
    penalty[:, -1] = 0
    return (p - t).T @ x / len(x) + penalty


def hessian(x, y, parameters, l2):
    p, _ = probabilities_and_targets(x, y, parameters)
    logits, features = parameters.shape
    h = np.empty((logits, features, logits, features))
    for i in range(logits):
        for j in range(logits):
            curvature = p[:, i] * ((i == j) - p[:, j])
            h[i, :, j, :] = (x * curvature[:, None]).T @ x / len(x)
        h[i, :, i, :] += 2 * l2 * np.diag(np.append(np.ones(features - 1), 0))
    return h.reshape(logits * features, logits * features)


def objective(x, y, parameters, l2):
    z = x @ parameters.T
    if len(parameters) == 1:
        loss = np.logaddexp(0, -(2 * y - 1) * z[:, 0]).mean()
    else:
        loss = (np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y]).mean()
    return loss + l2 * (parameters[:, :-1] ** 2).sum()


def newton(x, y, logits, l2):
    """Damped Newton steps; lstsq because the softmax intercepts leave one direction free."""
    parameters = np.zeros((logits, x.shape[1]))
    for _ in range(100):
        g = gradient(x, y, parameters, l2)
        if np.abs(g).max() < 1e-14:
            break
        step = np.linalg.lstsq(hessian(x, y, parameters, l2), g.ravel(), rcond=1e-13)[0]
        step = step.reshape(g.shape)
        scale, before = 1.0, objective(x, y, parameters, l2)
        while scale > 1e-3 and objective(x, y, parameters - scale * step, l2) > before + 1e-15:
            scale /= 2
        parameters = parameters - scale * step
    return parameters


def lbfgs(x, y, logits, l2):
    x, y = torch.tensor(x), torch.tensor(y)
    parameters = torch.zeros(logits, x.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=5000,
        max_eval=20000,
        history_size=50,
        tolerance_grad=1e-12,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        z = x @ parameters.T
        if logits == 1:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(z[:, 0], y.double())
        else:
            loss = torch.nn.functional.cross_entropy(z, y)
        loss = loss + l2 * parameters[:, :-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return parameters.detach().numpy()


def centred(parameters):
    result = parameters.copy()
    if len(result) > 1:
        result[:, -1] -= result[:, -1].mean()
    return result


def solve(name, x, y, c):
    model = LogisticRegression(C=c, solver="newton-cg", tol=TOLERANCE, max_iter=100_000).fit(x, y)
    l2 = 1 / (2 * c * len(x))
    parameters = np.column_stack([model.coef_, model.intercept_])
    with_ones = np.column_stack([x, np.ones(len(x))])
    logits = len(parameters)

    def difference(solver):
        return np.abs(centred(solver(with_ones, y, logits, l2)) - centred(parameters)).max()

    newton_difference, lbfgs_difference = difference(newton), difference(lbfgs)
    assert newton_difference < 1e-6 and lbfgs_difference < 1e-5, (name, c)
    return {
        "data": name,
        "rows": len(x),
        "C": c,
        "l2_strength": l2,
        "coef": model.coef_,
        "intercept": model.intercept_,
        "objective": objective(with_ones, y, parameters, l2),
        "accuracy": model.score(x, y),
        "gradient": np.abs(gradient(with_ones, y, parameters, l2)).max(),
        "newton_difference": newton_difference,
        "lbfgs_difference": lbfgs_difference,
    }


def main():
    # A fit that stopped short of the tolerance must not become a baseline.
    warnings.simplefilter("error", ConvergenceWarning)
    cases = [solve(name, x, y, c) for name, x, y, strengths in data_sets() for c in strengths]
    emit(__doc__.strip(), tolerance=TOLERANCE, cases=cases)


if __name__ == "__main__":
    main()
