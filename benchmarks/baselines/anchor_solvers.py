"""Solves a problem of solver_problems.py with scikit-learn, liblinear or Vowpal Wabbit, for ./run
bench solvers.

    anchor_solvers.py --solver NAME --case CASE --folder DIR --coefficients FILE [--seconds 60]
                      [--tol 1e-9]

The solvers are scikit-learn's lbfgs, newton-cg, newton-cholesky and saga, liblinear's own program
(with an intercept that isn't penalised, which scikit-learn's copy can't do), and vowpal-wabbit. One
run yields the whole curve: the coefficients are copied after each iteration, by functions that are
put between scikit-learn and the minimiser. saga goes on after some epochs, which grow in number,
with the memory of gradients that it had. liblinear starts anew for each of several tolerances; the
time of a point is that of its own run. Vowpal Wabbit, with its default updates, reads the text of
the sparse set in its first pass and its cache in the others, and writes a model after each pass,
when the time of the point is taken. The models are read afterwards. It has tables of 2^21 weights,
so that the index of its constant isn't a column of the data.

The output is a line of JSON and a file of coefficients, as benchmarks/solvers.cpp explains. A run
ends after the limit of seconds, without counting the start; that of Vowpal Wabbit after 5 passes.
"""

import argparse
import json
import os
import pathlib
import re
import sys
import tempfile
import threading
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

    def end_by_itself(self, path):
        """Ends the process after three times the limit, in the midst of an iteration. With an L1
        penalty on many features, an epoch of scikit-learn's saga takes minutes.
        """

        def end():
            if self.points:
                count = len(self.times)  # the other thread may be about to add a point
                self.times, self.points = self.times[:count], self.points[:count]
                self.write(path)
            else:
                print(f"no iteration ended within {3 * self.seconds:g} s", file=sys.stderr)
            sys.stdout.flush()
            os._exit(0 if self.points else 1)

        timer = threading.Timer(3 * self.seconds, end)
        timer.daemon = True
        timer.start()

    def add(self, point, at=None):
        now = at or time.monotonic_ns()
        shape = self.problem.outputs, self.problem.features + 1
        self.points.append(np.array(np.reshape(point, shape, order="F"), dtype=np.float64))
        self.times.append(now)
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
            result = sag(
                x,
                y,
                weight,
                loss,
                alpha,
                beta,
                epochs,
                tol,
                verbose,
                random,
                check,
                largest,
                memory,
                **named,
            )
            memory = result[2]
            record.add(memory["coef"].T)
            done += epochs
        return result

    module.optimize.minimize = watched_minimize
    module._newton_cg = watched_newton_cg
    module.NewtonCholeskySolver = Cholesky
    module.sag_solver = watched_sag


def solve_with_sklearn(options, record):
    import sklearn
    from sklearn.linear_model import LogisticRegression, _logistic

    if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8):
        raise SystemExit("anchor_solvers: scikit-learn must be 1.8 or newer, for l1_ratio")
    problem = options.case
    x, y = solver_problems.read(problem, options.folder)
    ratio = 1.0 if problem.penalty == "l1" else 0.0
    model = LogisticRegression(
        C=problem.c,
        l1_ratio=ratio,
        solver=options.solver,
        tol=options.tol,
        max_iter=10**6,
        random_state=0,
    )
    watch(_logistic, record)
    record.start()
    record.end_by_itself(options.coefficients)
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
        weight, bias = model.get_decfun()  # without the last features, if no row has them
        sign = 1 if model.get_labels()[0] == 1 else -1
        point = np.zeros(problem.features + 1)
        point[: len(weight)], point[-1] = weight, bias
        record.add(sign * point, record.ready + seconds)


VW_PASSES = 5
VW_BITS = 21
VW_CONSTANT = 11650396 % 2**VW_BITS  # the index of its constant feature


def read_vw_model(problem, path):
    """Returns weights and intercept of a model that Vowpal Wabbit has saved."""
    import vowpalwabbit

    text = path.with_suffix(".txt")
    arguments = ["-i", path, "-t", "--quiet", "--no_stdin", "--readable_model", text]
    vowpalwabbit.Workspace(arg_list=list(map(str, arguments))).finish()
    pairs = np.array(re.findall(r"^(\d+):(\S+)$", text.read_text(), re.M), np.float64)
    table = np.zeros(2**VW_BITS)
    table[pairs[:, 0].astype(np.int64)] = pairs[:, 1]
    return np.append(table[: problem.features], table[VW_CONSTANT])


def solve_with_vw(problem, folder, record):
    """Its penalties aren't used: they shrink all weights by the same total, rare features as much
    as frequent ones, so that --l2 with the objective's strength ends far above the optimum.
    """
    import vowpalwabbit

    with tempfile.TemporaryDirectory(dir=folder) as made:
        model = pathlib.Path(made) / "model"
        arguments = ["--loss_function", "logistic", "-b", VW_BITS, "--quiet", "--no_stdin", "-k"]
        arguments += ["-d", pathlib.Path(folder) / "train.vw", "--passes", VW_PASSES]
        arguments += ["--cache_file", f"{model}.cache", "--holdout_off", "--save_per_pass"]
        arguments += ["-f", model]
        record.start()
        to_monotonic = time.monotonic_ns() - time.time_ns()
        vowpalwabbit.Workspace(arg_list=list(map(str, arguments))).finish()
        for index in range(1, VW_PASSES + 1):
            path = pathlib.Path(f"{model}.{index}")
            record.add(read_vw_model(problem, path), path.stat().st_mtime_ns + to_monotonic)


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
        elif options.solver == "vowpal-wabbit":
            solve_with_vw(options.case, options.folder, record)
        else:
            solve_with_sklearn(options, record)
    except LimitReached:
        pass
    record.write(options.coefficients)


if __name__ == "__main__":
    main()
