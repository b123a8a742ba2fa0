"""The parts of ./run bench sparse that take files and the levin program: text to model beside
Vowpal Wabbit, the parsing of libsvm text beside scikit-learn, learning and gradients on the sparse
set (baselines/sparse_set.py), and fits of more and more rows, by whose rate a billion would take
hours.

Programs that are compared take turns. Each part adds a text to the results, of which report.py
reads the medians.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

BASELINES = pathlib.Path(__file__).resolve().parent / "baselines"
COLUMNS = 1 << 20
BILLION = 10**9
# Lengths of the fits of many rows, as shares of the most.
SHARES = (0.04, 0.4, 1)


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a process took: seconds, seconds of processors, and the most memory in bytes."""

    wall: float
    cpu: float
    peak: int
    output: str


def measured(command, cores, folder):
    """Runs a program on these cores, in a folder, and returns its Usage."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

    def on_cores():
        with contextlib.suppress(AttributeError):
            os.sched_setaffinity(0, cores)

    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.monotonic()
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=errors,
            preexec_fn=on_cores,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            lines = errors.read().strip().splitlines() or [f"exit status {process.returncode}"]
            raise RuntimeError(lines[-1])
        seconds = usage.ru_utime + usage.ru_stime
        return Usage(wall, seconds, usage.ru_maxrss * 1024, output.read())


def spread(values, unit="s", digits=3):
    """Returns the text that report.printed_spread reads."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"median {median:.{digits}f} {unit} (min {low:.{digits}f}, max {high:.{digits}f})"


def ratios(over, under):
    return [a / b for a, b in zip(over, under)]


def levin_fit(options, folder, cores, data, **settings):
    """Trains logistic regression by online Adagrad for one epoch in a new folder."""
    config = {
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "threads": 1},
        "model": {"class_path": "LogisticRegression", "init_args": {"num_classes": 2}},
        "optimizer": {"class_path": "OnlineAdagrad", "init_args": {"learning_rate": 0.1}},
        "data": {"class_path": data, "init_args": settings},
    }
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    return measured([options.bin / "levin", "fit", "--config", "config.yaml"], cores, folder)


class Suite:
    """The parts, which share folders and options."""

    def __init__(self, options, sparse_set, folder, say):
        self.options, self.set, self.say = options, sparse_set, say
        self.folder = pathlib.Path(folder)
        self.is_trial = options.rounds < 3
        self.rounds = options.rounds
        self.cores = os.sched_getaffinity(0)
        self.core = {max(self.cores)}

    def of_set(self, *arguments):
        """Returns the line of JSON of the program bench_sparse_set."""
        command = [self.options.bin / "bench_sparse_set", *arguments]
        return json.loads(measured(command, self.core, self.folder).output)

    # --- text to model ---------------------------------------------------------------------------

    def vowpal_wabbit(self, cores, model):
        """Returns the seconds of one pass over the text, without the start of Python."""
        program = (
            "import sys, time, vowpalwabbit, resource\n"
            "start, used = time.monotonic(), time.process_time()\n"
            "vowpalwabbit.Workspace(arg_list=sys.argv[1:]).finish()\n"
            "print(time.monotonic() - start, time.process_time() - used)\n"
        )
        arguments = ["--loss_function", "logistic", "-b", "20", "--quiet", "--no_stdin"]
        arguments += ["-d", self.set / "train.vw", "-f", model]
        usage = measured([self.options.python, "-c", program, *arguments], cores, self.folder)
        wall, cpu = map(float, usage.output.split())
        return Usage(wall, cpu, usage.peak, "")

    def vowpal_wabbit_loss(self, model):
        """Returns the log-loss of the test rows."""
        program = (
            "import sys, numpy, vowpalwabbit\n"
            "vowpalwabbit.Workspace(arg_list=sys.argv[3:]).finish()\n"
            "z, y = numpy.loadtxt(sys.argv[1]), numpy.load(sys.argv[2])['y']\n"
            "print(numpy.mean(numpy.logaddexp(0, z) - y * z))\n"
        )
        predictions = self.folder / "predictions.txt"
        arguments = ["-i", model, "-t", "-d", self.set / "test.vw", "-r", predictions]
        arguments += ["--quiet", "--no_stdin"]
        command = [self.options.python, "-c", program, predictions, self.set / "test.npz"]
        return float(measured([*command, *arguments], self.cores, self.folder).output)

    def levin_text(self, cores):
        settings = {"hash_bits": 20, "stream": True, "batch_size": 1024}
        settings["num_workers"] = min(2, len(cores))
        files = {"train": [str(self.set / "train.vw")]}
        return levin_fit(
            self.options, self.folder / "text", cores, "SparseDataModule", **files, **settings
        )

    def levin_text_loss(self):
        """Returns the log-loss of the test rows of the model that was trained last."""
        folder = self.folder / "text"
        command = [self.options.bin / "levin", "test", "--config", "config.yaml", "--json"]
        command += ["--ckpt-path", "last", f"--data.test=[{self.set / 'test.vw'}]"]
        line = measured(command, self.cores, folder).output.splitlines()[-1]
        return json.loads(line)["test_loss"]

    def text_to_model(self):
        """Both programs read the text, learn from each row once and write a model."""
        lines = []
        model = self.folder / "model.vw"
        places = [("one core", self.core)]
        if len(self.cores) > 1:
            places.append((f"{len(self.cores)} cores", self.cores))
        for where, cores in places:
            levin, other = [], []
            for _ in range(self.rounds):
                levin.append(self.levin_text(cores))
                other.append(self.vowpal_wabbit(cores, model))
            for name, runs in (("levin fit", levin), ("Vowpal Wabbit", other)):
                lines.append(f"text to model, {where}, {name}: {spread([r.wall for r in runs])}")
                lines.append(
                    f"  processors: {spread([r.cpu for r in runs])}, "
                    f"peak memory {max(r.peak for r in runs) / 1e6:.0f} MB"
                )
            walls = ratios([r.wall for r in levin], [r.wall for r in other])
            lines.append(f"text to model, {where}, levin / vw: {spread(walls, '')}")
        lines.append(f"log-loss of the test rows: levin {self.levin_text_loss():.5f}")
        lines.append(f"log-loss of the test rows: vw {self.vowpal_wabbit_loss(model):.5f}")
        return lines

    # --- parsing, learning and gradients ---------------------------------------------------------

    def parsing(self):
        """libsvm text to rows in memory; scikit-learn reads the shorter file of test rows once."""
        runs = [self.of_set("parse", self.set / "train.svm") for _ in range(self.rounds)]
        speeds = [run["bytes"] / run["seconds"] / 1e6 for run in runs]
        grown = max(run["grown_bytes"] for run in runs) / 1e6
        lines = [
            f"libsvm text of {runs[0]['bytes'] / 1e6:.0f} MB, {runs[0]['rows']:,} rows",
            f"libsvm text, levin: {spread(speeds, 'MB/s', 0)}",
            f"libsvm text, memory that it takes: {grown:.0f} MB",
        ]
        program = (
            "import sys, time, sklearn.datasets\n"
            "start = time.monotonic()\n"
            f"sklearn.datasets.load_svmlight_file(sys.argv[1], n_features={COLUMNS})\n"
            "print(time.monotonic() - start)\n"
        )
        file = self.set / "test.svm"
        usage = measured([self.options.python, "-c", program, file], self.core, self.folder)
        speed = file.stat().st_size / float(usage.output) / 1e6
        own = self.of_set("parse", file)
        own_speed = own["bytes"] / own["seconds"] / 1e6
        return [
            *lines,
            f"libsvm text of {own['bytes'] / 1e6:.0f} MB: levin {own_speed:.0f} MB/s, "
            f"scikit-learn's load_svmlight_file {speed:.1f} MB/s",
        ]

    def learning(self):
        """An epoch of the Trainer over rows in memory, and full gradients."""
        runs = {what: [] for what in ("online", "batches", "gradient")}
        for _ in range(self.rounds):
            for what, results in runs.items():
                results.append(self.of_set(what, self.set))
        lines = []
        for what, name in (("online", "online Adagrad"), ("batches", "Adagrad, batches of 1,024")):
            speeds = [r["rows"] / r["seconds"] / 1e6 for r in runs[what]]
            lines.append(f"{name}, an epoch of the Trainer: {spread(speeds, 'M rows/s', 2)}")
            lines.append(f"  processors: {spread([r['processor_seconds'] for r in runs[what]])}")
            lines.append(f"{name}, log-loss of the test rows: {runs[what][0]['test_loss']:.5f}")
        seconds = [r["seconds"] for r in runs["gradient"]]
        lines.append(
            f"objective and gradient, {runs['gradient'][0]['rows']:,} rows: {spread(seconds)}"
        )
        used = [r["processor_seconds"] for r in runs["gradient"]]
        lines.append(f"  processors: {spread(used)}")
        return lines

    # --- many rows -------------------------------------------------------------------------------

    def links_to_shards(self, rows):
        """Returns a folder of hard links to one shard of the sparse set, enough for so many rows.
        Each link is a file of its own for the program, but takes no space.
        """
        made = self.folder / "shards"
        if not made.exists():
            command = [self.options.bin / "levin", "convert", self.set / "train.npz"]
            command += ["--output", made, "--sparse", "true"]
            measured(command, self.core, self.folder)
        (shard,) = made.glob("*.lvb")
        set_rows = json.loads((self.set / "set.json").read_text())["rows"]
        folder = self.folder / "links"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for index in range(max(1, round(rows / set_rows))):
            os.link(shard, folder / f"shard-{index:05d}.lvb")
        return folder, set_rows * max(1, round(rows / set_rows))

    def many_rows_of(self, source, rows):
        """Returns the rows of a fit, and what it took."""
        if source == "generator":
            settings = {"rows": rows, "eval_rows": 10_000, "batch_size": 1024}
            used = levin_fit(
                self.options,
                self.folder / "fit",
                self.core,
                "SyntheticClicksDataModule",
                **settings,
            )
            return rows, used
        folder, rows = self.links_to_shards(rows)
        settings = {"train": [str(folder)], "stream": True, "batch_size": 1024}
        return rows, levin_fit(
            self.options, self.folder / "fit", self.core, "SparseDataModule", **settings
        )

    def many_rows(self):
        """Fits of more and more rows. What the start takes falls out of the rate, which is that of
        the rows by which the longest fit exceeds the shortest one.
        """
        most = 100_000 if self.is_trial else self.options.rows
        lines = []
        for source in ("generator", "shards"):
            runs = [self.many_rows_of(source, round(share * most)) for share in SHARES]
            for rows, used in runs:
                lines.append(
                    f"{source}, {rows:12,} rows: {used.wall:8.2f} s, "
                    f"peak memory {used.peak / 1e6:.0f} MB"
                )
            (fewest, short), (longest, long) = runs[0], runs[-1]
            if longest > fewest and long.wall > short.wall:
                rate = (longest - fewest) / (long.wall - short.wall)
                lines.append(
                    f"{source}: {rate / 1e6:.2f} M rows/s, so a billion rows take "
                    f"{BILLION / rate / 60:.0f} minutes"
                )
            lines.append(
                f"{source}, largest peak memory: {max(r.peak for _, r in runs) / 1e6:.0f} MB"
            )
            lines.append(
                f"{source}, peak memory of the most rows / of the fewer before: "
                f"{long.peak / runs[-2][1].peak:.3f}"
            )
        return lines


PARTS = {
    "text_to_model": Suite.text_to_model,
    "parsing": Suite.parsing,
    "learning": Suite.learning,
    "many_rows": Suite.many_rows,
}


def run_sparse(options, sparse_set, say, results):
    """Adds a text for each part to results["texts"]."""
    if sparse_set is None:
        return
    # Beside the sparse set, since hard links can't leave a file system.
    with tempfile.TemporaryDirectory(prefix="bench-sparse-runs-", dir=sparse_set.parent) as folder:
        suite = Suite(options, sparse_set, folder, say)
        for name, part in PARTS.items():
            say(f"sparse: {name.replace('_', ' ')}")
            try:
                lines = part(suite)
            except (RuntimeError, OSError, ValueError, IndexError) as error:
                results["failures"][f"sparse: {name}"] = str(error)
                say(f"  failed: {error}")
                continue
            results["texts"][name] = "\n".join(lines) + "\n"
            say(results["texts"][name])
