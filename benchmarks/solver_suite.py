"""The runs of ./run bench solvers: each of Levin's solvers, and those of scikit-learn, liblinear
and Vowpal Wabbit, on the problems of baselines/solver_problems.py.

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
# Solvers of Levin that aren't compared: one is for ManyRegressions, the other one of two others.
NOT_COMPARED = ("lockstep-newton", "coordinate-descent-or-lbfgs")
LEARNERS = ("OnlineAdagrad", "OnlineSGD", "FTRL")  # are for sparse rows of two classes
# On large data, all other programs get one round, since no bound is about them.
IN_EACH_ROUND = {
    "mnist, l2": (
        "Levin lbfgs",
        "Levin newton-cg",
        "Levin trust-region",
        "scikit-learn newton-cg",
    ),
    "sparse, l2": (
        "Levin lbfgs",
        "Levin newton-cg",
        "Levin OnlineAdagrad",
        "liblinear",
        "Vowpal Wabbit",
    ),
    "sparse, l1": ("Levin coordinate-descent", "liblinear"),
}


def anchors(case):
    """Returns the programs that are compared with Levin's: solvers of anchor_solvers.py."""
    problem = CASES[case]
    smooth = ["lbfgs", "newton-cg", "newton-cholesky"] if problem.penalty == "l2" else []
    # liblinear trains one model against the rest for each class, which is another objective.
    others = ["liblinear"] if problem.classes == 2 else []
    others += ["vowpal-wabbit"] if problem.data == "sparse" else []
    return smooth + ["saga"] + others


def title(solver, is_levin):
    if is_levin:
        return f"Levin {solver}"
    names = {"liblinear": "liblinear", "vowpal-wabbit": "Vowpal Wabbit"}
    return names.get(solver) or f"scikit-learn {solver}"


def is_run(case, solver, is_levin, round_index):
    problem = CASES[case]
    if solver == "newton-cholesky" and problem.parameters > MOST_FOR_CHOLESKY:
        return False
    in_each_round = IN_EACH_ROUND.get(case)
    return round_index == 0 or not in_each_round or title(solver, is_levin) in in_each_round


def limit_of(case, solver, is_levin, is_trial):
    """Returns the seconds after which a run ends."""
    data = CASES[case].data
    # On MNIST, newton-cg ends where it does by default: the bounds are about that objective.
    if data == "mnist" and not is_levin and solver == "newton-cg":
        return 600
    if case not in IN_EACH_ROUND:
        return 0.5 if is_trial else 1
    if is_trial:
        return 15 if data == "mnist" else 2
    if data == "mnist":  # lbfgs takes long, and a bound is about it
        return 15 if is_levin else 75 if solver == "lbfgs" else 30
    if solver in LEARNERS:
        return 3
    if is_levin:
        return 8
    # liblinear's is the limit of its last tolerance alone, before which there were others.
    return 15 if solver == "liblinear" else 20


def levin_arguments(problem):
    """Returns the arguments that tell the program bench_solvers of a problem."""
    arguments = ["--problem", problem.data, "--l1-ratio", problem.l1_ratio, "--C", problem.c]
    return arguments + ["--features", problem.features, "--classes", problem.classes]


class Suite:
    """The runs and their files, in a temporary folder."""

    def __init__(self, options, mnist, sparse_set, folder):
        self.options, self.mnist, self.folder = options, mnist, pathlib.Path(folder)
        self.sparse_set = sparse_set
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
        listed = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True).stdout
        return [name for name in listed.split() if name not in NOT_COMPARED]

    def data_folder(self, case):
        folders = {"mnist": self.mnist, "sparse": self.sparse_set}
        return folders.get(CASES[case].data, self.folder)

    def programs(self, case):
        """Returns the pairs of a solver and whether it is Levin's."""
        learners = LEARNERS if CASES[case].data == "sparse" else ()
        own = [(solver, True) for solver in [*self.levin_solvers(), *learners]]
        return own + [(solver, False) for solver in anchors(case)]

    def command(self, case, solver, is_levin, file):
        problem = CASES[case]
        more = ["--solver", solver, "--coefficients", file]
        more += ["--seconds", limit_of(case, solver, is_levin, self.is_trial)]
        if is_levin:
            more += levin_arguments(problem)
            more += ["--mnist", self.mnist, "--folder", self.data_folder(case)]
            return list(map(str, [self.program, *more]))
        is_reference = problem.data == "mnist" and solver == "newton-cg"
        more += ["--case", case, "--folder", self.data_folder(case)]
        more += ["--tol", 1e-4 if is_reference else 1e-9]
        return list(map(str, [self.options.python, "-B", BASELINES / "anchor_solvers.py", *more]))

    def run_round(self, case, index, run, say, failures):
        programs = self.programs(case)
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
            run["points"] = solver_curves.thinned(points, record["ready"])
            if "test_losses" in found:
                pairs = zip(record["seconds"], found["test_losses"])
                points = [[round(s, 6), loss] for s, loss in pairs]
                run["test_points"] = solver_curves.thinned(points, record["ready"])
            runs.append(run)
        return runs


def run_solvers(options, folders, run, say, results):
    """Runs all cases in rounds, and adds the runs as results["solvers"]. `folders` has those of
    "mnist" and "sparse", None if they aren't there. `run` starts a program on one core and returns
    its line of JSON.
    """
    rounds = min(options.rounds, 3)
    names = [case for case in CASES if folders.get(CASES[case].data, True)]
    with tempfile.TemporaryDirectory(prefix="bench-solvers-") as folder:
        suite = Suite(options, folders["mnist"], folders["sparse"], folder)
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
