"""Makes the sparse set of the benchmarks, a made-up click log, in the forms that programs read.

    sparse_set.py FOLDER [--rows 1000000] [--test-rows 200000]

A row has 39 fields, each with one of 10 to a million values, of which few are frequent (Zipf's law,
exponent 1.1). The column of a value is a hash of it below 2^20, and all entries are 1; a column
that occurs twice in a row is kept once. About a quarter of the rows have class 1, drawn by a model
of which a tenth of the columns has weights.

The files are train and test, each as .svm (libsvm, columns from 1), .vw (Vowpal Wabbit, columns
from 0, which it takes as they are with -b 20) and .npz (scipy.sparse.save_npz, with the classes, 0
and 1, as the array "y"). A folder that has these files already is left as it is. It takes 1 GB.
"""

import argparse
import json
import pathlib
import shutil
import sys

import numpy as np

FIELDS = 39
BITS = 20
COLUMNS = 1 << BITS
SEED = 1
ZIPF = 1.1
DONE = "set.json"  # is written last


def mixed(numbers):
    """Returns hashes of uint64 numbers, by the final steps of MurmurHash3."""
    hashes = numbers.copy()
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        hashes ^= hashes >> np.uint64(33)
        hashes *= np.uint64(factor)
    return hashes ^ (hashes >> np.uint64(33))


def draw(rows):
    """Returns the columns [rows, fields], sorted in each row, which to keep, and classes."""
    random = np.random.default_rng(SEED)
    sizes = np.exp(random.uniform(np.log(10), np.log(1e6), FIELDS)).astype(np.int64)
    weights = np.where(random.random(COLUMNS) < 0.1, random.normal(0, 1, COLUMNS), 0.0)
    columns = np.empty((rows, FIELDS), np.int32)
    for field, size in enumerate(sizes):
        shares = np.cumsum(np.arange(1, size + 1, dtype=np.float64) ** -ZIPF)
        values = np.searchsorted(shares / shares[-1], random.random(rows)).astype(np.uint64)
        keys = (values << np.uint64(8)) + np.uint64(field + 1) + np.uint64(SEED << 48)
        columns[:, field] = mixed(keys) % np.uint64(COLUMNS)
    columns.sort(axis=1)
    kept = np.ones(columns.shape, bool)
    kept[:, 1:] = columns[:, 1:] != columns[:, :-1]
    z = sum(weights[columns[:, field]] * kept[:, field] for field in range(FIELDS))
    z -= np.quantile(z, 0.75)
    classes = random.random(rows) < 1 / (1 + np.exp(-z))
    return columns, kept, classes


def write_text(start, columns, kept, classes):
    libsvm = [f" {column + 1}:1" for column in range(COLUMNS)]
    vw = [f" {column}" for column in range(COLUMNS)]
    with open(f"{start}.svm", "w") as svm_file, open(f"{start}.vw", "w") as vw_file:
        for row, keep, is_one in zip(columns, kept, classes):
            found = row[keep].tolist()
            label = "1" if is_one else "-1"
            svm_file.write(label + "".join([libsvm[c] for c in found]) + "\n")
            vw_file.write(label + " |" + "".join([vw[c] for c in found]) + "\n")


def write_npz(path, columns, kept, classes):
    offsets = np.zeros(len(columns) + 1, np.int32)
    np.cumsum(kept.sum(1), out=offsets[1:])
    arrays = {
        "format": np.array(b"csr"),
        "shape": np.array([len(columns), COLUMNS]),
        "data": np.ones(offsets[-1], np.int8),
        "indices": columns[kept],
        "indptr": offsets,
        "y": classes.astype(np.int8),
    }
    np.savez(path, **arrays)


def make(folder, rows, test_rows):
    """Writes the files, unless the folder has them."""
    folder = pathlib.Path(folder)
    what = {"rows": rows, "test_rows": test_rows, "version": 1}
    done = folder / DONE
    if done.exists() and json.loads(done.read_text()) == what:
        return
    if folder.exists() and not done.exists() and any(folder.iterdir()):
        # A run that was ended while it wrote leaves files of these names behind, and no others.
        names = {f"{part}.{kind}" for part in ("train", "test") for kind in ("svm", "vw", "npz")}
        others = sorted(path.name for path in folder.iterdir() if path.name not in names)
        if others:
            raise SystemExit(
                f"sparse_set: {folder} has other files, such as {others[0]}; name another folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < 1.5e9:
        raise SystemExit(f"sparse_set: less than 1.5 GB are free in {folder}; name another folder")
    done.unlink(missing_ok=True)
    drawn = draw(rows + test_rows)
    for name, part in (("train", slice(0, rows)), ("test", slice(rows, None))):
        parts = [array[part] for array in drawn]
        write_text(folder / name, *parts)
        write_npz(folder / f"{name}.npz", *parts)
    done.write_text(json.dumps(what))


def read(path):
    """Returns the rows of a .npz file as float64 scipy.sparse.csr_matrix, and their classes."""
    import scipy.sparse

    with np.load(path) as file:
        data = np.ones(len(file["indices"]))
        arrays = (data, file["indices"], file["indptr"])
        return scipy.sparse.csr_matrix(arrays, shape=tuple(file["shape"])), file["y"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--test-rows", type=int, default=200_000)
    options = parser.parse_args()
    make(options.folder, options.rows, options.test_rows)


if __name__ == "__main__":
    sys.exit(main())
