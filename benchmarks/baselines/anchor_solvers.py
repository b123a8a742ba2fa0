"""Solves a problem of solver_problems.py with scikit-learn or liblinear, for ./run bench solvers.

    anchor_solvers.py --solver NAME --case CASE --folder DIR --coefficients FILE [--seconds 60]
                      [--tol 1e-9]

The solvers are scikit-learn's lbfgs, newton-cg, newton-cholesky and saga, and liblinear's own
program (with an intercept that isn't penalised, which scikit-learn's copy can't do). One run yields
the whole curve: the coefficients are copied after each iteration, by functions that are put between
scikit-learn and the minimiser. saga goes on after some epochs, which grow in number, with the
memory of gradients that it had. liblinear starts anew for each of several tolerances; the time of a
point is that of its own run.

The output is a line of JSON and a file of coefficients, as benchmarks/solvers.cpp explains. A run
ends after the limit of seconds, without counting the start.
"""

import argparse
import json
import time
import warnings

import numpy as np

import solver_cases
import solver_problems


class LimitReached(BaseException):
    """Ends a minimisation. It isn't an Exception, so that nothing on the way catches it."""


class Record:
    """The coefficients so far, [outputs, features + 1] each, and when they were there."""

    def __init__(self, problem, seconds):
        self.problem, self.seconds = problem, seconds
        self.ready = None
        self.times = []
        self.points = []

    def start(self):
        self.ready = time.monotonic_ns()

    def add(self, point, at=None):
        now = at or time.monotonic_ns()
        shape = self.problem.outputs, self.problem.features + 1
        self.times.append(now)
        self.points.append(np.array(np.reshape(point, shape, order="F"), dtype=np.float64))
        if now - self.ready > 1e9 * self.seconds:
            raise LimitReached

    def write(self, path):
        np.stack(self.points).tofile(path)
        print(json.dumps({"ready_ns": self.ready, "points_ns": self.times}))


def watch(module, record):
    """Puts functions that record between scikit-learn's `module` and its minimisers."""
    minimize, newton_cg, sag = module.optimize.minimize, module._newton_cg, module.sag_solver

    def watched_minimize(*arguments, **more):
        return minimize(*arguments, **(more | {"callback": lambda x: record.add(x)}))

    def watched_newton_cg(grad_hess, x0, **more):
        def watched(x, *arguments):
            if np.any(x != x0):  # the start isn't a result
                record.add(x)
            return grad_hess(x, *arguments)

        return newton_cg(grad_hess=watched, x0=x0, **more)

    class Cholesky(module.NewtonCholeskySolver):
        def check_convergence(self, *arguments, **more):
            record.add(self.coef)
            return super().check_convergence(*arguments, **more)

    def watched_sag(x, y, weight, loss, alpha, beta, max_iter, tol, verbose, _, *more, **named):
        check, largest, memory = more
        random = np.random.RandomState(0)  # which goes on from call to call
        done = 0
        while done < max_iter:
            epochs = max(1, done // 10)
            result = sag(x, y, weight, loss, alpha, beta, epochs, tol, verbose, random, check,
                         largest, memory, **named)
            memory = result[2]
            record.add(memory["coef"].T)
            done += epochs
        return result

    module.optimize.minimize = watched_minimize
    module._newton_cg = watched_newton_cg
    module.NewtonCholeskySolver = Cholesky
    module.sag_solver = watched_sag


def solve_with_sklearn(problem, folder, solver, tol, record):
    import sklearn
    from sklearn.linear_model import LogisticRegression, _logistic

    if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8):
        raise SystemExit("anchor_solvers: scikit-learn must be 1.8 or newer, for l1_ratio")
    x, y = solver_problems.read(problem, folder)
    ratio = 1.0 if problem.penalty == "l1" else 0.0
    model = LogisticRegression(
        C=problem.c, l1_ratio=ratio, solver=solver, tol=tol, max_iter=10**6, random_state=0
    )
    watch(_logistic, record)
    record.start()
    model.fit(x, y)


def solve_with_liblinear(problem, folder, record):
    from liblinear import liblinearutil

    x, y = solver_problems.read(problem, folder)
    data = liblinearutil.problem(y, x, bias=1)
    kind = 6 if problem.penalty == "l1" else 0
    record.start()
    for power in range(1, 13):
        options = f"-s {kind} -c {problem.c} -e {10.0 ** -power} -B 1 -R -q"
        started = time.monotonic_ns()
        model = liblinearutil.train(data, options)
        seconds = time.monotonic_ns() - started
        weight, bias = model.get_decfun()
        sign = 1 if model.get_labels()[0] == 1 else -1
        record.add(sign * np.array([*weight, bias]), record.ready + seconds)
        if seconds > 1e9 * record.seconds:
            break


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--solver", required=True)
    parser.add_argument("--case", required=True, type=solver_cases.find)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--coefficients", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tol", type=float, default=1e-9)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # about convergence, which the curves show
    record = Record(options.case, options.seconds)
    try:
        if options.solver == "liblinear":
            solve_with_liblinear(options.case, options.folder, record)
        else:
            solve_with_sklearn(options.case, options.folder, options.solver, options.tol, record)
    except LimitReached:
        pass
    record.write(options.coefficients)


if __name__ == "__main__":
    main()
