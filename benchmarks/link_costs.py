"""What ./run bench links has measured: medians over the rounds, and a model of the time of a step
that is fitted to them and extrapolated to more ranks.

A step of a way takes

    compute + delay * (eager * e(n) + ring * r(n)) + wire * 8 * bytes(n) / rate

seconds. With n ranks, e(n) messages follow each other that are sent at once, r(n) are those of
Gloo's rings, each of which waits until it is asked for, and bytes(n) are those that a rank sends.
`compute` is fitted for each way; `eager`, `ring` and `wire` are the same for all ways.
"""

import statistics

REFERENCE = "all-reduce, float32"
SHOWN_RANKS = (2, 4, 8, 64, 1024)
# The ways that pack gradients: whether a step is one exchange or two, whether packed numbers can be
# added up on the way, by a ring, and up to how many ranks each is sent to each other rank instead.
GATHERED = {
    "one_bit": (1, False, 64),
    "qsgd": (1, False, 64),
    "topk": (1, False, 64),
    "powersgd": (2, True, 8),
}


def ring_share(ranks):
    """The bytes that a rank sends to sum up in a ring, as a share of those of two ranks."""
    return 2 * (ranks - 1) / ranks


def costs(way, ranks, period=1):
    """Returns (e, r, bytes as a multiple of those of two ranks) of a step."""
    around = 2 * (ranks - 1)
    if way not in GATHERED:
        return 0, around / period, ring_share(ranks)
    exchanges, sums, few_ranks = GATHERED[way]
    if ranks <= few_ranks:
        return exchanges, 0, ranks - 1
    # The numbers of rows and the flags are summed in a ring beside the packed gradients.
    return 0, exchanges * around if sums else around, ring_share(ranks) if sums else ranks - 1


def medians(records):
    """Returns {(way, link's name): record}, whose numbers are medians over the rounds."""
    groups = {}
    for record in records:
        groups.setdefault((record["way"], record["link"]["name"]), []).append(record)
    return {
        key: group[0]
        | {
            name: statistics.median(r[name] for r in group)
            for name in ("steps", "step_seconds", "seconds", "bytes_a_step")
        }
        for key, group in groups.items()
    }


def ways_of(records):
    return list(dict.fromkeys(record["way"] for record in records))


def links_of(records):
    return {record["link"]["name"]: record["link"] for record in records}


def solve(matrix, right):
    """Solves a system of linear equations by Gauss's elimination; None if it has no one solution."""
    rows = [[*row, value] for row, value in zip(matrix, right)]
    size = len(rows)
    for k in range(size):
        pivot = max(range(k, size), key=lambda i: abs(rows[i][k]))
        if abs(rows[pivot][k]) < 1e-12:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(size):
            if i != k:
                factor = rows[i][k] / rows[k][k]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k])]
    return [rows[k][size] / rows[k][k] for k in range(size)]


class Model:
    """The model, fitted by least squares of the relative errors."""

    def __init__(self, records):
        records = [r for r in records if r.get("is_steady", True)]
        self.measured = medians(records)
        self.ways = ways_of(records)
        self.periods = {r["way"]: r.get("period", 1) for r in records}
        self.of_two = {  # a rank's bytes with two ranks
            way: record["bytes_a_step"]
            for (way, _), record in self.measured.items()
            if record["link"]["ranks"] == 2
        }
        fitted = [r for r in self.measured.values() if self._is_fitted(r)]
        equations = [
            [value / r["step_seconds"] for value in self._row(r["way"], r["link"])] for r in fitted
        ]
        columns = list(zip(*equations))
        # A link that is the only one says nothing about some of the numbers.
        used = [k for k, column in enumerate(columns) if any(column)]
        normal = [[sum(map(lambda a, b: a * b, columns[i], columns[j])) for j in used] for i in used]
        found = solve(normal, [sum(columns[i]) for i in used]) if fitted else None
        self.numbers = None
        if found is not None:
            self.numbers = [0.0] * len(columns)
            for k, value in zip(used, found):
                self.numbers[k] = value

    @staticmethod
    def _is_fitted(record):
        return record["link"]["loss"] == 0 and record["link"]["ranks"] == 2

    def _row(self, way, link):
        eager, ring, share = costs(way, link["ranks"], self.periods[way])
        delay = link["delay"] * 1e-3
        wire = 8 * share * self.of_two[way] / (link["rate"] * 1e6)
        return [float(way == other) for other in self.ways] + [eager * delay, ring * delay, wire]

    def seconds(self, way, link, ranks):
        """The time of a step."""
        row = self._row(way, link | {"ranks": ranks})
        return sum(a * b for a, b in zip(self.numbers, row))

    def bytes(self, way, ranks):
        """The bytes that a rank sends in a step."""
        return costs(way, ranks)[2] * self.of_two[way]

    def errors(self):
        """Returns the relative errors, of the links that were fitted and of the other ones without
        loss."""
        fitted, others = [], []
        for (way, _), record in self.measured.items():
            if record["link"]["loss"] > 0:
                continue
            predicted = self.seconds(way, record["link"], record["link"]["ranks"])
            error = predicted / record["step_seconds"] - 1
            (fitted if self._is_fitted(record) else others).append(error)
        return fitted, others


def ratios(records, way, value):
    """Returns what all-reduce needs, as a multiple of what the way does, in each round, on the
    first link."""
    first = records[0]["link"]["name"]
    by_round = {}
    for r in records:
        if r["link"]["name"] == first and r["way"] in (way, REFERENCE):
            by_round.setdefault(r["round"], {})[r["way"]] = r[value]
    return [both[REFERENCE] / both[way] for both in by_round.values() if len(both) == 2]
