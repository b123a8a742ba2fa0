"""Finds the optimum of a problem of solver_cases.EXACT_PROBLEMS by scikit-learn, for ./run bench
exactness. It takes minutes.

    solver_references.py CASE FOLDER OUTPUT

FOLDER is that of the data, as in solver_problems.py. The output has the coefficients as benchmarks/
solvers.cpp writes them, one point. With an L2 penalty, newton-cg in float64 finds it with tol
1e-12, or newton-cholesky if there are few features; the other small problems are solved by saga
with the same tol. For large problems with an L1 penalty, saga would take hours, and liblinear, with
the least penalty of the intercept and tol 1e-8, ended 0.5 % above the optimum of the sparse set:
solver_cases.reference_of says for which problems there is a reference.
"""

import sys
import warnings

import numpy as np

import solver_cases
import solver_problems


def main(arguments):
    if len(arguments) != 3:
        raise SystemExit(__doc__)
    from sklearn.linear_model import LogisticRegression

    case, folder, output = arguments
    problem = solver_cases.find(case)
    solver = solver_cases.reference_of(problem)
    if solver is None:
        raise SystemExit(f"solver_references: {case} has no reference")
    x, y = solver_problems.read(problem, folder)
    more = {"tol": 1e-12, "max_iter": 10**6}
    if solver == "saga":
        more = {"tol": 1e-12, "max_iter": 10**5, "random_state": 0}
    model = LogisticRegression(C=problem.c, l1_ratio=problem.l1_ratio, solver=solver, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no better point was found, to rounding
        model.fit(x.astype(np.float64), y)
    np.hstack([model.coef_, model.intercept_[:, None]]).astype(np.float64).tofile(output)


if __name__ == "__main__":
    main(sys.argv[1:])
