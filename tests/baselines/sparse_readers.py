"""Sparse rows: what scikit-learn reads of libsvm text, what scipy saves and sums, and the columns
and values that Vowpal Wabbit gives the features of its own text.

Each case has the rows as CSR: offsets, indices and values. Files are texts, or hexadecimal digits.
Vowpal Wabbit's are those of its --audit output; features of a row that share a column are added.
"""

import io
import subprocess
import sys
import tempfile

import numpy as np
import scipy.sparse
import vowpalwabbit
from sklearn.datasets import load_svmlight_files

from common import emit

LIBSVM = {
    "from 1": ["1 1:1 3:2.5 7:-1e-3\n-1 2:1\n"],
    "from 0": ["1 0:1 3:2.5\n0 2:1\n"],
    "comments, blank lines and blanks": ["# head\n\n3 1:1   4:2 # tail\n  \n\t4\t2:5 \t9:6#x\n"],
    "line ends of Windows, none at the end": ["1 1:1\r\n2 2:2\r\n\r\n3 3:3"],
    "a row without features, an entry of 0": ["1.5\n-2.25 1:0 2:4\n"],
    "queries": ["1 qid:3 1:1\n2 qid:-4 2:1\n"],
    "numbers in every notation": [
        "1 1:+1.5 2:.5 3:5. 4:1E2 5:0.1234567890123456789 6:16777217 7:-0\n"
    ],
    "several files, one of them from 0": ["1 1:1 2:1\n", "0 0:1 4:1\n"],
}

VW = [
    (
        "spaces and values",
        "",
        ["1 | a b:2", "-1 |n x 7 12:3 |m y z 7", "1 |n x:.5 |n w |nn v:-2e1"],
    ),
    (
        "labels, tags and factors",
        "",
        ["1 2 tag|ns:2 f:3 g:str h:-2.5 :4 | q", "0 .5 0 'tag |a b", "2 't|a b"],
    ),
    ("texts as values", "", ["1 | g:x a |7 g:x 5:x5 |n \u00e9:x \u00e9 x^y"]),
    ("digits", "", ["1 | 007 4294967303 18446744073709551617 262145 -7 +7", "1 |7 3:4 2 | 7"]),
    ("without a name", "", ["1 |1:2 :3 b :4 |n :1 c"]),
    ("zeros and repeated features", "", ["1 |n a a b:0 c:1e3 a:-2", "1 | 3 3 3"]),
    ("a tab between features", "", ["1 | a\tb |n\tc"]),
    ("the constant", "--constant", ["1 | a", "0 |"]),
    ("20 bits", "-b 20", ["1 |name feature other:2 | 1048577"]),
    ("all hashed, with a seed", "-b 24 --hash all --hash_seed 5", ["1 |n x 7 | 7 |5 a"]),
    ("a seed", "-b 24 --hash_seed 5", ["1 |n x 7 a:b | q 7 |5 x"]),
    ("a product", "-q nm", ["1 |n x 7:2 |m y z:3 |n w", "1 |n x | a"]),
    ("a product the other way round", "-q mn", ["1 |n x 7:2 |m y z:3 |n w"]),
    ("squares", "-q nn", ["1 |n x 7:2 |n w:3"]),
    ("two products, 20 bits", "-b 20 -q ab -q cc", ["1 |apple x 7:.5 |b y z:3 |c u v:2"]),
]


def csr(rows):
    return {
        "offsets": rows.indptr,
        "indices": rows.indices,
        "values": rows.data,
        "columns": rows.shape[1],
    }


def libsvm_cases():
    for name, files in LIBSVM.items():
        with_qids = "qid:" in files[0]
        loaded = load_svmlight_files([io.BytesIO(t.encode()) for t in files], query_id=with_qids)
        step = 3 if with_qids else 2
        rows = scipy.sparse.vstack(loaded[0::step], "csr")
        case = {"name": name, "files": files, "targets": np.concatenate(loaded[1::step])}
        if with_qids:
            case["qids"] = loaded[2]
        yield case | csr(rows)
    text = "1 3:1 1:2 3:0.5\n2 2:1 1:1\n"
    rows = scipy.sparse.csr_matrix(
        ([1, 2, 0.5, 1, 1], [2, 0, 2, 1, 0], [0, 3, 5]), shape=(2, 3), dtype=np.float32
    )
    rows.sum_duplicates()
    yield {"name": "unsorted and repeated", "files": [text], "targets": [1, 2]} | csr(rows)


def npz_cases():
    dense = np.array([[0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 4, 5]])

    def case(name, matrix, compressed=False):
        out = io.BytesIO()
        scipy.sparse.save_npz(out, matrix, compressed)
        if matrix.format == "csr":
            expected = matrix.copy()
            expected.sum_duplicates()
            yield {"name": name, "file": out.getvalue().hex()} | csr(expected.astype(np.float64))
        else:
            yield {"name": name, "file": out.getvalue().hex()}

    for kind in ("f4", "f8", "i1", "u2", "i8"):
        yield from case(kind, scipy.sparse.csr_matrix(dense.astype(kind)))
    yield from case("ones", scipy.sparse.csr_matrix(dense > 0))
    yield from case("compressed", scipy.sparse.csr_matrix(dense), True)
    yield from case("csr_array", scipy.sparse.csr_array(dense))
    wide = scipy.sparse.csr_matrix(dense)
    wide.indices, wide.indptr = wide.indices.astype("i8"), wide.indptr.astype("i8")
    yield from case("int64", wide)
    mixed = scipy.sparse.csr_matrix(([1.0, 2.0, 3.0], [2, 0, 2], [0, 3, 3]), shape=(2, 4))
    yield from case("unsorted", mixed)
    for form in ("csc", "coo", "bsr", "dia"):
        yield from case(form, scipy.sparse.csr_matrix(dense).asformat(form))


def audited(text, arguments):
    """The pairs of column and value that Vowpal Wabbit makes of each line."""
    with tempfile.NamedTemporaryFile("w", suffix=".vw") as file:
        file.write(text)
        file.flush()
        command = [sys.executable, "-m", "vowpalwabbit", "--audit", "-t", "--quiet"]
        command += ["-d", file.name] + arguments
        output = subprocess.run(command, check=True, capture_output=True, text=True)
    for line in output.stdout.splitlines():
        if line.startswith("\t") or line == "":
            yield [word.rsplit(":", 3)[1:3] for word in line.split("\t") if word]


def vw_cases():
    for name, arguments, lines in VW:
        words = [word for word in arguments.split() if word != "--constant"]
        words += [] if "--constant" in arguments else ["--noconstant"]
        bits = int(words[words.index("-b") + 1]) if "-b" in words else 18
        offsets, indices, values = [0], [], []
        rows = list(audited("\n".join(lines) + "\n", words))
        assert len(rows) == len(lines), (name, rows)
        for row in rows:
            sums = {}
            for column, value in row:
                sums[int(column)] = sums.get(int(column), 0) + float(value)
            indices += sorted(sums)
            values += [sums[column] for column in sorted(sums)]
            offsets.append(len(indices))
        yield {
            "name": name,
            "arguments": arguments,
            "text": "\n".join(lines) + "\n",
            "columns": 1 << bits,
            "offsets": offsets,
            "indices": indices,
            "values": values,
        }


def main():
    emit(
        __doc__.strip(),
        libsvm=list(libsvm_cases()),
        npz=list(npz_cases()),
        vw=list(vw_cases()),
        tools={"scipy": scipy.__version__, "vowpalwabbit": vowpalwabbit.__version__},
    )


if __name__ == "__main__":
    main()
