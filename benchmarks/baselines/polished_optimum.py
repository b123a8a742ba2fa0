"""Goes on from a point near the optimum of a softmax regression with an L1 penalty by a proximal
Newton method in NumPy and SciPy, which shares no code with Levin, until no entry of the subgradient
is above 1e-12. For ./run bench exactness, where scikit-learn's saga would take hours.

    polished_optimum.py CASE FOLDER START OUTPUT

FOLDER is that of the data, and START and OUTPUT are points as in solver_problems.py. Fails if it
doesn't get there. The matrix of second derivatives takes a minute for 3,000 weights that aren't 0
and 60,000 rows, and it takes two or three of them.
"""

import sys

import numpy as np
import scipy.linalg

import solver_cases
import solver_problems

TOL = 1e-12
NEAR = 0.97  # weights of 0 are in the model if their gradient is at least this share of the penalty


class Problem:
    """The rows, with a column of ones, and the strengths of the penalties of each weight."""

    def __init__(self, problem, folder):
        x, self.y = solver_problems.read(problem, folder)
        self.x = np.hstack([x.astype(np.float64), np.ones((len(self.y), 1))])
        shape = problem.outputs, self.x.shape[1]
        strength = 1 / (problem.c * len(self.y))
        self.l1 = np.full(shape, problem.l1_ratio * strength)
        self.l2 = np.full(shape, (1 - problem.l1_ratio) * strength)
        self.l1[:, -1] = self.l2[:, -1] = 0

    def evaluate(self, w):
        """Returns the objective, the smooth part's gradient, and the classes' probabilities."""
        z = self.x @ w.T
        z -= z.max(1, keepdims=True)
        shares = np.exp(z)
        sums = shares.sum(1, keepdims=True)
        rows = np.arange(len(self.y))
        loss = (np.log(sums[:, 0]) - z[rows, self.y]).mean()
        shares /= sums
        errors = shares.copy()
        errors[rows, self.y] -= 1
        value = loss + (self.l1 * np.abs(w)).sum() + (self.l2 * w * w).sum() / 2
        return value, errors.T @ self.x / len(self.y) + self.l2 * w, shares

    def subgradient(self, w, gradient):
        at_zero = np.sign(gradient) * np.maximum(np.abs(gradient) - self.l1, 0)
        return np.where(w == 0, at_zero, gradient + self.l1 * np.sign(w))

    def hessian(self, columns, shares):
        """Returns the second derivatives of some columns of each output."""
        first = np.concatenate([[0], np.cumsum([len(own) for own in columns])])
        result = np.zeros((first[-1], first[-1]))
        for k in range(len(columns)):
            for j in range(k + 1):
                factors = shares[:, k] * ((k == j) - shares[:, j]) / len(self.y)
                block = self.x[:, columns[k]].T @ (self.x[:, columns[j]] * factors[:, None])
                result[first[k] : first[k + 1], first[j] : first[j + 1]] = block
                result[first[j] : first[j + 1], first[k] : first[k + 1]] = block.T
        result[np.diag_indices(first[-1])] += np.concatenate(
            [self.l2[k, own] for k, own in enumerate(columns)]
        )
        return result


def minimise_model(hessian, gradient, l1, start, tol):
    """Minimises gradient . d + d . hessian . d / 2 + l1 . |start + d| by Newton steps over the
    entries that may change, whose signs don't, and returns start + d.
    """
    w, slope = start.copy(), gradient.copy()
    value = (l1 * np.abs(w)).sum()
    for _ in range(50):
        at_zero = np.sign(slope) * np.maximum(np.abs(slope) - l1, 0)
        steepest = np.where((w != 0) | (l1 == 0), slope + l1 * np.sign(w), at_zero)
        if np.abs(steepest).max() <= tol:
            break
        free = np.flatnonzero((w != 0) | (l1 == 0) | (steepest != 0))
        own = hessian[np.ix_(free, free)]
        own[np.diag_indices(len(free))] *= 1 + 1e-9  # the sum of all biases has no curvature
        along = np.zeros_like(w)
        along[free] = -scipy.linalg.solve(own, steepest[free], assume_a="pos")
        signs = np.where(w != 0, np.sign(w), -np.sign(steepest))
        step = 1.0
        while step > 1e-6:
            end = w + step * along
            end = np.where((end * signs <= 0) & (l1 > 0), 0, end)
            change = end - start
            product = hessian @ change
            found = gradient @ change + change @ product / 2 + (l1 * np.abs(end)).sum()
            rounding = 1e-14 * abs(value)
            if found < value + 1e-4 * (steepest @ (end - w)) + rounding:
                break
            step /= 2
        else:
            break
        w, slope, value = end, gradient + product, found
    return w


def polish(problem, w):
    """Returns the optimum near w, and the largest entry of its subgradient."""
    value, gradient, shares = problem.evaluate(w)
    for _ in range(10):
        largest = np.abs(problem.subgradient(w, gradient)).max()
        if largest <= TOL:
            break
        chosen = (w != 0) | (np.abs(gradient) > NEAR * problem.l1)
        columns = [np.flatnonzero(own) for own in chosen]
        hessian = problem.hessian(columns, shares)
        target = w.copy()
        target[chosen] = minimise_model(
            hessian, gradient[chosen], problem.l1[chosen], w[chosen], 1e-3 * largest
        )
        step = 1.0
        while step > 1e-4:
            end = w + step * (target - w) if step < 1 else target
            found = problem.evaluate(end)
            if found[0] <= value * (1 + 1e-13):  # up to rounding
                break
            step /= 2
        else:
            break
        w, (value, gradient, shares) = end, found
    return w, np.abs(problem.subgradient(w, gradient)).max()


def main(arguments):
    if len(arguments) != 4:
        raise SystemExit(__doc__)
    case, folder, start, output = arguments
    described = solver_cases.find(case)
    w, largest = polish(
        Problem(described, folder), solver_problems.points_of(described, start)[-1].copy()
    )
    if largest > TOL:
        raise SystemExit(f"polished_optimum: {case} ended with a subgradient of {largest:.1e}")
    w.astype(np.float64).tofile(output)


if __name__ == "__main__":
    main(sys.argv[1:])
