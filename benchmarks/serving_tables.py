"""The tables, the bounds and the verdict of ./run bench serving, for report.markdown."""

import statistics

from report import Check, Spread, cell, number, table

FAST, SLOW = "levin, rows", "FastAPI"
BINARY, JSON = "levin, V2 binary", "levin, V2 JSON"
RATIO, BINARY_RATIO, HALF_P99 = 10, 2, 5  # the bounds of the issue; the last one in ms
FLAT = 0.01  # a soak's memory may grow by this share in its second half
TEXT = (
    "## Serving\n\n"
    "Logistic regression on MNIST (784 pixels, 10 classes), one row a request, under the load "
    "generator of `levin bench-serve`. All servers and the generator share the machine's cores; "
    "one server is loaded at a time while the others stand still, and the programs take turns. "
    "`rows` is POST /predict with "
    "JSON, as FastAPI and LitServe get it; V2 is the Open Inference Protocol. JSON has the numbers "
    "as clients in Python write them. FastAPI: uvicorn, a "
    "pydantic model, PyTorch with one thread. LitServe: batches of up to 64 rows, 1 ms. Levin: the "
    "defaults of `levin serve`. Medians over the rounds, with the least and the most."
)
TRITON_TEXT = (
    "Triton isn't among them, since its server comes only as a container. Its documentation "
    "(user_guide/optimization.md) gives 73 inferences a second for an ONNX image model at "
    "concurrency 4, and 272 at 8 with dynamic batching: another model on another machine, so "
    "these figures are here for their ratio alone."
)


def spread(records, program, connections, value):
    found = [
        value(r)
        for r in records
        if (r["kind"], r["program"], r["connections"]) == ("closed", program, connections)
    ]
    return Spread.of(found)


def rates(records, kind, program):
    """Returns the answers a second of each round, by the number of the round."""
    return {
        r["round"]: r["throughput"]
        for r in records
        if (r["kind"], r["program"]) == (kind, program)
    }


def ratio_of_rounds(first, second):
    """Returns the ratio of what two dictionaries have for the same rounds; None without any."""
    return Spread.of(first[k] / second[k] for k in first.keys() & second.keys() if second[k] > 0)


def ratio(records, a, b, connections):
    """Returns the ratio of the rates of two programs, by rounds."""
    own = [r for r in records if r["connections"] == connections]
    return ratio_of_rounds(rates(own, "closed", a), rates(own, "closed", b))


def ratio_of_maxima(records, a, b):
    """Returns the ratio of the highest rates of two programs, by rounds."""

    def best(program, index):
        return max(
            r["throughput"]
            for r in records
            if (r["kind"], r["program"], r["round"]) == ("closed", program, index)
        )

    def rounds(program):
        return {r["round"] for r in records if (r["kind"], r["program"]) == ("closed", program)}

    both = rounds(a) & rounds(b)
    return Spread.of(best(a, k) / best(b, k) for k in both if best(b, k) > 0)


def all_connections(records):
    return sorted({r["connections"] for r in records if r["kind"] == "closed"})


def slope(points):
    """Returns the slope of the straight line through points (x, y), by least squares."""
    if len(points) < 2:
        return 0.0
    x0 = statistics.fmean(x for x, _ in points)
    y0 = statistics.fmean(y for _, y in points)
    square = sum((x - x0) ** 2 for x, _ in points)
    return sum((x - x0) * (y - y0) for x, y in points) / square if square > 0 else 0.0


def growth(memory):
    """Returns by which share of its memory the process grew in the second half of the time."""
    half = memory[len(memory) // 2 :]
    points = [(m["seconds"], m["mib"]) for m in half if m["mib"] > 0]
    if len(points) < 2:
        return None
    length = points[-1][0] - points[0][0]
    return slope(points) * length / statistics.fmean(y for _, y in points)


def checks(results):
    found = []
    records = results.get("serving") or []
    for connections in all_connections(records):
        where = f"{connections} connection{'s' if connections > 1 else ''}"
        faster = ratio(records, FAST, SLOW, connections)
        found.append(Check(f"{where}: requests a second, Levin / FastAPI", RATIO, faster, True))
    if records:
        binary = ratio_of_maxima(records, BINARY, JSON)
        what = "the most requests of one row a second, binary / JSON tensors"
        found.append(Check(what, BINARY_RATIO, binary, True))
        apart = ratio_of_rounds(rates(records, "apart", BINARY), rates(records, "apart", JSON))
        if apart is not None:
            what = "the same of a server with a core of its own, binary / JSON tensors"
            found.append(Check(what, BINARY_RATIO, apart, True))
        many, rows = many_rows_ratio(records)
        if many is not None:
            what = f"rows a second in requests of {rows}, binary / JSON tensors"
            found.append(Check(what, BINARY_RATIO, many, True))
        half = [
            r["latency_ms"]["p99"] for r in records if (r["kind"], r["program"]) == ("half", FAST)
        ]
        what = "p99 at half of the maximum load, rows"
        found.append(Check(what, HALF_P99, Spread.of(half), unit=" ms"))
    soak = results.get("soak")
    if soak:
        grown = growth(soak["memory"])
        measured = None if grown is None else Spread.of([100 * grown])
        what = "growth of the memory in the second half of the soak"
        found.append(Check(what, 100 * FLAT, measured, unit=" %"))
        lost = sum(
            m[name]
            for m in soak["minutes"]
            for name in ("refused", "failed", "broken", "expired", "unfinished")
        )
        found.append(Check("requests of the soak without an answer", 0, Spread.of([lost])))
    return found


def parts(results):
    """Returns the paragraphs of the report."""
    records = results.get("serving") or []
    found = []
    if records:
        found = [TEXT, *rate_tables(records), *apart_tables(records), *many_rows_tables(records)]
        found.append(half_table(records))
        found.append(TRITON_TEXT)
    if results.get("soak"):
        found += soak_tables(results["soak"])
    return found


def rate_tables(records):
    programs = list(dict.fromkeys(r["program"] for r in records))
    counts = all_connections(records)
    head = [f"{n} connection{'s' if n > 1 else ''}" for n in counts]

    def rows(cell_of):
        return [[p] + [cell_of(p, n) for n in counts] for p in programs]

    def latency(program, n, name):
        return spread(records, program, n, lambda r: r["latency_ms"][name])

    def rate(program, n):
        return cell(spread(records, program, n, lambda r: r["throughput"]))

    def p50_p99(program, n):
        p50, p99 = latency(program, n, "p50"), latency(program, n, "p99")
        return "-" if p50 is None else f"{number(p50.median)}; {cell(p99)}"

    def times(program, n):
        return cell(ratio(records, program, SLOW, n))

    def cores(program, n):
        return cell(spread(records, program, n, lambda r: r["generator_load"]))

    binary = [cell(ratio(records, BINARY, JSON, n)) for n in counts]
    return [
        table(["answers a second", *head], rows(rate)),
        table(["binary / JSON tensors", *head], [["levin, V2", *binary]]),
        table(["the same as a multiple of FastAPI's", *head], rows(times)),
        table(["p50; p99 in ms, closed loop", *head], rows(p50_p99)),
        table(["core used by the generator", *head], rows(cores)),
    ]


def encoding_tables(records, kind, head):
    """Returns the table of a kind of load that only the tensor formats have, if it was measured.

    `head` makes its header of the first record.
    """
    own = [r for r in records if r["kind"] == kind]
    if not own:
        return []
    found = {p: row_rates(own, kind, p) for p in dict.fromkeys(r["program"] for r in own)}
    rows = [[p, cell(Spread.of(rates.values()))] for p, rates in found.items()]
    both = ratio_of_rounds(found.get(BINARY, {}), found.get(JSON, {}))
    if both is not None:
        rows.append(["binary / JSON tensors", cell(both)])
    return [table(head(own[0]), rows)]


def apart_tables(records):
    where = "the server on one core, the generator on another"
    return encoding_tables(
        records, "apart", lambda r: [where, f"answers a second, {r['connections']} connections"]
    )


def row_rates(records, kind, program):
    """Returns the rows a second of each round."""
    own = [r for r in records if r["kind"] == kind]
    rows = own[0].get("rows", 1) if own else 1
    return {k: rows * rate for k, rate in rates(own, kind, program).items()}


def many_rows_ratio(records):
    """Returns the ratio of both encodings and the rows of a request, or None if not measured."""
    both = ratio_of_rounds(*(row_rates(records, "many rows", p) for p in (BINARY, JSON)))
    rows = next((r["rows"] for r in records if r["kind"] == "many rows"), 0)
    return both, rows


def many_rows_tables(records):
    return encoding_tables(
        records,
        "many rows",
        lambda r: [f"{r['rows']} rows a request, {r['connections']} connections", "rows a second"],
    )


def half_table(records):
    rows = []
    for program in dict.fromkeys(r["program"] for r in records if r["kind"] == "half"):
        half = [r for r in records if (r["kind"], r["program"]) == ("half", program)]
        rows.append([program, cell(Spread.of(r["rate"] for r in half))])
        for name in ("p50", "p99", "p99.9"):
            rows[-1].append(cell(Spread.of(r["latency_ms"][name] for r in half)))
        pauses = [r["pause_p99_ms"] for r in half if "pause_p99_ms" in r]
        rows[-1].append(cell(Spread.of(pauses)) if pauses else "-")
    head = ["open loop at half of the maximum", "requests a second", "p50, ms", "p99, ms"]
    return table([*head, "p99.9, ms", "p99 by pauses of the machine alone, ms"], rows)


def soak_tables(soak):
    minutes, memory = soak["minutes"], soak["memory"]
    grown = growth(memory)
    answered = sum(m["answered"] for m in minutes)
    length = number(sum(minute["seconds"] for minute in minutes) / 60)
    text = (
        "## Soak\n\n"
        f"{length} minutes at {number(soak['rate'])} requests a second (Poisson), 80 % of "
        f"the {number(soak['maximum'])} that a closed loop reached: {answered:,d} answers. Memory "
        f"is the resident set of the server, each 10 s: "
        f"{number(memory[0]['mib'])} MiB at the start, "
        f"{number(memory[-1]['mib'])} MiB at the end"
    )
    if grown is not None:
        verdict = "flat" if grown <= FLAT else "growing"
        text += f"; a line through the second half changes by {100 * grown:+.2f} %: {verdict}"
    rows = []
    for index, minute in enumerate(minutes):
        latency = minute["latency_ms"]
        in_minute = [m["mib"] for m in memory if index <= m["seconds"] / 60 < index + 1]
        lost = minute["requests"] - minute["answered"]
        rows.append(
            [str(index + 1), f"{minute['answered']:,d}", str(lost)]
            + [number(latency[name]) for name in ("p50", "p99", "p99.9", "max")]
            + [number(max(in_minute)) if in_minute else "-"]
        )
    head = ["minute", "answers", "without answer", "p50, ms", "p99", "p99.9", "longest", "MiB"]
    return [text + ".", table(head, rows)]
