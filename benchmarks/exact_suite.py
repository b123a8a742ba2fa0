"""The runs of ./run bench exactness: each of Levin's solvers with each penalty that it can take, on
small data sets, MNIST and the sparse set, to a tight tol, beside the optimum that scikit-learn
finds with tol 1e-12.

scikit-learn's optima are made by baselines/solver_references.py once and kept in
--reference-folder. Where scikit-learn would take hours, the reference is the best point that any of
Levin's solvers has found, and the table says so.
"""

import json
import pathlib
import tempfile

import solver_suite

solver_cases = solver_suite.solver_cases
CASES = {problem.name: problem for problem in solver_cases.EXACT_PROBLEMS}
TOL = {"sparse": 1e-9}  # by the data
SMALLEST_TOL = 1e-11  # of all others
SECONDS = 900  # of a run of Levin
SMOOTH = ("lbfgs", "newton-cg", "trust-region", "newton-cholesky", "sag", "dual-coordinate-descent")
ALL_PENALTIES = ("lbfgs", "coordinate-descent", "saga")
# Data sets whose optimum without a reference is found by NumPy, from Levin's best point.
POLISHED = ("mnist",)
# Pairs that would take hours.
LEFT_OUT = {
    ("mnist", "newton-cholesky"): "a Hessian of 7,850 parameters takes minutes",
    ("sparse", "newton-cholesky"): "a Hessian of 2^20 features takes 8 TB",
}


def solvers(case):
    """Returns the solvers that take the problem's penalty and loss."""
    problem = CASES[case]
    if problem.penalty != "l2":
        return list(ALL_PENALTIES)
    names = dict.fromkeys((*ALL_PENALTIES, *SMOOTH))
    if problem.outputs > 1:
        del names["dual-coordinate-descent"]  # which refuses the softmax
    return list(names)


class Suite(solver_suite.Suite):
    """The runs and their files, in a temporary folder."""

    def __init__(self, options, folders, folder, say):
        super().__init__(options, folders["mnist"], folders["sparse"], folder)
        self.say = say
        self.references = options.reference_folder or options.bin.parent / "bench-references"
        self.seconds = 2 if self.is_trial else SECONDS

    def data_folder(self, case):
        folders = {"mnist": self.mnist, "sparse": self.sparse_set}
        return folders.get(CASES[case].data, self.folder)

    def reference(self, case):
        """Returns the file with scikit-learn's optimum, or None if there can't be one."""
        if solver_cases.reference_of(CASES[case]) is None:
            return None
        name = case.replace(", ", "-") + (f"-{self.sparse_set.name}" if "sparse" in case else "")
        file = pathlib.Path(self.references) / f"{name}.bin"
        if not file.exists():
            self.say(f"  scikit-learn looks for the optimum of {case}, which takes minutes")
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            self.python("solver_references.py", case, self.data_folder(case), part)
            part.rename(file)
        return file

    def levin(self, case, solver, run):
        """Returns the file with the last point, and the seconds that the solver took."""
        problem = CASES[case]
        file = self.folder / f"{case.replace(', ', '-')}-{solver}.bin"
        command = [self.program, "--solver", solver, "--coefficients", file]
        command += ["--tol", TOL.get(problem.data, SMALLEST_TOL)]
        command += ["--only-last", 1, "--seconds", self.seconds]
        command += solver_suite.levin_arguments(problem)
        command += ["--mnist", self.mnist, "--folder", self.data_folder(case)]
        found = run(list(map(str, command)))
        return file, (found["points_ns"][-1] - found["ready_ns"]) / 1e9

    def run_case(self, case, run, failures):
        """Returns a record for each solver of the case."""
        files = {}
        for solver in solvers(case):
            reason = LEFT_OUT.get((CASES[case].data, solver))
            try:
                if reason is None:
                    files[solver] = self.levin(case, solver, run)
                    self.say(f"  {solver:26s} {files[solver][1]:9.1f} s")
            except (RuntimeError, OSError, ValueError, IndexError) as error:
                reason = str(error)
            if reason is not None:
                failures[f"exactness, Levin {solver}: {case}"] = reason
        if not files:
            return []
        return self.compare(case, files)

    def compare(self, case, files):
        paths = [file for file, _ in files.values()]
        reference = self.reference(case)
        beside = solver_cases.reference_of(CASES[case])
        if reference is None:  # the best of them, which the first comparison tells
            arguments = "compare", case, self.data_folder(case), paths[0], *paths
            found = json.loads(self.python("solver_problems.py", *arguments))
            best = min(range(len(paths)), key=lambda k: found[k]["objective"])
            reference, beside = paths[best], f"Levin {list(files)[best]}"
            if CASES[case].data in POLISHED:
                self.say(f"  NumPy goes on from Levin's best point of {case}, which takes minutes")
                reference, beside = self.folder / "polished.bin", "Newton in NumPy"
                arguments = case, self.data_folder(case), paths[best], reference
                self.python("polished_optimum.py", *arguments)
        arguments = "compare", case, self.data_folder(case), reference, *paths
        found = json.loads(self.python("solver_problems.py", *arguments))
        return [
            {"case": case, "solver": solver, "beside": beside, "seconds": round(seconds, 2)}
            | {"is_stopped": seconds > self.seconds, "penalty": CASES[case].penalty}
            | record
            for (solver, (_, seconds)), record in zip(files.items(), found)
        ]


def run_exactness(options, folders, run, say, results):
    """Adds a record for each pair of a solver and a penalty as results["exactness"]."""
    results["exactness"] = []
    with tempfile.TemporaryDirectory(prefix="bench-exactness-") as folder:
        suite = Suite(options, folders, folder, say)
        suite.python("solver_problems.py", "write", folder)
        for case, problem in CASES.items():
            is_chosen = not options.case or case in options.case
            if not is_chosen or folders.get(problem.data, folder) is None:
                continue
            say(f"exactness: {case}")
            try:
                results["exactness"] += suite.run_case(case, run, results["failures"])
            except (RuntimeError, OSError) as error:
                results["failures"][f"exactness: {case}"] = str(error)
                say(f"  failed: {error}")
