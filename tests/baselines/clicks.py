"""Writes examples/data/clicks-train.svm and clicks-test.svm: invented clicks on ads as libsvm text.

    python tests/baselines/clicks.py examples/data

A row has one value of each of six fields, of which the first are frequent, as a feature of value 1,
and the logarithm of a count. Features are numbered from 1 to 200; labels are -1 and 1.
"""

import math
import pathlib
import random
import sys

FIELDS = [3, 8, 20, 40, 50, 70]  # how many values each has
COUNT = 1 + sum(FIELDS)


def make(rows, seed):
    model = random.Random(7)
    weights = [model.gauss(0.0, 1.5) for _ in range(COUNT + 1)]
    draw = random.Random(seed)
    lines = []
    for _ in range(rows):
        entries, first = {}, 1
        for values in FIELDS:
            entries[first + int(values * draw.random() ** 3)] = 1.0
            first += values
        entries[COUNT] = round(math.log(1 + draw.expovariate(0.2)), 3)
        score = sum(weights[i] * x for i, x in entries.items()) - 1.0
        label = 1 if draw.random() < 1 / (1 + math.exp(-score)) else -1
        text = " ".join(f"{i}:{x:g}" for i, x in sorted(entries.items()))
        lines.append(f"{label} {text}\n")
    return "".join(lines)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    (folder / "clicks-train.svm").write_text("# made by tests/baselines/clicks.py\n" + make(600, 1))
    (folder / "clicks-test.svm").write_text(make(200, 2))
