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
    def outputs(self):
        return 1 if self.classes == 2 else self.classes

    @property
    def parameters(self):
        return self.outputs * (self.features + 1)


PROBLEMS = (
    Problem("mnist", "l2", 1.0, 784, 10),
    Problem("digits", "l2", 1.0, 64, 10),
    Problem("digits", "l1", 0.1, 64, 10),
    Problem("breast_cancer", "l2", 1.0, 30, 2),
    Problem("breast_cancer", "l1", 0.5, 30, 2),
)


def find(name):
    return next(problem for problem in PROBLEMS if problem.name == name)
