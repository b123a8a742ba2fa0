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


# Those of ./run bench exactness, whose data are too large for tests.
EXACT_PROBLEMS = (
    Problem("mnist", "l2", 1.0, 784, 10),
    Problem("mnist", "l1", 1.0, 784, 10),
    Problem("mnist", "elastic net", 1.0, 784, 10),
    Problem("sparse", "l2", 0.05, 1 << 20, 2),
    Problem("sparse", "l1", 0.5, 1 << 20, 2),
    Problem("sparse", "elastic net", 0.5, 1 << 20, 2),
)


def reference_of(problem):
    """Returns scikit-learn's solver that finds the optimum within minutes, or None."""
    if problem.penalty == "l2":
        return "newton-cg"
    return "liblinear" if problem.penalty == "l1" and problem.classes == 2 else None


def find(name):
    return next(problem for problem in PROBLEMS + EXACT_PROBLEMS if problem.name == name)
