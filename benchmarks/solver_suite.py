"""The runs of ./run bench solvers: each of Levin's solvers, and those of scikit-learn and
liblinear, on the problems of baselines/solver_problems.py.

Each run is a process of its own on one core, and yields a curve: the coefficients after each
iteration, of which one function computes the objectives, when all runs are done. A run that a
problem refuses, such as an L1 penalty for newton-cg, is left out, with the program's reason.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import solver_curves

BASELINES = pathlib.Path(__file__).resolve().parent / "baselines"
sys.path.append(str(BASELINES))
import solver_cases  # noqa: E402

CASES = {problem.name: problem for problem in solver_cases.PROBLEMS}
MOST_FOR_CHOLESKY = 2000  # parameters; for more, a single Hessian takes minutes


def anchors(case):
    """Returns the programs that are compared with Levin's: solvers of anchor_solvers.py."""
    problem = CASES[case]
    smooth = ["lbfgs", "newton-cg", "newton-cholesky"] if problem.penalty == "l2" else []
    # liblinear trains one model against the rest for each class, which is another objective.
    return smooth + ["saga"] + (["liblinear"] if problem.classes == 2 else [])


def title(solver, is_levin):
    if is_levin:
        return f"Levin {solver}"
    return solver if solver == "liblinear" else f"scikit-learn {solver}"


def is_run(case, solver, is_levin, round_index):
    problem = CASES[case]
    if solver == "newton-cholesky":
        return problem.parameters <= MOST_FOR_CHOLESKY
    # scikit-learn's saga on MNIST gets one round, since it is slow and no bound is about it.
    return problem.data != "mnist" or round_index == 0 or is_levin or solver != "saga"


class Suite:
    """The runs and their files, in a temporary folder."""

    def __init__(self, options, mnist, folder):
        self.options, self.mnist, self.folder = options, mnist, pathlib.Path(folder)
        self.program = options.bin / "bench_solvers"
        self.is_trial = options.rounds < 3
        self.records = []  # with "file" instead of objectives

    def python(self, program, *arguments):
        command = [self.options.python, "-B", BASELINES / program, *map(str, arguments)]
        done = subprocess.run(command, text=True, capture_output=True)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise RuntimeError(lines[-1])
        return done.stdout

    def levin_solvers(self):
        command = [self.program, "--list"]
        return subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True).stdout.split()

    def data_folder(self, case):
        return self.mnist if CASES[case].data == "mnist" else self.folder

    def command(self, case, solver, is_levin, file):
        problem = CASES[case]
        is_mnist = problem.data == "mnist"
        # On MNIST, newton-cg ends where it does by default: the bounds are about that objective.
        is_reference = is_mnist and not is_levin and solver == "newton-cg"
        if is_mnist:
            seconds = 600 if is_reference else 15 if self.is_trial else 15 if is_levin else 75
        else:
            seconds = 1 if self.is_trial else 3
        more = ["--solver", solver, "--coefficients", file, "--seconds", seconds]
        if is_levin:
            more += ["--problem", problem.data, "--penalty", problem.penalty, "--C", problem.c]
            more += ["--features", problem.features, "--classes", problem.classes]
            more += ["--mnist", self.mnist, "--folder", self.folder]
            return list(map(str, [self.program, *more]))
        more += ["--case", case, "--folder", self.data_folder(case)]
        more += ["--tol", 1e-4 if is_reference else 1e-9]
        return list(map(str, [self.options.python, "-B", BASELINES / "anchor_solvers.py", *more]))

    def run_round(self, case, index, run, say, failures):
        programs = [(solver, True) for solver in self.levin_solvers()]
        programs += [(solver, False) for solver in anchors(case)]
        shift = index % len(programs)
        for solver, is_levin in programs[shift:] + programs[:shift]:
            name = title(solver, is_levin)
            if not is_run(case, solver, is_levin, index) or f"{name}: {case}" in failures:
                continue
            file = self.folder / f"{len(self.records)}.bin"
            try:
                found = run(self.command(case, solver, is_levin, file))
            except (RuntimeError, OSError, ValueError, IndexError) as error:
                failures[f"{name}: {case}"] = str(error)
                say(f"  {name:32s} left out: {error}")
                continue
            record = {"case": case, "program": name, "round": index, "file": str(file)}
            start = found["started_ns"]
            record["ready"] = (found["ready_ns"] - start) / 1e9
            record["seconds"] = [(at - start) / 1e9 for at in found["points_ns"]]
            self.records.append(record)
            say(f"  {name:32s} {len(record['seconds']):5d} points {record['seconds'][-1]:9.3f} s")

    def evaluate(self, case):
        """Returns the runs of a case with their objectives, and how far their best coefficients are
        from the best of all.
        """
        records = [r for r in self.records if r["case"] == case]
        if not records:
            return []
        files = [r["file"] for r in records]
        arguments = "evaluate", case, self.data_folder(case), *files
        evaluated = json.loads(self.python("solver_problems.py", *arguments))
        runs = []
        for record, found in zip(records, evaluated):
            points = [[round(s, 6), v] for s, v in zip(record["seconds"], found["objectives"])]
            run = {name: record[name] for name in ("case", "program", "round", "ready")}
            run["distance"] = found["distance"]
            runs.append(run | {"points": solver_curves.thinned(points, record["ready"])})
        return runs


def run_solvers(options, mnist, run, say, results):
    """Runs all cases in rounds, and adds the runs as results["solvers"]. `run` starts a program on
    one core and returns its line of JSON.
    """
    rounds = min(options.rounds, 3)
    names = [case for case in CASES if mnist or CASES[case].data != "mnist"]
    with tempfile.TemporaryDirectory(prefix="bench-solvers-") as folder:
        suite = Suite(options, mnist, folder)
        try:
            suite.python("solver_problems.py", "write", folder)
            for index in range(rounds):
                for case in names:
                    say(f"round {index + 1} of {rounds}: {case}")
                    suite.run_round(case, index, run, say, results["failures"])
            say("computing the objectives of all points")
            results["solvers"] = [r for case in names for r in suite.evaluate(case)]
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            results["failures"]["solvers"] = str(error)
