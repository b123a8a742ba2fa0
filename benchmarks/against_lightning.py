"""MNIST logistic regression: Levin's time per epoch beside Lightning's, in turns, as ratios.

    python against_lightning.py --levin build/release/bin/bench_mnist_epoch --mnist DIR
        [--rounds 5] [--epochs 2] [--output FILE.md]

Both train from a process of their own, on one core each, batch 128, Adam, shuffled, the loss logged.
Prints the median and the spread of the ratio Lightning / Levin over the rounds; with --at-least R the
exit status says whether the median reaches R.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def one_core():
    """Pins the child to one core where the system can, so that neither has an advantage."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def run(command, environment):
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, check=True, text=True, preexec_fn=one_core
    )
    return done.stdout


def levin_microseconds(options):
    text = run([options.levin, options.mnist, str(options.epochs), "128"], {})
    return float(re.search(r"(\d+) us/step", text).group(1))


def lightning_microseconds(options):
    script = HERE / "baselines" / "lightning_mnist.py"
    command = [sys.executable, str(script), "lightning", "--json", "--mnist", options.mnist]
    text = run(command + ["--epochs", str(options.epochs)], {})
    return json.loads(text.splitlines()[-1])["microseconds_per_step"]


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--levin", required=True)
    parser.add_argument("--mnist", default=os.environ.get("MNIST_DIR"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0.0)
    parser.add_argument("--output", help="a Markdown file to write the table to")
    options = parser.parse_args()
    if not options.mnist:
        parser.error("give --mnist, or set MNIST_DIR")
    return options


def cpu_name():
    try:
        return re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text()).group(1)
    except (OSError, AttributeError):
        return platform.processor()


def main():
    options = parse_arguments()
    rows = []
    for index in range(options.rounds):
        levin = levin_microseconds(options)
        lightning = lightning_microseconds(options)
        rows.append((levin, lightning, lightning / levin))
        print(f"round {index}: levin {levin:.0f}, lightning {lightning:.0f} us a step", flush=True)
    columns = list(zip(*rows))
    names = ("Levin, us a step", "Lightning 2.6.1, us a step", "Lightning / Levin")
    lines = ["| MNIST logistic regression, batch 128, one core | median | min | max |", "|---|---|---|---|"]
    for name, values, digits in zip(names, columns, (0, 0, 2)):
        cells = (statistics.median(values), min(values), max(values))
        lines.append(f"| {name} | " + " | ".join(f"{cell:.{digits}f}" for cell in cells) + " |")
    table = "\n".join(lines)
    print(table)
    if options.output:
        head = f"{datetime.date.today()}, {cpu_name()}, {options.rounds} rounds in turns"
        pathlib.Path(options.output).write_text(f"{head}\n\n{table}\n")
    return 0 if statistics.median(columns[2]) >= options.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
