#!/usr/bin/env python3
"""Writes datamodules/data/iris.csv and digits.csv from the copies that scikit-learn ships.

    python scripts/make_embedded_data.py           write the files, print their SHA-256
    python scripts/make_embedded_data.py --check   write nothing, exit with status 1 if a file differs

Needs scikit-learn, but no network.
"""

import argparse
import hashlib
import pathlib
import sys

from sklearn.datasets import load_digits, load_iris

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "datamodules" / "data"


def csv(columns, rows):
    lines = [",".join(columns)] + [",".join(row) for row in rows]
    return "\n".join(lines) + "\n"


def iris():
    """150 rows: four lengths in cm with one decimal, then the class (0, 1, 2)."""
    data = load_iris()
    assert data.data.shape == (150, 4)
    assert list(data.target_names) == ["setosa", "versicolor", "virginica"]
    # The two rows that are wrong in UCI's file (35 and 38, counted from 1), as Fisher printed them.
    assert data.data[34].tolist() == [4.9, 3.1, 1.5, 0.2]
    assert data.data[37].tolist() == [4.9, 3.6, 1.4, 0.1]
    columns = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    rows = [[f"{v:.1f}" for v in x] + [str(y)] for x, y in zip(data.data, data.target)]
    assert all(float(v) == x for row, xs in zip(rows, data.data) for v, x in zip(row, xs))
    return csv(columns, rows)


def digits():
    """1,797 rows: 64 pixels (row by row, 0 to 16), then the digit."""
    data = load_digits()
    assert data.data.shape == (1797, 64) and data.data.min() == 0 and data.data.max() == 16
    assert (data.data == data.data.round()).all()
    columns = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)] + ["digit"]
    rows = [[str(int(v)) for v in x] + [str(y)] for x, y in zip(data.data, data.target)]
    return csv(columns, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    differs = False
    for name, text in (("iris.csv", iris()), ("digits.csv", digits())):
        path, content = FOLDER / name, text.encode()
        if not check:
            path.write_bytes(content)
        same = path.is_file() and path.read_bytes() == content
        differs |= not same
        print(hashlib.sha256(content).hexdigest(), name, "" if same else "DIFFERS", sep="  ")
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main())
