"""Sizes of train, validation and test sets as Lightning Bolts rounds them.

arrays (SklearnDataModule): in double precision and in this order,
  holdout = floor(n * (val_split + test_split)), taken from the front of the shuffled rows;
  val = trunc(val_split / (val_split + test_split) * holdout), its first rows; test = the rest of
  the holdout; train = n - holdout. Both splits 0: everything is train.
holdout (MNISTDataModule): val = trunc(val_split * n) for a fraction, val_split itself for a count.
"""

import math

from common import emit

ROWS = [
    1,
    2,
    3,
    5,
    7,
    9,
    10,
    11,
    19,
    20,
    33,
    50,
    97,
    99,
    100,
    101,
    120,
    150,
    178,
    442,
    569,
    999,
    1000,
    1001,
    1797,
    12345,
    20640,
    60000,
    70000,
    1300000,
]
SPLITS = [
    (0.1, 0.1),
    (0.2, 0.1),
    (0.1, 0.2),
    (0.2, 0.2),
    (0.0, 0.1),
    (0.1, 0.0),
    (0.2, 0.0),
    (0.0, 0.0),
    (0.3, 0.3),
    (0.15, 0.15),
    (0.15, 0.25),
    (0.05, 0.05),
    (0.01, 0.02),
    (0.25, 0.25),
    (0.3, 0.1),
    (0.7, 0.1),
    (0.5, 0.0),
    (0.0, 0.5),
    (1 / 3, 1 / 3),
    (0.45, 0.45),
]
KNOWN = {442: (310, 88, 44), 150: (105, 30, 15), 569: (399, 113, 57), 100: (70, 20, 10)}


def arrays(rows, val_split, test_split):
    both = val_split + test_split
    if both == 0:
        return rows, 0, 0
    holdout = math.floor(rows * both)
    val = int(val_split / both * holdout)
    return rows - holdout, val, holdout - val


def main():
    for rows, sizes in KNOWN.items():  # what Bolts gives at its defaults
        assert arrays(rows, 0.2, 0.1) == sizes
    split_cases = []
    for val_split, test_split in SPLITS:
        sizes = [[rows, *arrays(rows, val_split, test_split)] for rows in ROWS]
        split_cases.append({"val_split": val_split, "test_split": test_split, "sizes": sizes})
    holdout_cases = [
        {
            "rows": rows,
            "val_split": split,
            "train": rows - (split if isinstance(split, int) else int(split * rows)),
            "val": split if isinstance(split, int) else int(split * rows),
        }
        for rows in (10, 101, 1797, 50000, 60000)
        for split in (0.2, 0.1, 0.3, 0.05, 1 / 3, 0.0, 5, 0)
    ]
    emit(
        __doc__.strip(),
        columns=["rows", "train", "val", "test"],
        arrays=split_cases,
        holdout=holdout_cases,
    )


if __name__ == "__main__":
    main()
