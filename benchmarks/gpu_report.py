"""Computes the tables of gpu-check's comparison with PyTorch and Lightning on a GPU, and whether
each bound that Levin promises there holds. Needs Python's standard library only.

    gpu_report.py RECORDS    print the tables as Markdown

Each line of the file RECORDS has the number of a round, the name of a program, and the line of JSON
that the program printed: bench_gpu_training (levin) or a program in baselines/.
"""

import json
import pathlib
import statistics
import sys

import report

WARM_UP = 2  # epochs at the start of a process that don't count
LOGISTIC = "MNIST logistic regression, batch 128"
MLP = "MLP 784-512-512-10, batch 128"
CASES = {"logistic_regression": LOGISTIC, "wide_mlp": MLP}
# How Levin's Trainer ran, by its option cuda_graph; "auto" is its default.
GRAPHS = {"auto": "", "off": ", cuda_graph off", "on": ", cuda_graph on"}
TITLES = {
    "pytorch": "PyTorch, DataLoader",
    "pytorch_fused": "PyTorch, data on the GPU, batches by index, fused Adam",
    "lightning": "Lightning",
}
ORDER = [
    f"Levin{storage}{graph}" for storage in ("", ", uint8") for graph in GRAPHS.values()
] + list(TITLES.values())


def epoch_seconds(record):
    seconds = record["epoch_seconds"]
    return statistics.median(seconds[WARM_UP:] or seconds)


def step_microseconds(record):
    return epoch_seconds(record) / record["steps_per_epoch"] * 1e6


def title(program, record):
    """Returns the name of the program's column, which for Levin says how it was run."""
    if program != "levin":
        return TITLES[program]
    storage = "" if record["storage"] == "float32" else ", uint8"
    return f"Levin{storage}{GRAPHS[record['loop']]}"


def read(lines):
    """Returns the records as report.Rounds takes them."""
    records = []
    for line in lines:
        index, program, text = line.split(maxsplit=2)
        record = json.loads(text)
        records.append(
            record
            | {
                "suite": "gpu",
                "case": CASES[record["problem"]],
                "program": title(program, record),
                "round": int(index),
            }
        )
    return records


# --- the bounds --------------------------------------------------------------------------------


def logistic_checks(rounds, storage):
    levin = f"Levin{storage}"
    name = f"logistic regression{storage}"
    reached = rounds.values(LOGISTIC, levin, lambda r: r["seconds_to_accuracy"])
    is_mnist = all(rounds.values(LOGISTIC, levin, lambda r: r["data"] == "MNIST").values())
    # A training that never reached the accuracy took for ever.
    seconds = [float("inf") if value is None else value for value in reached.values()]
    return [
        report.Check(
            f"{name}: Lightning's time / Levin's",
            50,
            rounds.ratio(LOGISTIC, TITLES["lightning"], levin, step_microseconds),
            True,
        ),
        report.Check(
            f"{name}: a step", 15, rounds.spread(LOGISTIC, levin, step_microseconds), unit=" us"
        ),
        report.Check(
            f"{name}: training until 92 % of the test images are right",
            1,
            report.Spread.of(seconds) if is_mnist else None,
            unit=" s",
        ),
    ]


def mlp_checks(rounds):
    checks = []
    for program, limit in (("lightning", 10), ("pytorch", 4), ("pytorch_fused", 4)):
        ratio = rounds.ratio(MLP, TITLES[program], "Levin", step_microseconds)
        name = f"{MLP}: time of {TITLES[program]} / Levin's"
        checks.append(report.Check(name, limit, ratio, True))
    return checks


def make_checks(rounds):
    return logistic_checks(rounds, "") + logistic_checks(rounds, ", uint8") + mlp_checks(rounds)


# --- the tables --------------------------------------------------------------------------------


def seconds_cell(value):
    return "-" if value is None else report.number(value)


def program_rows(rounds, case):
    """Returns a row for each program: its times, its ratio to Levin, and what it learned."""
    programs = rounds.by_case[case]
    rows = []
    for name in ORDER:
        if name not in programs:
            continue
        record = next(iter(programs[name].values()))
        ratio = rounds.ratio(case, name, "Levin", step_microseconds)
        rows.append(
            [
                name,
                report.cell(rounds.spread(case, name, lambda r: epoch_seconds(r) * 1e3)),
                report.cell(rounds.spread(case, name, step_microseconds)),
                "-" if name == "Levin" else report.cell(ratio),
                f"{record['accuracy']:.3f} ({len(record['epoch_seconds'])})",
                seconds_cell(record.get("seconds_to_accuracy")),
            ]
        )
    return rows


def case_table(rounds, case):
    head = [
        case,
        "milliseconds an epoch",
        "microseconds a step",
        "times Levin's time",
        "accuracy (after epochs)",
        "seconds until 92 %",
    ]
    return report.table(head, program_rows(rounds, case))


def built_list(records):
    built = {record["built"]: record["program"].split(",")[0] for record in records}
    return "\n".join(f"- {name}: {text}" for text, name in built.items())


def markdown(records):
    """Returns the report of at least one record."""
    rounds = report.Rounds(records)
    count = len({record["round"] for record in records})
    epochs = "The first two epochs of a process don't count."
    if any(record.get("data") == "made" for record in records):
        epochs += " MNIST was not there: the images are made, and have MNIST's shape only."
    parts = [
        *report.checks_table(make_checks(rounds)),
        "## Levin, PyTorch and Lightning on this GPU\n\n"
        f"The median of {count} round{'s' if count > 1 else ''}, in which the programs run one after the other; then the "
        f"lowest and the highest. {epochs}",
        *(case_table(rounds, case) for case in CASES.values() if case in rounds.by_case),
        "How they were built:\n\n" + built_list(records),
    ]
    return "\n\n".join(parts) + "\n"


def main():
    lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
    records = read(lines)
    if records:
        print(markdown(records), end="")


if __name__ == "__main__":
    main()
