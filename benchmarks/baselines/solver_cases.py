"""The problems of ./run bench solvers: data sets with their penalties. This needs no packages."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Problem:
    """A data set and a penalty."""

    data: str
    penalty: str
    c: float
    features: int
    classes: int

    @property
    def name(self):
        return f"{self.data}, {self.penalty}"

    @property
    def l1_ratio(self):
        """The L1 penalty's share, as in scikit-learn."""
        return {"l2": 0.0, "l1": 1.0, "elastic net": 0.5}[self.penalty]

    @property
    def outputs(self):
        return 1 if self.classes == 2 else self.classes

    @property
    def parameters(self):
        return self.outputs * (self.features + 1)


PROBLEMS = (
    Problem("mnist", "l2", 1.0, 784, 10),
    Problem("sparse", "l2", 0.05, 1 << 20, 2),
    Problem("sparse", "l1", 0.5, 1 << 20, 2),
    Problem("digits", "l2", 1.0, 64, 10),
    Problem("digits", "l1", 0.1, 64, 10),
    Problem("breast_cancer", "l2", 1.0, 30, 2),
    Problem("breast_cancer", "l1", 0.5, 30, 2),
)


# The small data sets of ./run bench exactness: their features, classes, and C for the L1 penalty.
# The features of those that are called unscaled aren't standardized; they have no L1 penalty.
SMALL_SETS = {
    "iris": (4, 3, 0.5),
    "iris_unscaled": (4, 3, None),
    "digits": (64, 10, 0.1),
    "wine": (13, 3, 0.5),
    "wine_unscaled": (13, 3, None),
    "breast_cancer": (30, 2, 0.5),
    "breast_cancer_unscaled": (30, 2, None),
}


def small_problems():
    for name, (features, classes, c) in SMALL_SETS.items():
        yield Problem(name, "l2", 1.0, features, classes)
        if c is not None:
            yield Problem(name, "l1", c, features, classes)
            yield Problem(name, "elastic net", 0.1, features, classes)


# Those of ./run bench exactness.
EXACT_PROBLEMS = (
    *small_problems(),
    Problem("mnist", "l2", 1.0, 784, 10),
    Problem("mnist", "l1", 1.0, 784, 10),
    Problem("mnist", "elastic net", 1.0, 784, 10),
    Problem("sparse", "l2", 0.05, 1 << 20, 2),
    Problem("sparse", "l1", 0.5, 1 << 20, 2),
    Problem("sparse", "elastic net", 0.5, 1 << 20, 2),
)


def reference_of(problem):
    """Returns scikit-learn's solver that finds the optimum within minutes, or None."""
    if problem.data in SMALL_SETS:
        return "newton-cholesky" if problem.penalty == "l2" else "saga"
    if problem.penalty == "l2":
        return "newton-cg"
    return None  # saga would take hours; liblinear ends 0.5 % above the optimum of the sparse set


def find(name):
    return next(problem for problem in PROBLEMS + EXACT_PROBLEMS if problem.name == name)
