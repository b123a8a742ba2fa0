"""The runs of ./run bench tuning: the searchers of tuning/ beside Optuna's, by the best value after
the same number of trials, of functions and of real models; ASHA beside random search; and what a
trial costs. Python needs the packages optuna, scikit-learn and, for CMA-ES, cmaes.

The table has medians over the seeds, with quartiles, and how often Levin is not worse if the values
of both are drawn again with replacement (a bootstrap of the difference of the medians).
"""

import json
import pathlib
import random
import statistics
import subprocess
import tempfile

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


RATE = {"low": 1e-4, "high": 1.0, "log": True}
BATCH = {"low": 16, "high": 128, "step": 16}
SIZES = [[8], [16], [32], [64], [32, 32]]
# Configuration, space and metric of each problem; FOLDER and MNIST are replaced.
PROBLEMS = {
    "digits_mlp": (
        """
trainer: {max_epochs: 3, accelerator: cpu, logger: false, num_sanity_val_steps: 0}
model: {class_path: MLP, init_args: {in_features: 64, num_classes: 10}}
data: {class_path: DigitsDataModule, init_args: {batch_size: 32, seed: 1}}
""",
        {"model.learning_rate": RATE, "model.hidden_sizes": SIZES, "data.batch_size": BATCH},
        "val_loss",
    ),
    "breast_cancer": (
        """
trainer: {max_epochs: 5, accelerator: cpu, logger: false, num_sanity_val_steps: 0}
model: {class_path: LogisticRegression, init_args: {in_features: 30, num_classes: 2}}
data: {class_path: ArrayDataModule, init_args: {x: FOLDER/x.npy, y: FOLDER/y.npy, standardize: true,
  val_split: 0.2, test_split: 0.0, batch_size: 32, seed: 1}}
""",
        {
            "model.learning_rate": RATE,
            "model.l2_strength": {"low": 1e-6, "high": 1.0, "log": True},
            "data.batch_size": BATCH,
        },
        "val_loss",
    ),
    "mnist_subset": (
        """
trainer: {max_epochs: 1, accelerator: cpu, logger: false, num_sanity_val_steps: 0,
  limit_train_batches: 30, limit_val_batches: 10}
model: {class_path: MLP, init_args: {in_features: 784, num_classes: 10}}
data: {class_path: MNISTDataModule, init_args: {data_dir: MNIST, batch_size: 64}}
""",
        {"model.learning_rate": RATE, "model.hidden_sizes": SIZES,
         "model.dropout": {"low": 0.0, "high": 0.5}},
        "val_loss",
    ),
}
ASHA_CONFIG = PROBLEMS["digits_mlp"][0].replace("max_epochs: 3", "max_epochs: 27")


def write_problem(folder, name, mnist):
    """Writes the files of a problem and returns their paths and the metric."""
    config, space, metric = PROBLEMS[name]
    if name == "breast_cancer":
        import numpy
        from sklearn.datasets import load_breast_cancer

        x, y = load_breast_cancer(return_X_y=True)
        numpy.save(folder / "x.npy", x.astype("float32"))
        numpy.save(folder / "y.npy", y)
    stem = folder / name
    config = config.replace("FOLDER", str(folder)).replace("MNIST,", f"{mnist},")
    stem.with_suffix(".yaml").write_text(config)
    stem.with_suffix(".json").write_text(json.dumps(space))
    return str(stem.with_suffix(".yaml")), str(stem.with_suffix(".json")), metric


def problem_lines(options, mnist, say, seeds, trials):
    """Runs both searches of each problem and returns the lines of the table."""
    program = options.bin / "bench_tuning_problems"
    script = HERE / "baselines" / "optuna_problems.py"
    lines = [f"Best val_loss of {trials} trials of real models: median (quartiles) of {seeds} seeds",
             "", f"{'problem':14} {'searcher':8} {'Levin':34} {'Optuna':34} not worse"]
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        for name in PROBLEMS:
            if name == "mnist_subset" and not mnist:
                lines.append(f"{name:14} left out, because no folder with MNIST was given")
                continue
            config, space, metric = write_problem(folder, name, mnist)
            for sampler in ("random", "tpe"):
                counts = [sampler, str(seeds), str(trials)]
                own = [line["best"] for line in lines_of(
                    [program, "search", config, space, metric, *counts])]
                theirs = [line["best"] for line in lines_of(
                    [options.python, "-B", script, program, config, space, metric, *counts])]
                share = share_not_worse(own, theirs)
                lines.append(f"{name:14} {sampler:8} {spread(own):34} {spread(theirs):34} {share:.2f}")
                say(lines[-1])
        asha = folder / "asha.yaml"
        asha.write_text(ASHA_CONFIG)
        space = folder / "digits_mlp.json"
        runs = lines_of([program, "asha", asha, space, "val_loss", str(seeds), str(trials)])
    shares = [run["asha_epochs"] / run["random_epochs"] if run["asha_epochs"] >= 0 else 9.0
              for run in runs]
    lines += ["", f"ASHA reaches the best value of {trials} random trials of 27 epochs (digits MLP) in "
              f"this share of their epochs: {spread(shares)}"]
    return lines


def batch_lines(options):
    """Measures models that are trained at once against one of them, and returns the table."""
    counts = ["64", "20", str(max(options.rounds, 3))]
    lines = ["64 models of different learning rates at once, against one of them (20 epochs of digits)",
             "", f"{'what':36} {'one':>10} {'64 at once':>11}   ratio (least to greatest)"]
    for line in lines_of([options.bin / "bench_stacked_models", *counts]):
        lines.append(f"{line['name']:36} {1000 * line['alone']:7.1f} ms {1000 * line['together']:8.1f} ms   "
                     f"{line['ratio']:.1f} ({line['low']:.1f} to {line['high']:.1f})")
    return lines


def run_tuning(options, mnist, say, results):
    """Adds the table to results["texts"]."""
    seeds, trials = (2, 30) if options.rounds < 3 else (20, 100)
    counts = [str(seeds), str(trials)]
    try:
        own = lines_of([options.bin / "bench_tuning_search", *counts])
        optuna = [options.python, "-B", HERE / "baselines" / "optuna_search.py", *counts]
        theirs = lines_of(optuna)
        text = table_of(own, theirs, seeds, trials)
        text += "\n" + "\n".join(problem_lines(options, mnist, say, seeds, trials=30)) + "\n"
        overhead = [options.bin / "bench_tuning_overhead", "30" if options.rounds < 3 else "200"]
        text += "\n" + subprocess.run(overhead, check=True, capture_output=True, text=True).stdout
        text += "\n" + "\n".join(batch_lines(options)) + "\n"
    except (OSError, subprocess.CalledProcessError) as error:
        results["failures"]["tuning"] = (getattr(error, "stderr", "") or str(error)).strip()[-300:]
        return
    results["texts"]["tuning"] = text
    say(results["texts"]["tuning"])
