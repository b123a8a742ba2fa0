"""What ./run bench links has measured: medians over the rounds, and a model of the time of a step
that is fitted to them and extrapolated to more ranks.

A step of a way takes

    compute * max(1, ranks / cores) + delay * delays(ranks) + wire * 8 * bytes / rate

seconds. `compute`, `delays` for two ranks and `wire` are numbers of the way, fitted to its steps on
the links that join two ranks without losing packets. `compute` is longer if ranks share the cores
of one host. `delays` counts the packets that wait for each other, TCP's slow start included; it
grows with the messages that follow each other (`costs`). `wire` is more than 1 because of headers
and where a connection doesn't fill the link, and less where ranks compute meanwhile. `bytes` are
what a rank sends.
"""

import dataclasses
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


def costs(way, ranks):
    """Returns (e, r, bytes as a multiple of those of two ranks) of an exchange: e messages that
    follow each other are sent at once, or else r turns of Gloo's rings."""
    around = 2 * (ranks - 1)
    if way not in GATHERED:
        return 0, around, ring_share(ranks)
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
    """Solves linear equations by Gauss's elimination; None if they have no one solution."""
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


def least_squares(equations):
    """Solves equations, lists of coefficients of numbers whose sum shall be 1; None if they are too
    few."""
    columns = list(zip(*equations))
    normal = [[sum(map(lambda a, b: a * b, one, other)) for other in columns] for one in columns]
    return solve(normal, [sum(column) for column in columns])


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What is fitted for each way."""

    compute: float  # seconds
    delays: float  # of two ranks
    wire: float


class Model:
    """The model, fitted by least squares of the relative errors. `numbers` has those of each way
    that was measured on enough links."""

    def __init__(self, records, cores=None):
        """`cores` are those of the host that all measured ranks ran on; None: enough for all."""
        records = [r for r in records if r.get("is_steady", True)]
        self.cores = cores
        self.measured = medians(records)
        self.of_two = {}  # a rank's bytes with two ranks, on the first of the links
        self.numbers = {}
        for way in ways_of(records):
            fitted = [r for (of, _), r in self.measured.items() if of == way and self._is_fitted(r)]
            if not fitted:
                continue
            self.of_two[way] = fitted[0]["bytes_a_step"]
            equations = [
                [value / r["step_seconds"] for value in self._factors(r["link"], r["bytes_a_step"])]
                for r in fitted
            ]
            found = least_squares(equations)
            if found is not None:
                self.numbers[way] = Numbers(*found)

    @staticmethod
    def _is_fitted(record):
        return record["link"]["loss"] == 0 and record["link"]["ranks"] == 2

    @staticmethod
    def _factors(link, sent):
        """What Numbers are multiplied by: with two ranks, their products are a step's seconds."""
        return 1.0, link["delay"] * 1e-3, 8 * sent / (link["rate"] * 1e6)

    def delays(self, way, ranks):
        """How many delays of the link a step takes."""
        eager, ring, _ = costs(way, ranks)
        eager_of_two, ring_of_two, _ = costs(way, 2)
        if ring == 0:
            return self.numbers[way].delays * eager / eager_of_two
        if ring_of_two > 0:
            return self.numbers[way].delays * ring / ring_of_two
        # With two ranks, this way has no ring: its turns are taken to be like those of all-reduce.
        return self.numbers[REFERENCE].delays * ring / costs(REFERENCE, 2)[1]

    def seconds(self, way, link, ranks, sent=None, cores=None):
        """The time of a step in which a rank sends `sent` bytes, by default those of the model."""
        own = self.numbers[way]
        sharing = max(1.0, ranks / cores) if cores else 1.0
        sent = self.bytes(way, ranks) if sent is None else sent
        _, delay, on_the_wire = self._factors(link, sent)
        return own.compute * sharing + delay * self.delays(way, ranks) + own.wire * on_the_wire

    def bytes(self, way, ranks):
        """The bytes that a rank sends in a step."""
        return costs(way, ranks)[2] * self.of_two[way]

    def errors(self):
        """Returns the relative errors, of the links that were fitted and of the other ones without
        loss."""
        fitted, others = [], []
        for (way, _), record in self.measured.items():
            link = record["link"]
            if link["loss"] > 0 or way not in self.numbers:
                continue
            predicted = self.seconds(way, link, link["ranks"], record["bytes_a_step"], self.cores)
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
