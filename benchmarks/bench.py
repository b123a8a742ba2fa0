"""./run bench: measures Levin and the programs it is compared with, and prints ratios of times.

    bench.py [NAME ...] [--rounds 5] [--bin build/release/bin] [--python PYTHON] [--output FOLDER]
    bench.py --from RESULT.json [--short]   print the tables (or that of docs/speed.md) of an earlier run

Every program trains in a process of its own, on one core, and prints a line of JSON, which
baselines/program.h describes. In each round, every case is run once. The programs of a case follow
each other directly, and each round starts with a different one, so that disturbances of the
machine affect all of them alike. The time of an epoch is the median over the epochs of a process,
without its first one.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time

import exact_suite
import link_suite
import plot_cpu_gpu
import plot_links
import plot_serving
import plot_solvers
import report
import serving_suite
import serving_tables
import solver_suite
import sparse_suite
import tuning_suite

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
# The first four are cases of this file; startup also times report.COMMANDS. The others are programs
# that measure on their own and print a text, except solvers, which solver_suite.py runs, and parts
# of sparse, which sparse_suite.py does.
SUITES = (
    "lr",
    "mlp",
    "small",
    "startup",
    "step_overhead",
    "threads",
    "roofline",
    "sparse",
    "hogwild",
    "parameter_server",
    "many_regressions",
    "sharded_features",
    "cpu_gpu",
    "stream",
    "checkpoints",
    "scaling",
    "failure",
    "solvers",
)
# Those that only run if they are named, since they take long or need packages of their own:
# exact_suite.py, link_suite.py, serving_suite.py and tuning_suite.py.
ON_REQUEST = ("exactness", "links", "serving", "tuning")
MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem to train, and the programs that train it, each with its number of epochs."""

    suite: str
    name: str
    arguments: tuple
    epochs: dict  # program: epochs
    is_mnist: bool = True


def training(suite, name, problem, batch_size, epochs, storage="float32", **more):
    arguments = ("--problem", problem, "--batch-size", str(batch_size), "--storage", storage)
    return Case(suite, name, arguments, epochs, **more)


def make_cases():
    """Returns all cases, in the order of the tables."""
    result = []
    in_libtorch = ("levin", "hand_written", "data_loader")
    in_python = ("pytorch", "pytorch_fused", "lightning")
    for batch_size in (32, 128, 512, 4096):
        quick = dict.fromkeys(("levin", "hand_written", "limit"), 10) | {"data_loader": 5}
        epochs = quick | {"by_hand": 10} | dict.fromkeys(in_python, 3)
        name = f"MNIST logistic regression, batch {batch_size}"
        result.append(training("lr", name, "logistic_regression", batch_size, epochs))
        name += ", uint8"
        result.append(training("lr", name, "logistic_regression", batch_size, quick, "uint8"))
    for name, problem in (("MLP 784-32-10", "mlp"), ("MLP 784-512-512-10", "wide_mlp")):
        epochs = {"levin": 4, "hand_written": 4, "data_loader": 3} | dict.fromkeys(in_python, 3)
        result.append(training("mlp", f"{name}, batch 128", problem, 128, epochs))
    for name, problem, native, python in (("Iris", "iris", 400, 40), ("Digits", "digits", 60, 15)):
        epochs = dict.fromkeys(in_libtorch, native) | dict.fromkeys(in_python, python)
        name += ", logistic regression, batch 32"
        result.append(training("small", name, problem, 32, epochs, is_mnist=False))
    arguments = ("--problem", "digits", "--batch-size", "32", "--only-first-step", "1")
    programs = ("torch_start", "levin", "hand_written", "pytorch", "lightning")
    epochs = dict.fromkeys(programs, 1)
    result.append(Case("startup", "start to first step, digits", arguments, epochs, is_mnist=False))
    return result


class Programs:
    """The command of each program. `missing` has those that can't run here, with the reason."""

    def __init__(self, options):
        self.missing = {}
        baselines = HERE / "baselines"
        raw = [options.bin / "raw_libtorch"]
        levin = [options.bin / "bench_levin_epoch"]
        plain = [options.python, baselines / "plain_pytorch.py"]
        self.commands = {
            "levin": levin,
            "hand_written": [*raw, "--loop", "fused"],
            "data_loader": [*raw, "--loop", "data_loader"],
            "by_hand": [*raw, "--loop", "by_hand"],
            "limit": [options.bin / "limit"],
            "torch_start": [options.bin / "torch_start"],
            "pytorch": [*plain, "--loop", "data_loader"],
            "pytorch_fused": [*plain, "--loop", "fused"],
            "lightning": [options.python, baselines / "with_lightning.py"],
        }
        self._look_for_python(options.python)

    def _look_for_python(self, python):
        program = "import importlib.metadata as m; print(m.version('{}'))"
        for names, package in (
            (("pytorch", "pytorch_fused", "lightning"), "torch"),
            (("pytorch", "pytorch_fused", "lightning"), "numpy"),
            (("lightning",), "pytorch-lightning"),
        ):
            try:
                found = subprocess.run(
                    [python, "-c", program.format(package)], text=True, capture_output=True
                )
                missing = f"the Python that was given has no {package}"
                reason = None if found.returncode == 0 else missing
                # These releases of Lightning were compromised.
                if package == "pytorch-lightning" and found.stdout.strip() in ("2.6.2", "2.6.3"):
                    raise SystemExit("bench: pytorch-lightning 2.6.2 and 2.6.3 must never be run")
            except OSError as error:
                reason = str(error)
            for name in names if reason else ():
                self.missing.setdefault(name, reason)

    def arguments(self, name, case, mnist):
        """Returns the command line with which the program runs the case."""
        arguments = list(case.arguments)
        if name in ("pytorch", "pytorch_fused", "lightning"):  # they only support float32
            arguments = [a for a in arguments if a not in ("--storage", "float32")]
        if name == "torch_start":
            arguments = []
        else:
            arguments += ["--epochs", str(case.epochs[name])]
            arguments += ["--tables", str(ROOT / "datamodules" / "data")]
            arguments += ["--mnist", str(mnist)] if case.is_mnist else []
        return [str(part) for part in self.commands[name]] + arguments


@contextlib.contextmanager
def on_cores(cores):
    """Within its scope, programs are started on these cores, if the system supports that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def all_cores():
    return (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count()))
    )


def run(command):
    """Runs a program and returns its line of JSON, with the time of its start added."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with on_cores({max(all_cores())}):
        start = time.monotonic_ns()
        done = subprocess.run(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeError(lines[-1])
    result = json.loads(done.stdout.splitlines()[-1])
    if result.get("first_step_ns"):
        result["start_seconds"] = (result["first_step_ns"] - start) / 1e9
    return result | {"started_ns": start}


def say(text):
    print(text, file=sys.stderr, flush=True)


def run_case(case, round_index, programs, mnist, results):
    names = [name for name in case.epochs if name not in programs.missing]
    shift = round_index % len(names)
    for name in names[shift:] + names[:shift]:
        try:
            record = run(programs.arguments(name, case, mnist))
        except (RuntimeError, OSError, ValueError, IndexError) as error:
            results["failures"].setdefault(f"{name}: {case.name}", str(error))
            say(f"  {name:14s} failed: {error}")
            continue
        record |= {"suite": case.suite, "case": case.name, "program": name, "round": round_index}
        results["rounds"].append(record)
        if case.suite == "startup":
            say(f"  {name:14s} {record['start_seconds']:9.3f} s")
        else:
            say(f"  {name:14s} {report.step_microseconds(record):9.1f} us a step")


def run_cases(suites, programs, mnist, rounds, results):
    cases = [case for case in make_cases() if case.suite in suites]
    if not mnist:
        cases = [case for case in cases if not case.is_mnist]
    for index in range(rounds):
        for case in cases:
            say(f"round {index + 1} of {rounds}: {case.name}")
            run_case(case, index, programs, mnist, results)


def run_text(name, arguments, cores, options, results, program=None):
    """Runs a program, by default that of the same name, which prints a text for the report."""
    program = program or name
    say(f"{program} {' '.join(arguments)}")
    try:
        with on_cores(cores):
            done = subprocess.run(
                [options.bin / f"bench_{program}", *arguments], text=True, stdout=subprocess.PIPE
            )
    except OSError as error:
        results["failures"][name] = str(error)
        return
    say(done.stdout)
    results["texts"][name] = done.stdout
    if done.returncode != 0:
        results["failures"][name] = f"exit status {done.returncode}"


def run_texts(suites, sparse_set, options, results):
    is_trial = options.rounds < 3
    if "step_overhead" in suites:
        arguments = ["3" if is_trial else "20", "100000"]
        run_text("step_overhead", arguments, {max(all_cores())}, options, results)
    if "threads" in suites:
        arguments = ["1", "0.1"] if is_trial else ["25", "0.4"]
        run_text("threads", arguments, all_cores(), options, results)
    if "roofline" in suites:
        arguments = ["1", "0.05"] if is_trial else ["11", "0.3"]
        run_text("roofline", arguments, all_cores(), options, results)
    if "sparse" in suites:
        arguments = ["1", "60000", "20"] if is_trial else [str(options.rounds), "300000", "26"]
        run_text("sparse", arguments, {max(all_cores())}, options, results)
        sparse_suite.run_sparse(options, sparse_set, say, results)
    if "hogwild" in suites:
        arguments = ["1", "20000"] if is_trial else [str(options.rounds), "400000", "1.7"]
        run_text("hogwild", arguments, all_cores(), options, results)
    if "parameter_server" in suites:
        arguments = ["1", "8"] if is_trial else [str(options.rounds), "64", "0.8"]
        run_text("parameter_server", arguments, all_cores(), options, results)
    if "many_regressions" in suites:
        arguments = ["--problems", "100", "--repeats", "1"] if is_trial else []
        run_text("many_regressions", arguments, {max(all_cores())}, options, results)
    if "sharded_features" in suites:
        arguments = ["1"] if is_trial else [str(options.rounds)]
        run_text("sharded_features", arguments, all_cores(), options, results)
    if "cpu_gpu" in suites:
        run_cpu_gpu("5" if is_trial else "50", options, results)
    if "scaling" in suites:
        arguments = ["1", "3"] if is_trial else [str(options.rounds), "8"]
        run_text("scaling", arguments, all_cores(), options, results)
    if "failure" in suites:
        arguments = ["1"] if is_trial else [str(2 * options.rounds)]
        run_text("failure", arguments, all_cores(), options, results)
        for name, kind in (("stage_failure", "pipeline"), ("server_failure", "parameter_server")):
            run_text(name, [*arguments, kind], all_cores(), options, results, program="failure")
    if "startup" in suites:
        time_commands(options, results)
    if "checkpoints" in suites:
        arguments = ["40", "1", "100"] if is_trial else ["400", str(options.rounds)]
        run_checkpoints(arguments, options, results)
    if "stream" in suites:
        run_stream(0.5 if is_trial else options.stream_gb, 1 if is_trial else 3, options, results)


def time_commands(options, results):
    """Measures the seconds from the start of a command of the levin program until it has ended."""
    lines = []
    for name in report.COMMANDS:
        program, *arguments = name.split()
        seconds = []
        try:
            for _ in range(options.rounds):
                start = time.monotonic()
                subprocess.run(
                    [options.bin / program, *arguments], stdout=subprocess.DEVNULL, check=True
                )
                seconds.append(time.monotonic() - start)
        except (OSError, subprocess.CalledProcessError) as error:
            results["failures"][name] = str(error)
            continue
        spread = report.Spread.of(seconds)
        lines.append(
            f"{name:13s} median {spread.median:.3f} s (min {spread.low:.3f}, max {spread.high:.3f})"
        )
    results["texts"]["commands"] = "\n".join(lines) + "\n"
    say(results["texts"]["commands"])


def run_stream(gigabytes, rounds, options, results):
    parent = options.stream_folder or options.bin.parent
    if shutil.disk_usage(parent).free / 1e9 < gigabytes + 5:
        results["failures"][
            "stream"
        ] = f"{parent} has less than {gigabytes + 5:g} GB free; set another --stream-folder"
        return
    # The program removes its files itself, unless it is killed.
    with tempfile.TemporaryDirectory(prefix="bench-stream-", dir=parent) as folder:
        arguments = [folder, f"{gigabytes:g}", str(rounds)]
        run_text("stream", arguments, all_cores(), options, results)


def run_checkpoints(arguments, options, results):
    with tempfile.TemporaryDirectory(prefix="bench-checkpoints-", dir=options.bin.parent) as folder:
        run_text("checkpoints", [folder, *arguments], all_cores(), options, results)


def run_cpu_gpu(seconds, options, results):
    """Runs the program and keeps the points that it has measured."""
    with tempfile.TemporaryDirectory(prefix="bench-cpu-gpu-") as folder:
        file = pathlib.Path(folder) / "points.json"
        arguments = ["--seconds", seconds, "--json", str(file)]
        run_text("cpu_gpu", arguments, all_cores(), options, results)
        if file.exists():
            results["cpu_gpu"] = json.loads(file.read_text())


def find_mnist(options, results):
    """Returns $MNIST_DIR if set, otherwise data/mnist, into which MNIST's files are downloaded."""
    folder = pathlib.Path(os.environ.get("MNIST_DIR") or ROOT / "data" / "mnist")

    def is_there():
        return all(
            (folder / name).exists() or (folder / f"{name}.gz").exists() for name in MNIST_FILES
        )

    if not is_there() and "MNIST_DIR" not in os.environ:
        say(f"MNIST_DIR isn't set; downloading MNIST into {folder}")
        command = [options.bin / "bench_levin_epoch", "--mnist", folder, "--only-first-step", "1"]
        subprocess.run(command, stdout=subprocess.DEVNULL)
    if is_there():
        return folder
    results["failures"][
        "MNIST"
    ] = f"its files aren't in {folder}; set MNIST_DIR to the folder that has them"
    return None


def make_sparse_set(options, results):
    """Returns the folder of the sparse set, which is made if it isn't there, or None."""
    rows = 30_000 if options.rounds < 3 else 1_000_000
    folder = options.sparse_folder or options.bin.parent
    folder = pathlib.Path(folder) / f"bench-sparse-{rows}"
    say(f"the sparse set is in {folder}, to be used again; remove the folder to free 1 GB")
    program = HERE / "baselines" / "sparse_set.py"
    command = [options.python, "-B", program, folder, "--rows", str(rows)]
    done = subprocess.run(
        [*command, "--test-rows", str(rows // 5)], text=True, stderr=subprocess.PIPE
    )
    if done.returncode == 0:
        return folder
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    results["failures"]["the sparse set"] = lines[-1]
    return None


def machine():
    """Describes the machine and the commit, for the head of the report."""

    def first(path, pattern):
        with contextlib.suppress(OSError, AttributeError):
            return re.search(pattern, pathlib.Path(path).read_text()).group(1)

    def git(*arguments):
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True)
        return done.stdout.strip()

    memory = int(first("/proc/meminfo", r"MemTotal: *(\d+)") or 0) / 2**20
    changed = " with uncommitted changes" if git("status", "--porcelain", "-uno") else ""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": first("/proc/cpuinfo", r"model name\s*: (.*)") or platform.processor(),
        "cores": len(all_cores()),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": os.getloadavg()[0],
        "commit": (git("rev-parse", "--short", "HEAD") or "unknown") + changed,
    }


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="./run bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = f"one of {', '.join(SUITES)}, by default all of these; or {', '.join(ON_REQUEST)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--rounds", type=int, default=5, help="with 1 or 2, no files are written")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "release" / "bin")
    parser.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results")
    parser.add_argument("--stream-gb", type=float, default=20, help="size of the stream's files")
    folder = "folder for the stream's files; by default build/release"
    parser.add_argument("--stream-folder", type=pathlib.Path, help=folder)
    folder = "folder for the sparse set, which is kept; by default build/release"
    parser.add_argument("--sparse-folder", type=pathlib.Path, help=folder)
    rows = "the most made-up rows that sparse learns from in one fit; a billion by their rate"
    parser.add_argument("--rows", type=int, default=20_000_000, help=rows)
    folder = "folder in which exactness keeps the optima of scikit-learn, which take long to find"
    parser.add_argument("--reference-folder", type=pathlib.Path, help=folder)
    case = "a problem of exactness ('mnist, l2'), a way of links ('one_bit'), serving's soak or a "
    case += "part of tuning ('asha'); may be repeated"
    parser.add_argument("--case", action="append", help=case)
    folder = "folder in which tuning keeps the results of its seeds; the next run goes on with them"
    parser.add_argument("--raw-folder", type=pathlib.Path, help=folder)
    minutes = "how long the soak of serving lasts"
    parser.add_argument("--minutes", type=float, default=60, help=minutes)
    parser.add_argument("--from", type=pathlib.Path, dest="source", help=argparse.SUPPRESS)
    parser.add_argument("--short", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.names:
        if name not in SUITES + ON_REQUEST:
            choice = ", ".join(SUITES + ON_REQUEST)
            parser.error(f"there is no benchmark {name}; choose from {choice}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def measure(options):
    suites = options.names or SUITES
    cases = [f"--case '{case}'" for case in options.case or []]
    programs = Programs(options)
    results = {
        "machine": machine(),
        "command": " ".join(["./run bench", *options.names, *cases]),
        "rounds": [],
        "texts": {},
        "failures": dict(programs.missing),
    }
    needs_mnist = {"lr", "mlp", "solvers", "exactness", "links", "serving", "tuning"} & set(suites)
    mnist = find_mnist(options, results) if needs_mnist else None
    needs_sparse = {"sparse", "solvers", "exactness"} & set(suites)
    sparse_set = make_sparse_set(options, results) if needs_sparse else None
    folders = {"mnist": mnist, "sparse": sparse_set}
    run_cases(suites, programs, mnist, options.rounds, results)
    run_texts(suites, sparse_set, options, results)
    if "solvers" in suites:
        solver_suite.run_solvers(options, folders, run, say, results)
    if "exactness" in suites:
        exact_suite.run_exactness(options, folders, run, say, results)
    if "links" in suites:
        link_suite.run_links(options, mnist, say, results)
    if "serving" in suites:
        serving_suite.run_serving(options, mnist, say, results)
    if "tuning" in suites:
        tuning_suite.run_tuning(options, mnist, say, results)
    return results


def markdown(results):
    checks, parts = serving_tables.checks(results), serving_tables.parts(results)
    return report.markdown(results, checks, parts)


def main():
    options = parse_arguments()
    if options.source:
        tables = report.short_table if options.short else markdown
        print(tables(json.loads(options.source.read_text())))
        return
    results = measure(options)
    text = markdown(results)
    print(text)
    if options.rounds > 2:
        name = "-".join([results["machine"]["date"], *options.names])
        name += "-soak" if results.get("soak") else ""
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / f"{name}.md").write_text(text)
        (options.output / f"{name}.json").write_text(report.as_json(results))
        written = ".md and .json"
        if "cpu_gpu" in results:
            plot = plot_cpu_gpu.draw(results["cpu_gpu"])
            (options.output / f"{name}.svg").write_text(plot, encoding="utf-8")
            written = ".md, .json and .svg"
        if results.get("links"):
            plot = plot_links.draw(results["links"])
            (options.output / f"{name}.svg").write_text(plot, encoding="utf-8")
            written = ".md, .json and .svg"
        if results.get("serving"):
            plot = plot_serving.draw(results["serving"])
            (options.output / f"{name}.svg").write_text(plot, encoding="utf-8")
            written = ".md, .json and .svg"
        for case, plot in plot_solvers.draw_all(results.get("solvers", [])):
            (options.output / f"{name}-{case}.svg").write_text(plot, encoding="utf-8")
        say(f"written to {options.output / name}{written}")


if __name__ == "__main__":
    main()
