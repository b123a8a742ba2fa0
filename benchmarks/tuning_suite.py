"""The runs of ./run bench tuning: the searchers of tuning/ beside Optuna's, by the best value after
the same number of trials, of functions and of real models; ASHA beside random search; and what a
trial costs. Python needs the packages optuna, scikit-learn and, for CMA-ES, cmaes.

The table has medians over the seeds, with quartiles, and how often Levin is not worse if the values
of both are drawn again with replacement (a bootstrap of the difference of the medians).

`--case NAME` measures a part of it (CASES); it may be repeated. All but functions, overhead and
batched don't depend on how busy the machine is. With `--raw-folder FOLDER`, each seed's result is
kept there as a line of JSON, and a run that was interrupted goes on with the missing seeds.
"""

import collections
import concurrent.futures
import contextlib
import gzip
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CASES = ("functions", "digits_mlp", "breast_cancer", "mnist_subset", "asha", "overhead", "batched")
SHARED_MEMORY = "/dev/shm"
FUNCTIONS = ("sphere", "branin", "hartmann6", "mixed")


def lines_of(command):
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


# What each seed gives: a line of JSON in the file, printed by command(first seed, number of seeds).
Search = collections.namedtuple("Search", "file seeds command")


def whole_lines(file):
    """Returns the lines of a file without its last one, if that was torn."""
    if not file.exists():
        return []
    text = file.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def run_seeds(search):
    """Runs the seeds of a search whose lines aren't in its file. Returns how many were there."""
    done = min(len(whole_lines(search.file)), search.seeds)
    if done == search.seeds:
        return done
    command = [str(word) for word in search.command(done, search.seeds - done)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if os.access(SHARED_MEMORY, os.W_OK):  # studies and checkpoints don't wait for the disk there
        environment["TMPDIR"] = SHARED_MEMORY
    with search.file.open("a") as file, tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process:
            for line in process.stdout:
                file.write(line)
                file.flush()
        if process.returncode != 0:
            errors.seek(0)
            raise subprocess.CalledProcessError(
                process.returncode, command, stderr=errors.read()
            )
    return done


def run_searches(searches):
    """Runs searches side by side, one for each core. Returns how many seeds were there before."""
    if not searches:
        return 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return sum(pool.map(run_seeds, searches))


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
ASHA_TRIALS = PROBLEM_TRIALS = 30


def write_problem(folder, name, mnist):
    """Writes the files of a problem and returns their paths and the metric."""
    config, space, metric = PROBLEMS["digits_mlp" if name == "asha" else name]
    if name == "asha":
        config = ASHA_CONFIG
    if name == "breast_cancer":
        import numpy
        from sklearn.datasets import load_breast_cancer

        x, y = load_breast_cancer(return_X_y=True)
        numpy.save(folder / "x.npy", x.astype("float32"))
        numpy.save(folder / "y.npy", y)
    if name == "mnist_subset":
        # Each trial reads the files, and would spend most of its time in unpacking them.
        for packed in pathlib.Path(mnist).glob("*.gz"):
            with gzip.open(packed) as source, (folder / packed.stem).open("wb") as target:
                shutil.copyfileobj(source, target)
            mnist = folder
    stem = folder / name
    config = config.replace("FOLDER", str(folder)).replace("MNIST,", f"{mnist},")
    stem.with_suffix(".yaml").write_text(config)
    stem.with_suffix(".json").write_text(json.dumps(space))
    return stem.with_suffix(".yaml"), stem.with_suffix(".json"), metric


class Bench:
    """What the cases share: the options, where the lines are kept, and how much is measured."""

    def __init__(self, options, mnist, say, folder):
        self.options, self.mnist, self.say = options, mnist, say
        self.folder = pathlib.Path(options.raw_folder or folder / "raw")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.files = folder
        self.is_short = options.rounds < 3
        self.seeds = 2 if self.is_short else 20
        self.kept = 0

    def file(self, name):
        return self.folder / f"{name}-{self.seeds}.jsonl"

    def problem_searches(self, name):
        """The searches of a problem: those of both samplers, by Levin and by Optuna."""
        problem = write_problem(self.files, name, self.mnist)
        program = self.options.bin / "bench_tuning_problems"
        script = HERE / "baselines" / "optuna_problems.py"
        own = [program, "search"]
        optuna = [self.options.python, "-B", script, program]
        return {
            (sampler, of): Search(
                self.file(f"{name}-{sampler}-{of}"),
                self.seeds,
                lambda first, count, start=start, sampler=sampler: [
                    *start, *problem, sampler, count, PROBLEM_TRIALS, first],
            )
            for sampler in ("random", "tpe")
            for of, start in (("levin", own), ("optuna", optuna))
        }

    def asha_search(self):
        problem = write_problem(self.files, "asha", self.mnist)
        start = [self.options.bin / "bench_tuning_problems", "asha", *problem]
        return Search(self.file("asha"), self.seeds,
                      lambda first, count: [*start, count, ASHA_TRIALS, first])

    def functions_text(self):
        """Levin's searches of functions are timed, so they run alone; Optuna's run side by side."""
        trials = 30 if self.is_short else 100
        own = lines_of([self.options.bin / "bench_tuning_search", str(self.seeds), str(trials)])
        start = [self.options.python, "-B", HERE / "baselines" / "optuna_search.py"]
        searchers = ("random", "tpe", "tpe_independent", "cma_es")
        searches = [
            Search(self.file(f"{function}-{searcher}-optuna"), self.seeds,
                   lambda first, count, which=(function, searcher): [
                       *start, count, trials, first, *which])
            for function in FUNCTIONS
            for searcher in searchers
        ]
        self.kept += run_searches(searches)
        theirs = [line for search in searches for line in whole_lines(search.file)]
        return table_of(own, theirs, self.seeds, trials)

    def problems_text(self, names):
        """Runs the searches of the problems, and ASHA's if it is named, side by side."""
        table = {name: self.problem_searches(name) for name in names if name != "asha"}
        searches = [search for rows in table.values() for search in rows.values()]
        if "asha" in names:
            searches.insert(0, self.asha_search())  # it takes longest
        self.kept += run_searches(searches)
        lines = []
        if table:
            lines += [f"Best val_loss of {PROBLEM_TRIALS} trials of real models: median "
                      f"(quartiles) of {self.seeds} seeds", "",
                      f"{'problem':14} {'searcher':8} {'Levin':34} {'Optuna':34} not worse"]
        for name, rows in table.items():
            for sampler in ("random", "tpe"):
                own, theirs = ([line["best"] for line in whole_lines(rows[sampler, of].file)]
                               for of in ("levin", "optuna"))
                share = share_not_worse(own, theirs)
                values = f"{spread(own):34} {spread(theirs):34}"
                lines.append(f"{name:14} {sampler:8} {values} {share:.2f}")
        if "asha" in names:
            runs = whole_lines(searches[0].file)
            shares = [run["asha_epochs"] / run["random_epochs"] if run["asha_epochs"] >= 0 else 9.0
                      for run in runs]
            lines += [""] * bool(lines)
            lines.append(f"ASHA reaches the best value of {ASHA_TRIALS} random trials of 27 epochs "
                         f"(digits MLP) in this share of their epochs: {spread(shares)}")
        return "\n".join(lines) + "\n"

    def overhead_text(self):
        command = [self.options.bin / "bench_tuning_overhead", "30" if self.is_short else "200"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def batched_text(self):
        return "\n".join(batch_lines(self.options)) + "\n"


def batch_lines(options):
    """Measures models that are trained at once against one of them, and returns the table."""
    counts = ["64", "20", str(max(options.rounds, 3))]
    lines = ["64 models of different learning rates at once, against one of them (20 epochs of "
             "digits)", "",
             f"{'what':36} {'one':>10} {'64 at once':>11}   ratio (least to greatest)"]
    for line in lines_of([options.bin / "bench_stacked_models", *counts]):
        times = f"{1000 * line['alone']:7.1f} ms {1000 * line['together']:8.1f} ms"
        lines.append(f"{line['name']:36} {times}   "
                     f"{line['ratio']:.1f} ({line['low']:.1f} to {line['high']:.1f})")
    return lines


def chosen_cases(options, mnist, results):
    """Returns the cases to measure. Says which can't be."""
    wanted = [case for case in CASES if not options.case or case in options.case]
    for case in set(options.case or []) - set(CASES):
        if options.names == ["tuning"]:
            reason = f"there is no such case; choose from {', '.join(CASES)}"
            results["failures"][f"tuning, {case}"] = reason
    if "mnist_subset" in wanted and not mnist:
        wanted.remove("mnist_subset")
        results["failures"]["tuning, mnist_subset"] = "no folder with MNIST was given"
    return wanted


def run_tuning(options, mnist, say, results):
    """Adds the table to results["texts"]."""
    cases = chosen_cases(options, mnist, results)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = Bench(options, mnist, say, folder)
        parts = [
            (("functions",), bench.functions_text),
            (("digits_mlp", "breast_cancer", "mnist_subset", "asha"), bench.problems_text),
            (("overhead",), bench.overhead_text),
            (("batched",), bench.batched_text),
        ]
        texts = []
        for names, make in parts:
            named = [name for name in names if name in cases]
            if not named:
                continue
            try:
                texts.append(make(named) if len(names) > 1 else make())
                say(texts[-1])
            except (OSError, ImportError, subprocess.CalledProcessError) as error:
                reason = (getattr(error, "stderr", "") or str(error)).strip()[-300:]
                results["failures"]["tuning, " + ", ".join(named)] = reason
    if bench.kept > 0:
        texts.append(f"{bench.kept} searches, each of one seed, were kept from an earlier run.\n")
    if texts:
        results["texts"]["tuning"] = "\n".join(texts)
