"""Searches by Optuna whose trials are trained by tuning_problems.cpp: prints the same lines of JSON.

    optuna_problems.py PROGRAM CONFIG SPACE METRIC SAMPLER SEEDS TRIALS [FIRST]

SPACE is a JSON file of distributions: {"model.learning_rate": {"low": ..., "high": ..., "log": true}}
or {"model.hidden_sizes": [[16], [32]]}, also valid for Levin, which reads it as YAML. FIRST is the
first seed.
"""

import json
import subprocess
import sys
import warnings

import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def choose(trial, name, entry):
    """Returns what the trial gets for an entry of the space."""
    if isinstance(entry, list):  # Optuna's choices can't be lists
        return json.loads(trial.suggest_categorical(name, [json.dumps(each) for each in entry]))
    entry = dict(entry)
    low, high = entry.pop("low"), entry.pop("high")
    suggest = trial.suggest_float if isinstance(low, float) else trial.suggest_int
    return suggest(name, low, high, **entry)


def main():
    program, config, space, metric, sampler, seeds, trials = sys.argv[1:8]
    first = int(sys.argv[8]) if len(sys.argv) > 8 else 0
    with open(space, encoding="utf-8") as file:
        entries = json.load(file)
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    direction = "maximize" if metric.endswith("acc") else "minimize"
    command = [program, "evaluate", config, metric]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as fits:

        def objective(trial):
            settings = {name: choose(trial, name, entry) for name, entry in entries.items()}
            fits.stdin.write(json.dumps(settings) + "\n")
            fits.stdin.flush()
            return float(fits.stdout.readline())

        for seed in range(first, first + int(seeds)):
            study = optuna.create_study(sampler=samplers[sampler](seed=seed), direction=direction)
            study.optimize(objective, n_trials=int(trials))
            print(json.dumps({"searcher": sampler, "seed": seed, "best": study.best_value}),
                  flush=True)
        fits.stdin.close()


if __name__ == "__main__":
    main()
