"""The searches of tuning_search.cpp, done by Optuna: prints the same lines of JSON.

    optuna_search.py [SEEDS] [TRIALS] [FIRST [FUNCTION SEARCHER]]

FIRST is the first seed. With a function and a searcher, such as sphere and tpe, only these are run.
"""

import json
import math
import sys
import time
import warnings

import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)

ALPHA = (1.0, 1.2, 3.0, 3.2)
A = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
P = (
    (1312, 1696, 5569, 124, 8283, 5886),
    (2329, 4135, 8307, 3736, 1004, 9991),
    (2348, 1451, 3522, 2883, 3047, 6650),
    (4047, 8828, 8732, 5743, 1091, 381),
)


def sphere(trial):
    return sum((trial.suggest_float(f"x{i}", -5, 10) - 1) ** 2 for i in range(5))


def branin(trial):
    a = trial.suggest_float("x0", -5, 10)
    b = trial.suggest_float("x1", 0, 15)
    inner = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return inner**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def hartmann6(trial):
    x = [trial.suggest_float(f"x{i}", 0, 1) for i in range(6)]
    return -sum(
        alpha * math.exp(-sum(a * (v - 1e-4 * p) ** 2 for a, p, v in zip(row, at, x)))
        for alpha, row, at in zip(ALPHA, A, P)
    )


def mixed(trial):
    drop = trial.suggest_float("drop", 0, 0.8, step=0.1)
    kind = trial.suggest_categorical("kind", ["sgd", "adam", "lbfgs"])
    rate = math.log10(trial.suggest_float("rate", 1e-5, 1, log=True))
    width = trial.suggest_int("width", 1, 256, log=True)
    best_rate = -2 if kind == "adam" else -3.5
    penalty = 0 if kind == "adam" else 0.5
    return (rate - best_rate) ** 2 + penalty + 0.05 * abs(width - 40) / 8 + (drop - 0.3) ** 2


def samplers(seed):
    return {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "tpe_independent": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=False),
        "cma_es": lambda: optuna.samplers.CmaEsSampler(seed=seed),
    }


def main():
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    trials = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    only = tuple(sys.argv[4:6])
    for function in (sphere, branin, hartmann6, mixed):
        for name in samplers(0):
            if only and only != (function.__name__, name):
                continue
            for seed in range(first, first + seeds):
                try:
                    study = optuna.create_study(sampler=samplers(seed)[name]())
                    begin = time.perf_counter()
                    study.optimize(function, n_trials=trials)
                except ImportError:  # CMA-ES needs the package cmaes
                    break
                seconds = time.perf_counter() - begin
                line = {"function": function.__name__, "searcher": name, "seed": seed}
                line |= {"best": study.best_value, "milliseconds": 1000 * seconds / trials}
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
