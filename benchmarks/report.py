"""Computes the tables of ./run bench from its rounds: medians of ratios with their spread, and
whether each bound that Levin promises holds.
"""

import dataclasses
import json
import math
import re
import statistics

import link_costs
import solver_curves

TITLES = {
    "levin": "Levin",
    "hand_written": "hand-written LibTorch loop",
    "by_hand": "the same without autograd",
    "data_loader": "LibTorch's DataLoader loop",
    "pytorch": "PyTorch, DataLoader",
    "pytorch_fused": "PyTorch, batches by index, fused Adam",
    "lightning": "Lightning",
    "limit": "bare-metal limit",
    "torch_start": "LibTorch adds two tensors",
}
COMMANDS = ("levin list", "levin --help")  # the commands whose seconds are measured
MEBI = 2**20


def epoch_seconds(record):
    """Returns the median over the epochs, without the first one if there are several."""
    seconds = record["epoch_seconds"]
    return statistics.median(seconds[1:] or seconds)


def step_microseconds(record):
    return epoch_seconds(record) / record["steps_per_epoch"] * 1e6


@dataclasses.dataclass(frozen=True)
class Spread:
    """The median, the smallest and the largest of some values."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values):
        values = list(values)
        return Spread(statistics.median(values), min(values), max(values)) if values else None


def number(value):
    """Returns the value with three significant digits, and without exponent unless it's tiny."""
    if value == 0 or math.isinf(value):
        return f"{value:g}"
    if abs(value) < 1e-5:
        return f"{value:.1e}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def cell(spread, unit=""):
    if spread is None:
        return "-"
    low, high = number(spread.low), number(spread.high)
    return number(spread.median) + unit + (f" ({low}-{high})" if low != high else "")


class Rounds:
    """The measurements by case, program and round."""

    def __init__(self, records):
        self.by_case = {}  # case: program: round: record
        for record in records:
            programs = self.by_case.setdefault(record["case"], {})
            programs.setdefault(record["program"], {})[record["round"]] = record

    def cases(self, *suites):
        return [
            case
            for case, programs in self.by_case.items()
            if any(r["suite"] in suites for rounds in programs.values() for r in rounds.values())
        ]

    def programs(self, cases):
        return [p for p in TITLES if any(p in self.by_case[case] for case in cases)]

    def values(self, case, program, value):
        """Returns value(record) for each round."""
        return {index: value(r) for index, r in self.by_case.get(case, {}).get(program, {}).items()}

    def spread(self, case, program, value):
        return Spread.of(self.values(case, program, value).values())

    def combined(self, case, first, second, value, combine):
        """Returns the spread of combine(first, second) over the rounds that have both."""
        a, b = self.values(case, first, value), self.values(case, second, value)
        return Spread.of(combine(a[index], b[index]) for index in sorted(a.keys() & b.keys()))

    def ratio(self, case, over, under, value=step_microseconds):
        return self.combined(case, over, under, value, lambda a, b: a / b)


# --- the bounds --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Check:
    """A bound and the measurement. It is a lower bound if `at_least`, otherwise an upper one.

    It must hold for the median, or with `always` for every value.
    """

    what: str
    limit: float
    measured: Spread
    at_least: bool = False
    unit: str = ""
    always: bool = False

    def verdict(self):
        if self.measured is None:
            return "not measured"
        median, low, high = dataclasses.astuple(self.measured)
        if self.at_least:
            holds = (low if self.always else median) >= self.limit
        else:
            holds = (high if self.always else median) <= self.limit
        return "ok" if holds else "FALLS SHORT"

    def row(self):
        bound = f"at {'least' if self.at_least else 'most'} {self.limit:g}{self.unit}"
        bound += " in every round" if self.always else ""
        return f"| {self.what} | {bound} | {cell(self.measured, self.unit)} | {self.verdict()} |"


def logistic(batch_size, storage=""):
    return f"MNIST logistic regression, batch {batch_size}{storage}"


def printed_spread(text, line):
    """Returns the median, min and max that a program has printed in the line that starts so."""
    found = re.search(
        f"^{re.escape(line)}.* median (\\S+) .*\\(min (\\S+), max (\\S+)\\)", text, re.MULTILINE
    )
    return Spread(*map(float, found.groups())) if found else None


def step_overhead_checks(text):
    def check(what, line, limit, unit):
        return Check(what, limit, printed_spread(text, line), unit=unit)

    return [
        check("a step with an empty training_step", "Trainer, empty training_step", 0.2, " us"),
        check(
            "a step with all hooks and an empty optimizer", "a loss, all hooks, a step", 1, " us"
        ),
        check("a logged value's row for TensorBoard", "its row in TensorBoard's file", 2, " us"),
        check("an epoch's order of 60,000 rows", "60,000 rows permuted", 1, " ms"),
    ]


def failure_checks(text, of="ranks"):
    """The seconds from the failure of one of three ranks until the launcher has ended."""

    def check(what, limit):
        name = f"all {of} end after {what}"
        return Check(name, limit, printed_spread(text, what), unit=" s", always=True)

    return [
        check("kill -9", 2),
        check("an exception", 2),
        check("SIGSTOP, heartbeat_timeout 1 s", 4),
    ]


def stage_failure_checks(text):
    """The seconds from the failure of one of three stages of a pipeline until all have ended."""
    return failure_checks(text, "stages")


def server_failure_checks(text):
    """The seconds from the failure of one of three ranks, two with parameter servers, until all have ended."""
    return failure_checks(text, "ranks of parameter servers")


def commands_checks(text):
    return [
        Check(f"{command}, from start to end", 1, printed_spread(text, command), unit=" s")
        for command in COMMANDS
    ]


def threads_checks(text):
    """Reads rows that begin with load, model and batch size, and end with the default's ratio."""
    row = re.compile(
        r"^(idle|busy) +(\S.*?) +(\d+) .* ([\d.]+) \(([\d.]+)-([\d.]+)\)$", re.MULTILINE
    )
    what = "threads: the default / the better of 1 and all"
    checks = []
    for load, model, batch, *ratio in row.findall(text):
        name = f"{what}, {model}, batch {batch}, {load} machine"
        checks.append(Check(name, 1.1, Spread(*map(float, ratio))))
    return checks or [Check(what, 1.1, None)]


def roofline_checks(text):
    """Reads rows of model, batch size, microseconds a step, two rates, what binds, and two ratios
    with their spread: the share of what binds, and the time with one thread over that with all.
    """
    ratio = r" +([\d.]+) \(([\d.]+)-([\d.]+)\)"
    row = re.compile(
        r"^(\S.*?) +(\d+) +([\d.]+) +[\d.]+ +[\d.]+ +(?:memory|arithmetic)" + ratio * 2 + "$",
        re.MULTILINE,
    )
    checks = []
    step = {}
    for model, batch, time, *ratios in row.findall(text):
        share, faster = (Spread(*map(float, part)) for part in (ratios[:3], ratios[3:]))
        step[model, batch] = float(time)
        name = f"{model}, batch {batch}"
        if model == "logistic regression":
            checks.append(Check(f"{name}: share of what binds one core", 0.65, share, True))
        if model.startswith("logistic regression") and int(batch) >= 512:
            checks.append(Check(f"{name}: one thread's time / that of all", 1.7, faster, True))
    for (model, batch), time in step.items():
        if (f"{model}, uint8", batch) in step:
            faster = Spread.of([time / step[f"{model}, uint8", batch]])
            checks.append(Check(f"{model}, batch {batch}: float32 / uint8", 1.2, faster, True))
    return checks or [Check("share of what binds", 0.65, None, True)]


def stream_checks(text):
    ratios = Spread.of(map(float, re.findall(r"of read\(\) ([\d.]+)", text)))
    memory = Spread.of(map(float, re.findall(r"anonymous memory at most (\d+) MB", text)))
    size = re.match(r"(\S+) GB", text)
    size = f"{float(size.group(1)):.3g} GB" if size else "?"
    return [
        Check(f"a stream of {size}, cold cache: speed of training / of reading", 0.8, ratios, True),
        Check(f"a stream of {size}: anonymous memory", 1000, memory, unit=" MB"),
    ]


def checkpoints_checks(text):
    size = re.match(r"a checkpoint of (\d+) MB", text)
    found = re.search(r"thread/training: ([\d.]+) \(([\d.]+)-([\d.]+)\)", text)
    ratio = Spread(*map(float, found.groups())) if found else None
    name = f"a checkpoint of {size.group(1) if size else '?'} MB"
    return [Check(f"{name}: longest step, written by a thread / by training", 0.5, ratio)]


def scaling_checks(text):
    """Two ranks must reach the bound, or on slow machines keep up with the hand-written program."""
    checks = []
    sections = re.findall(r"^batch (\d+) a rank(.*?)(?=^batch|^where|\Z)", text, re.M | re.S)
    for size, section in sections:

        def ratio(name, section=section):
            found = re.search(re.escape(name) + r": (\S+) \((\S+)-(\S+)\)", section)
            return Spread(*map(float, found.groups())) if found else None

        name = f"MLP 784-512-512-10, batch {size} a rank"
        faster = Check(
            f"{name}: rows a second of 2 ranks / of 1",
            1.7,
            ratio("2 ranks / 1 rank, rows a second, Levin"),
            True,
        )
        by_hand = Check(
            f"{name}: 2 ranks (which don't reach 1.7 here), Levin / hand-written program",
            1.05,
            ratio("2 ranks, time of a step: Levin / hand-written"),
        )
        checks.append(by_hand if faster.verdict() == "FALLS SHORT" else faster)
        one = ratio("1 rank, time of a step: ddp / single_device")
        checks.append(Check(f"{name}: 1 rank, ddp / single_device", 1.05, one))
    return checks or [Check("rows a second of 2 ranks / of 1", 1.7, None, True)]


def cpu_gpu_checks(_text):
    return []  # where the curves cross depends on the machine


def sparse_checks(text):
    """Lazy updates must not cost more over more columns, and text must become a model sooner than
    with Vowpal Wabbit, if that is there. The other figures depend on the machine's memory.
    """

    def ratio(pattern):
        found = re.search(pattern + r": (\S+)$", text, re.M)
        return Spread.of([float(found.group(1))]) if found else None

    growth = r"largest multiple / that of 2\^16 columns"
    checks = [
        Check(
            f"online Adagrad with {penalty}, a row beside the plain loop's: most / at 2^16 columns",
            1.25,
            ratio(f"^{penalty}: {growth}"),
        )
        for penalty in ("l1", "l2")
    ]
    if "Vowpal Wabbit (" in text:
        found = ratio(r"^text to model, Levin / Vowpal Wabbit \(.*\)")
        checks.append(Check("text to model: Levin / Vowpal Wabbit", 0.6, found))
    return checks


def text_to_model_checks(text):
    bound = 0.6
    return [
        Check(
            f"sparse text to model, {where}: levin / Vowpal Wabbit",
            bound,
            printed_spread(text, f"text to model, {where}, levin / vw"),
        )
        for where in re.findall("^text to model, (.*), levin / vw", text, re.M)
    ] or [Check("sparse text to model: levin / Vowpal Wabbit", bound, None)]


def parsing_checks(text):
    memory = Spread.of(map(float, re.findall(r"^libsvm text, memory .*: (\d+) MB", text, re.M)))
    speed = printed_spread(text, "libsvm text, levin")
    return [
        Check("libsvm text, one core", 400, speed, True, " MB/s"),
        Check("memory for 1 M rows of libsvm text, 39 entries each", 320, memory, unit=" MB"),
    ]


def learning_checks(text):
    def speed(name, limit):
        measured = printed_spread(text, f"{name}, an epoch of the Trainer")
        return Check(f"{name}, 39 of 2^20 columns", limit, measured, True, " M rows/s")

    loss = re.findall(r"^online Adagrad, log-loss of the test rows: (\S+)", text, re.M)
    return [
        speed("online Adagrad", 3),
        speed("Adagrad, batches of 1,024", 1.4),
        Check("online Adagrad, log-loss after a pass", 0.466, Spread.of(map(float, loss))),
        Check(
            "objective and gradient, 1 M rows, 39 of 2^20 columns",
            0.2,
            printed_spread(text, "objective and gradient"),
            unit=" s",
        ),
    ]


def many_rows_checks(text):
    def check(what, pattern, limit, unit=""):
        found = re.findall(f"^(.*), {pattern}", text, re.M)
        return [
            Check(
                f"many rows from the {source}: {what}", limit, Spread.of([float(value)]), unit=unit
            )
            for source, value in found
        ] or [Check(f"many rows: {what}", limit, None)]

    before = "peak memory of the most rows / of the fewer before"
    return [
        *check("peak memory", r"largest peak memory: (\d+) MB", 1500, " MB"),
        *check(before, before + r": (\S+)", 1.1),
    ]


def many_checks(_text):
    return []  # how much there is to gain depends on the machine's matrix products


def sharded_features_checks(_text):
    return []  # how much there is to gain depends on the memory's bandwidth and on the network


def hogwild_checks(text):
    first_table = text.split("\n\n")[0]
    rows = re.findall(
        r"^([12] (?:thread|process)\w*) +\d+ +([\d.]+) +([\d.]+)$", first_table, re.MULTILINE
    )
    found = {name: (float(gain), float(loss)) for name, gain, loss in rows}
    if "2 threads" not in found or "2 processes" not in found:
        return []
    loss_of_one = found["1 thread"][1]
    gain = Spread.of([found["2 threads"][0]])
    checks = [Check("Hogwild: rows/s of 2 threads / 1", 1.7, gain, at_least=True)]
    for name in ("2 threads", "2 processes"):
        worse = Spread.of([found[name][1] - loss_of_one])
        checks.append(Check(f"Hogwild: log-loss of {name} - 1 thread", 1e-3, worse))
    return checks


def tuning_checks(text):
    """TPE must not be worse than Optuna's: fewer than 5 % of the resamples would say so by chance."""
    shares = re.findall(r"^(\w+) +tpe .* ([\d.]+)$", text, re.MULTILINE)
    checks = [
        Check(f"TPE on {name}: resamples no worse than Optuna's", 0.05, Spread.of([float(share)]), True)
        for name, share in shares
    ]
    took = re.search(r"by TPE: ([\d.]+) ms", text)
    if took:
        checks.append(Check("TPE: choosing a trial", 30, Spread.of([float(took[1])]), unit=" ms"))
    share = re.search(r"this share of their epochs: ([\d.]+)", text)
    if share:
        checks.append(Check("ASHA: epochs / random search's", 1 / 3, Spread.of([float(share[1])])))
    for sampler, step in re.findall(r"^(\w+) +to the first step +([\d.]+) ms", text, re.MULTILINE):
        what = f"Search ({sampler}): from a trial's end to the next one's first step"
        checks.append(Check(what, 30, Spread.of([float(step)]), unit=" ms"))
    ratios = r"^(\w+, regression, \w+) +[\d.]+ ms +[\d.]+ ms +([\d.]+) \(([\d.]+) to ([\d.]+)\)$"
    for what, *ratio in re.findall(ratios, text, re.MULTILINE):
        checks.append(Check(f"64 at once / one: {what}", 8, Spread(*map(float, ratio))))
    return checks


def parameter_server_checks(text):
    row = re.search(r"^ +1 +1( +[\d.]+){4} +([\d.]+) +([\d.]+) +([\d.]+)$", text, re.MULTILINE)
    if row is None:
        return []
    share = Spread.of([float(row[4])])
    return [Check("Parameter server: pushes and pulls / TCP", 0.8, share, at_least=True)]


def solver_checks(runs):
    """The time until scikit-learn's newton-cg's objective on MNIST, beside that of its solvers, and
    until a log-loss on the sparse set, beside liblinear's.
    """
    if not runs:
        return []
    checks = [
        Check(
            f"{solver_curves.BOUND_CASE}, to newton-cg's objective + 1e-5: "
            f"{solver_curves.BOUND_SOLVER} / {anchor}",
            limit,
            Spread.of(solver_curves.bound_ratios(runs, anchor)),
        )
        for anchor, limit in solver_curves.BOUNDS
    ]
    anchor, limit = solver_curves.TEST_BOUND
    what = f"{solver_curves.TEST_CASE}, to log-loss {solver_curves.TEST_LOSS} of the test rows"
    what += f": {solver_curves.TEST_SOLVER} / {anchor}"
    return [*checks, Check(what, limit, Spread.of(solver_curves.test_ratios(runs)))]


TEXTS = {
    "step_overhead": ("What the Trainer adds to a step", step_overhead_checks),
    "threads": ("Threads: the default beside 1, all and auto", threads_checks),
    "roofline": ("What a step takes, as a share of what binds it", roofline_checks),
    "sparse": ("Learning from sparse rows", sparse_checks),
    "text_to_model": ("From sparse text to a model in one command", text_to_model_checks),
    "parsing": ("Parsing libsvm text", parsing_checks),
    "learning": ("Learning from the sparse set in memory", learning_checks),
    "many_rows": ("Fits of many made-up rows in one pass", many_rows_checks),
    "many_regressions": ("Many regressions at once, and each of them alone", many_checks),
    "hogwild": ("Threads that learn from sparse rows without locks", hogwild_checks),
    "parameter_server": ("Parameter servers beside TCP itself", parameter_server_checks),
    "sharded_features": ("Features divided among ranks, beside rows", sharded_features_checks),
    "cpu_gpu": ("Training on the CPU and on the GPU", cpu_gpu_checks),
    "stream": ("A stream larger than memory", stream_checks),
    "checkpoints": ("Steps while a large checkpoint is written", checkpoints_checks),
    "scaling": ("Two ranks, and more on paper", scaling_checks),
    "failure": ("Seconds until a run has ended whose rank has failed", failure_checks),
    "stage_failure": ("Seconds until a pipeline has ended whose stage has failed", stage_failure_checks),
    "server_failure": ("Seconds until a run with parameter servers has ended whose rank has failed", server_failure_checks),
    "tuning": ("Searches for hyper-parameters beside Optuna's", tuning_checks),
    "commands": ("Seconds that commands take which train nothing", commands_checks),
}


def time_checks(rounds):
    case = logistic(128)
    name = "logistic regression, batch 128"
    checks = [
        Check(
            f"{name}: Lightning's time / Levin's",
            12,
            rounds.ratio(case, "lightning", "levin"),
            True,
        ),
        Check(
            f"{name}: LibTorch's DataLoader loop / Levin",
            4,
            rounds.ratio(case, "data_loader", "levin"),
            True,
        ),
        Check(
            f"{name}: Levin / hand-written loop", 0.45, rounds.ratio(case, "levin", "hand_written")
        ),
    ]
    for storage in ("", ", uint8"):
        for batch_size in (128, 512, 4096):
            ratio = rounds.ratio(logistic(batch_size, storage), "levin", "limit")
            name = f"logistic regression, batch {batch_size}{storage}"
            checks.append(Check(f"{name}: Levin / limit", 1.4, ratio))
    for name, limit in (("MLP 784-32-10, batch 128", 0.5), ("MLP 784-512-512-10, batch 128", 0.85)):
        ratio = rounds.ratio(name, "levin", "hand_written")
        checks.append(Check(f"{name}: Levin / hand-written loop", limit, ratio))
    return checks


def memory_checks(rounds):
    checks = []
    for case in rounds.cases("lr", "mlp", "small"):
        ratio = rounds.ratio(case, "levin", "hand_written", lambda r: r["peak_bytes"])
        checks.append(Check(f"peak memory, {case}: Levin / hand-written loop", 1.05, ratio))
    # The memory by which a process grew, from before it read the data until the end.
    grown = {
        storage: rounds.values(logistic(128, storage), "levin", lambda r: r["grown_bytes"])
        for storage in ("", ", uint8")
    }
    both = sorted(grown[""].keys() & grown[", uint8"].keys())
    quarter = Spread.of(grown[", uint8"][index] / grown[""][index] for index in both)
    # The pixels take a quarter of the memory; labels, order, model and buffers take the same.
    checks.append(Check("memory taken for uint8 / for float32, batch 128", 0.27, quarter))
    return checks


def make_checks(results, rounds):
    checks = []
    if rounds.cases("lr", "mlp"):
        checks += time_checks(rounds)
    if rounds.cases("lr", "mlp", "small"):
        checks += memory_checks(rounds)
    for case in rounds.cases("startup"):
        over = rounds.combined(
            case, "levin", "torch_start", lambda r: r["start_seconds"], lambda a, b: a - b
        )
        checks.append(
            Check(
                f"{case}: Levin's seconds over those of LibTorch adding two tensors",
                0.3,
                over,
                unit=" s",
            )
        )
    for name, text in results["texts"].items():
        checks += TEXTS[name][1](text)
    return (
        checks
        + solver_checks(results.get("solvers", []))
        + exact_checks(results.get("exactness", []))
        + link_checks(results.get("links", []))
    )


# --- the tables --------------------------------------------------------------------------------


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def table_of(rounds, cases, programs, cell_of):
    """Returns a table with a row for each case and a column for each program."""
    rows = [[case] + [cell_of(case, program) for program in programs] for case in cases]
    return table([""] + [TITLES[p] for p in programs], rows)


def time_tables(rounds):
    cases = rounds.cases("lr", "mlp", "small")
    if not cases:
        return []
    programs = rounds.programs(cases)
    others = [p for p in programs if p != "levin"]
    return [
        "## How many times Levin's time the others take\n\nAbove 1, Levin is faster. "
        "The median of the rounds' ratios, then their lowest and highest.",
        table_of(rounds, cases, others, lambda c, p: cell(rounds.ratio(c, p, "levin"))),
        "## Microseconds a step",
        table_of(
            rounds, cases, programs, lambda c, p: cell(rounds.spread(c, p, step_microseconds))
        ),
        "## Milliseconds an epoch",
        table_of(
            rounds,
            cases,
            programs,
            lambda c, p: cell(rounds.spread(c, p, lambda r: epoch_seconds(r) * 1e3)),
        ),
        "## Accuracy\n\nAfter as many epochs as were timed (MNIST: on the test images; else on "
        "the rows trained on): that the programs do the same work.",
        table_of(rounds, cases, programs, lambda c, p: accuracy(rounds, c, p)),
    ]


def accuracy(rounds, case, program):
    values = rounds.values(case, program, lambda r: (r["accuracy"], len(r["epoch_seconds"])))
    if not values:
        return "-"
    value, epochs = next(iter(values.values()))
    return f"{value:.3f} ({epochs})"


def start_table(rounds):
    cases = rounds.cases("startup")
    if not cases:
        return []
    programs = rounds.programs(cases)
    return [
        "## Seconds from the start of the process to the end of the first step",
        table_of(
            rounds,
            cases,
            programs,
            lambda c, p: cell(rounds.spread(c, p, lambda r: r["start_seconds"])),
        ),
    ]


def memory_table(rounds):
    cases = rounds.cases("lr", "mlp", "small", "startup")
    if not cases:
        return []
    programs = rounds.programs(cases)
    return [
        "## Peak memory, MiB\n\nOf the process, until the end of the training; what it maps from "
        "LibTorch's files counts.",
        table_of(
            rounds,
            cases,
            programs,
            lambda c, p: cell(rounds.spread(c, p, lambda r: r["peak_bytes"] / MEBI)),
        ),
    ]


def checks_table(checks):
    if not checks:
        return []
    short = sum(check.verdict() == "FALLS SHORT" for check in checks)
    missing = sum(check.verdict() == "not measured" for check in checks)
    head = table(["bound", "target", "measured", ""], []).splitlines()
    return [
        f"## Bounds: {len(checks) - short - missing} hold, {short} fall short, "
        f"{missing} not measured",
        "\n".join(head + [check.row() for check in checks]),
    ]


SOLVER_TEXT = (
    "## Solvers: seconds to gaps of the objective\n\n"
    "The gap is (objective - optimum) / optimum, where the optimum is the best objective that any "
    "program found. Seconds from the start of the process and, in parentheses, from when the data "
    "were read; medians of the rounds. A dash: a round ended before. The columns after that are "
    "of the best point of all rounds: its gap, and the largest distance of its coefficients from "
    "those of the optimum; then log-losses of test rows, where there are some. Each program has "
    "one thread. Solvers that no bound is about have one round on MNIST and on the sparse set. If "
    "scikit-learn's lbfgs was stopped before it reached the objective of a bound, the bound's "
    "ratio is with the time until then, and larger than the true one. scikit-learn's liblinear "
    "isn't there, since it penalises the intercept; liblinear's own program doesn't. Vowpal "
    "Wabbit runs without penalties, since its own aren't those of the objective; its points are "
    "the models after each pass."
)


def solver_row(program, by_round, best):
    """Returns the cells of a program's row, and whether there are log-losses of test rows."""
    cells = [
        "-" if pair is None else f"{number(pair[0])} ({number(pair[1])})"
        for pair in solver_curves.medians(by_round, best)
    ]
    points = [point for r in by_round.values() for point in r["points"]]
    least = min(objective for _, objective in points)
    distance = min(r["distance"] for r in by_round.values())
    row = [program, *cells, f"{(least - best) / best:.1e}", f"{distance:.1e}"]
    losses = [loss for r in by_round.values() for _, loss in r.get("test_points", [])]
    return row + ([f"{losses[-1]:.5f}", f"{min(losses):.5f}"] if losses else [])


def solver_tables(runs):
    if not runs:
        return []
    parts = [SOLVER_TEXT]
    for case in solver_curves.cases(runs):
        best = solver_curves.optimum(runs, case)
        rows = []
        for program in solver_curves.programs(runs, case):
            by_round = solver_curves.of(runs, case, program)
            row = solver_row(program, by_round, best)
            if case == solver_curves.TEST_CASE:
                times = [solver_curves.seconds_to_test_loss(r) for r in by_round.values()]
                row.append("-" if None in times else number(statistics.median(times)))
            rows.append(row)
        head = ["", *(f"{gap:.0e}" for gap in solver_curves.GAPS), "least gap", "coefficients"]
        if any("test_points" in r for r in runs if r["case"] == case):
            head += ["log-loss at the end", "least log-loss"]
        head += [f"to {solver_curves.TEST_LOSS}"] if case == solver_curves.TEST_CASE else []
        parts.append(f"### {case}: optimum {best:.9f}\n\n" + table(head, sorted(rows)))
    return parts


def exact_checks(records):
    """The worst of the solvers on each problem, whether they ended by themselves or not."""
    checks = []
    for case in dict.fromkeys(r["case"] for r in records):
        of_case = [r for r in records if r["case"] == case]
        beside = of_case[0]["beside"]
        is_own = beside.startswith(("Levin", "Newton in NumPy"))
        beside = beside if is_own else f"scikit-learn {beside}"
        limits = [("objective", "gap", 1e-6), ("coefficients", "distance", 1e-4)]
        if of_case[0]["penalty"] != "l2":
            limits.append(("weights that are 0 in one of them alone", "differing_zeros", 0))
        for what, name, limit in limits:
            worst = Spread.of([max(abs(r[name]) for r in of_case)])
            where = f"{case}: {what}, the worst of {len(of_case)} solvers"
            checks.append(Check(f"{where}, beside {beside}'s", limit, worst))
    return checks


def exact_table(records):
    if not records:
        return []
    rows = []
    for r in records:
        zeros = "-"
        if r["penalty"] != "l2":
            zeros = f"{r['zeros']:,}; {r['differing_zeros']:,}"
            zeros += f" (up to {r['largest_differing']:.0e})" if r["differing_zeros"] else ""
        seconds = f"{r['seconds']:,.1f}" + (", stopped" if r["is_stopped"] else "")
        numbers = [f"{r[name]:.1e}" for name in ("gap", "distance", "violation")]
        cells = [*numbers, zeros, seconds]
        rows.append([r["case"], r["solver"], r["beside"], *cells])
    text = (
        "## Exactness of the solvers\n\n"
        "Each solver runs until its tol of 1e-11 (1e-9 on the sparse set), until it finds no "
        "better point, or until the limit of seconds, and then counts all the same. The gap is "
        "(objective - reference's) / reference's, negative if the solver's point is better; the "
        "distance is the largest one between coefficients, and the violation the largest entry of "
        "the subgradient of least size, computed by NumPy. The reference is scikit-learn's with "
        "tol 1e-12 or, where that would take hours, that of a Newton method in NumPy, which goes "
        "on from the best point of Levin's solvers (MNIST), or that best point (the sparse set). "
        "With an L1 penalty alone, a softmax has several optima if as many weights of a feature "
        "are above 0 as below; those of least squares are compared. Zeros: how many weights are "
        "0, and how many are 0 in one of the two points alone, with the size of the largest of "
        "those."
    )
    head = ["problem", "solver", "reference", "gap", "distance", "violation", "zeros; other ones"]
    head.append("seconds")
    return [text + "\n\n" + table(head, rows)]


def link_checks(records):
    if not records:
        return []
    where = f"{records[0]['link']['name']}, two ranks"
    checks = []
    for way in ("one_bit", "powersgd"):
        sooner = Spread.of(link_costs.ratios(records, way, "seconds"))
        checks.append(Check(f"{where}: all-reduce / {way}, seconds to 92 %", 4, sooner, True))
    fewer = Spread.of(link_costs.ratios(records, "one_bit", "bytes_a_step"))
    checks.append(Check("bytes of a step, all-reduce / one_bit", 25, fewer, True))
    return checks


LINK_TEXT = (
    "## Slow links\n\n"
    "An MLP 784-512-512-10 on MNIST (SGD with momentum, 64 rows a rank), whose ranks are joined by "
    "emulated links: each host sends and receives at the given rate, and a packet is under way for "
    "the given time. Seconds are those of the training until 92 % of the validation images are "
    "right, without those of the validations. On the first link they are measured from the "
    "beginning to the end; on the others, they are the time of a step (the mean of 60, in the first "
    "round) times the number of steps, which is the same on every link. Bytes are those that a rank gives to its "
    "connections, without headers."
)
MODEL_TEXT = (
    "### Model of a step\n\n"
    "seconds = compute + delay * delays + wire * 8 * bytes / rate (benchmarks/link_costs.py). "
    "Compute, delays and wire are fitted for each way to the links without loss that join two "
    "ranks. With more ranks, the delays grow as the messages that follow each other do. It is "
    "extrapolated, on paper, to more ranks on the first link, each with 64 rows and a host of its "
    "own. The ranks that were measured shared one host: compute then takes longer by the ranks for "
    "each core. What isn't in it: lost packets, computation while bytes are under way, what it "
    "takes to unpack the gradients of more ranks, and whatever the network itself shares."
)


def link_tables(records, cores=None):
    if not records:
        return []
    ways, links = link_costs.ways_of(records), link_costs.links_of(records)
    found = link_costs.medians(records)
    first = next(iter(links))
    rows = []
    for way in ways:
        of_way = [r for r in records if r["way"] == way and r["link"]["name"] == first]
        if not of_way:
            continue
        sent = [r["bytes_a_step"] * r["steps"] / 1e6 for r in of_way]
        rows.append(
            [
                way,
                cell(Spread.of(r["seconds"] for r in of_way), " s"),
                cell(Spread.of(link_costs.ratios(records, way, "seconds"))),
                cell(Spread.of(sent), " MB"),
                cell(Spread.of(r["steps"] for r in of_way)),
                cell(Spread.of(r["step_seconds"] * 1e3 for r in of_way), " ms"),
            ]
        )
    head = [first, "to 92 %", "sooner than all-reduce", "sent by a rank", "steps", "a step"]
    parts = [LINK_TEXT + "\n\n" + table(head, rows)]
    rows = [
        [way]
        + [number(found[way, name]["seconds"]) if (way, name) in found else "-" for name in links]
        for way in ways
    ]
    parts.append(table(["seconds to 92 %", *links], rows))
    model = link_costs.Model(records, cores)
    if not model.numbers:
        return parts
    fitted, others = model.errors()
    text = (
        f"{MODEL_TEXT}\n\nThe largest error of a step that was fitted is "
        f"{max(map(abs, fitted)):.0%}"
    )
    if others:
        text += f", and of one with more ranks {max(map(abs, others)):.0%}"
    rows = []
    for way, own in model.numbers.items():
        steps = [
            f"{number(model.seconds(way, links[first], n) * 1e3)}; "
            f"{number(model.bytes(way, n) / 1e6)}"
            for n in link_costs.SHOWN_RANKS
        ]
        fitted = [number(own.compute * 1e3), number(own.delays), number(own.wire)]
        rows.append([way, *fitted, *steps])
    head = ["ms; MB sent by a rank", "compute", "delays", "wire"]
    head += [f"{n} ranks" for n in link_costs.SHOWN_RANKS]
    return [*parts, f"{text}.\n\n{table(head, rows)}"]


def built_list(records):
    built = {}
    for record in records:
        built.setdefault(record["built"], {})[TITLES[record["program"]]] = True
    if not built:
        return []
    lines = [f"- {'; '.join(names)}: {text}" for text, names in built.items()]
    return ["## How they were built", "\n".join(lines)]


def markdown(results, more_checks=(), more_parts=()):
    """Returns the whole report, with checks and paragraphs of other modules (serving_tables)."""
    rounds = Rounds(results["rounds"])
    m = results["machine"]
    count = len({r["round"] for r in results["rounds"]})
    head = (
        f"# Benchmarks, {m['date']}\n\n`{results['command']}` on {m['cpu']}, {m['cores']} cores, "
        f"{m['memory_gib']} GiB, {m['system']}; commit {m['commit']}; load before it "
        f"{m['load_before']:.2f}."
    )
    if count > 0:
        head += f" {count} rounds, in which each program has one core and one thread unless said."
    parts = [
        head,
        *checks_table([*make_checks(results, rounds), *more_checks]),
        *time_tables(rounds),
        *start_table(rounds),
        *memory_table(rounds),
        *solver_tables(results.get("solvers", [])),
        *exact_table(results.get("exactness", [])),
        *link_tables(results.get("links", []), m["cores"]),
        *more_parts,
    ]
    for name, text in results["texts"].items():
        parts.append(f"## {TEXTS[name][0]}\n\n```\n{text.strip()}\n```")
    parts += built_list(results["rounds"])
    if results["failures"]:
        lines = [f"- {name}: {reason}" for name, reason in results["failures"].items()]
        parts += ["## Left out", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def short_table(*runs):
    """Returns the short table of docs/speed.md, medians of ratios; the first run with a case counts."""
    programs = ["hand_written", "data_loader", "pytorch", "lightning", "limit"]
    rows = {}
    for results in runs:
        rounds = Rounds(results["rounds"])
        for case in rounds.cases("lr", "mlp", "small"):
            row = [case, cell_of_median(rounds.spread(case, "levin", step_microseconds))]
            row += [cell_of_median(rounds.ratio(case, p, "levin")) for p in programs]
            rows.setdefault(case, row)
    rows = list(rows.values())
    head = ["", "Levin, \u00b5s a step", *(TITLES[p] for p in programs)]
    return table(head, rows)


def cell_of_median(spread):
    return "-" if spread is None else number(spread.median)


def as_json(results):
    """Returns the results as JSON with one line for each record, so that diffs are readable."""
    names = ("solvers", "exactness", "links", "serving", "rounds")
    listed = {name: results[name] for name in names if name in results}
    text = json.dumps({k: v for k, v in results.items() if k not in listed}, indent=1)[:-2]
    for name, records in listed.items():
        lines = ",\n".join(json.dumps(record) for record in records)
        text += f',\n "{name}": [\n{lines}\n]'
    return text + "}\n"
