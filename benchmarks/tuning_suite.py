"""Compares the searchers of tuning/ with Optuna's: the best value after the same number of trials.

    tuning_suite.py --bin build/release/bin --python PYTHON [--seeds 20] [--trials 100]

Prints a table of medians over the seeds, with quartiles. Levin is said to be worse if a bootstrap
of the difference of the medians leaves less than 5 % for a difference of zero or below; then the
exit status is 1. PYTHON needs the packages optuna and, for CMA-ES, cmaes.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def lines_of(command):
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def best_values(lines):
    """Returns the best values by function and searcher."""
    values = {}
    for line in lines:
        values.setdefault((line["function"], line["searcher"]), []).append(line["best"])
    return values


def share_not_worse(own, theirs, draws=2000):
    """How often the median of resampled own values is at most that of the resampled others."""
    generator = random.Random(1)
    hits = 0
    for _ in range(draws):
        a = statistics.median(generator.choices(own, k=len(own)))
        b = statistics.median(generator.choices(theirs, k=len(theirs)))
        hits += a <= b
    return hits / draws


def spread(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.4g} ({low:.4g} to {high:.4g})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=HERE.parent / "build/release/bin")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    options = parser.parse_args()
    counts = [str(options.seeds), str(options.trials)]
    own_lines = lines_of([options.bin / "bench_tuning_search", *counts])
    optuna = [options.python, "-B", HERE / "baselines" / "optuna_search.py", *counts]
    own, theirs = best_values(own_lines), best_values(lines_of(optuna))
    print(f"Best value of {options.trials} trials: median and quartiles of {options.seeds} seeds\n")
    print("| function | searcher | Levin | Optuna | share of resamples that are not worse |")
    print("|---|---|---:|---:|---:|")
    worse = []
    for (function, searcher), values in own.items():
        others = theirs.get((function, searcher.removesuffix("_lag_4")))
        share = share_not_worse(values, others) if others else None
        if share is not None and share < 0.05:
            worse.append(f"{searcher} on {function}")
        print(
            f"| {function} | {searcher} | {spread(values)} | {spread(others) if others else '-'} | "
            f"{'-' if share is None else f'{share:.2f}'} |"
        )
    last = [line["last_milliseconds"] for line in own_lines if line["searcher"] == "tpe"]
    print(f"\nTPE takes {statistics.median(last):.2f} ms to choose trial {options.trials}.")
    if worse:
        print("worse than Optuna:", ", ".join(worse))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
