"""MNIST softmax regression with scikit-learn's solvers: time, iterations, objective, test accuracy.

    python sklearn_mnist.py --mnist DIR [--rows 60000] [--json] [SOLVER ...]

The objective is (sum of cross-entropies + sum W^2 / (2 C)) / rows, Levin's loss with
l2_strength = 1 / (2 C rows). sag and saga are stopped after --epochs passes over the rows.
"""

import argparse
import json
import platform
import time
import warnings

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

import mnist

SOLVERS = ["lbfgs", "newton-cg", "saga", "sag"]


def objective(model, images, labels, c):
    logits = images.astype(np.float64) @ model.coef_.T + model.intercept_
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return (losses.sum() + (model.coef_**2).sum() / (2 * c)) / len(labels)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("solvers", nargs="*", metavar="SOLVER", help="by default all four")
    mnist.add_argument(parser)
    parser.add_argument("--rows", type=int, default=60000, help="of the training set")
    parser.add_argument("--C", type=float, default=1.0, help="inverse strength of the penalty")
    parser.add_argument("--max-iter", type=int, default=200, help="of lbfgs and newton-cg")
    parser.add_argument("--epochs", type=int, default=20, help="of sag and saga")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    for name in options.solvers:
        if name not in SOLVERS:
            parser.error(f"no solver is called {name}: {', '.join(SOLVERS)}")
    options.solvers = options.solvers or SOLVERS
    return options


def main():
    options = parse_arguments()
    warnings.filterwarnings("ignore")  # sag and saga are stopped before they converge, and warn
    images, labels = (part[: options.rows] for part in mnist.load(options.mnist, mnist.TRAIN))
    test_images, test_labels = mnist.load(options.mnist, mnist.TEST)
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit_learn": sklearn.__version__,
    }
    if not options.json:
        print(", ".join(f"{name} {value}" for name, value in versions.items()))

    for solver in options.solvers:
        iterations = options.epochs if solver.startswith("sag") else options.max_iter
        model = LogisticRegression(C=options.C, solver=solver, max_iter=iterations, random_state=0)
        start = time.perf_counter()
        model.fit(images, labels)
        seconds = time.perf_counter() - start
        result = {
            "solver": solver,
            "rows": len(images),
            "C": options.C,
            "seconds": seconds,
            "iterations": int(model.n_iter_.max()),
            "objective": float(objective(model, images, labels, options.C)),
            "test_accuracy": float(model.score(test_images, test_labels)),
        }
        if options.json:
            print(json.dumps(result | {"versions": versions}), flush=True)
        else:
            print(
                f"{solver:10s} {seconds:7.2f} s {result['iterations']:4d} iterations"
                f"  objective {result['objective']:.6f}"
                f"  test accuracy {result['test_accuracy']:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
