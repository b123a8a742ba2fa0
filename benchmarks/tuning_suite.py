"""The runs of ./run bench tuning: the searchers of tuning/ beside Optuna's, by the best value after
the same number of trials. Python needs the packages optuna and, for CMA-ES, cmaes.

The table has medians over the seeds, with quartiles, and how often Levin is not worse if the values
of both are drawn again with replacement (a bootstrap of the difference of the medians).
"""

import json
import pathlib
import random
import statistics
import subprocess

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


def table_of(own_lines, their_lines, seeds, trials):
    """Returns the text of the report."""
    own, theirs = best_values(own_lines), best_values(their_lines)
    lines = [f"Best value of {trials} trials: median (quartiles) of {seeds} seeds", ""]
    lines.append(f"{'function':10} {'searcher':16} {'Levin':30} {'Optuna':30} not worse")
    for (function, searcher), values in own.items():
        others = theirs.get((function, searcher.removesuffix("_lag_4")))
        share = f"{share_not_worse(values, others):.2f}" if others else "-"
        other = spread(others) if others else "-"
        lines.append(f"{function:10} {searcher:16} {spread(values):30} {other:30} {share}")
    last = [line["last_milliseconds"] for line in own_lines if line["searcher"] == "tpe"]
    lines += ["", f"choosing trial {trials} by TPE: {statistics.median(last):.3f} ms (median)"]
    return "\n".join(lines) + "\n"


def run_tuning(options, say, results):
    """Adds the table to results["texts"]."""
    seeds, trials = (2, 30) if options.rounds < 3 else (20, 100)
    counts = [str(seeds), str(trials)]
    try:
        own = lines_of([options.bin / "bench_tuning_search", *counts])
        optuna = [options.python, "-B", HERE / "baselines" / "optuna_search.py", *counts]
        theirs = lines_of(optuna)
    except (OSError, subprocess.CalledProcessError) as error:
        results["failures"]["tuning"] = (getattr(error, "stderr", "") or str(error)).strip()[-300:]
        return
    results["texts"]["tuning"] = table_of(own, theirs, seeds, trials)
    say(results["texts"]["tuning"])
