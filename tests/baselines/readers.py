"""Small files as NumPy, zipfile and gzip write them, and IDX files, with the arrays they hold.

Files and elements are hexadecimal digits; elements are little-endian and row-major.
"""

import gzip
import io
import struct
import zipfile

import numpy as np

from common import emit

EPOCH = (1980, 1, 1, 0, 0, 0)


def npy(array, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def expected(name, array):
    elements = array.astype(array.dtype.newbyteorder("<")).tobytes("C").hex()
    shape = list(array.shape)
    return {"name": name, "dtype": array.dtype.name, "shape": shape, "elements": elements}


def npy_case(name, array, version=None):
    return expected(name, array) | {"file": npy(array, version).hex()}


class Unseekable(io.RawIOBase):
    """Makes zipfile write sizes behind the data, as it does into a pipe."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += data
        return len(data)


def archive(arrays, method, out=None, extra=()):
    out = io.BytesIO() if out is None else out
    with zipfile.ZipFile(out, "w", method) as target:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(name + ".npy", EPOCH)
            info.compress_type = method
            with target.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array)
        for name, data in extra:
            target.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return out.getvalue() if isinstance(out, io.BytesIO) else bytes(out.data)


def npz_case(name, arrays, data):
    contents = [expected(*item) for item in arrays.items()]
    return {"name": name, "arrays": contents, "file": data.hex()}


def file_case(name, data):
    return {"name": name, "file": data.hex()}


def idx(code, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def npy_cases(grid):
    for kind in ["bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]:
        dtype = np.dtype(kind)
        yield npy_case(dtype.name, (grid - 2 if dtype.kind in "if" else grid).astype(dtype))
    for kind in ["u2", "i4", "i8", "f2", "f4", "f8"]:
        yield npy_case(f"big-endian {kind}", (grid * 300 + 0.5).astype(">" + kind))
    cube = np.arange(24).reshape(2, 3, 4)
    four = cube.reshape(2, 3, 2, 2).astype(">i2")
    five = cube.reshape(2, 1, 3, 2, 2).astype("f8")
    large = np.arange(35 * 33, dtype="u2").reshape(35, 33)
    yield npy_case("Fortran order, two sizes", np.asfortranarray(grid.astype("f4")))
    yield npy_case("Fortran order, three sizes", np.asfortranarray(cube.astype("u1")))
    yield npy_case("Fortran order, four sizes, big-endian", np.asfortranarray(four))
    yield npy_case("Fortran order, five sizes", np.asfortranarray(five))
    yield npy_case("Fortran order, larger than a tile", np.asfortranarray(large))
    yield npy_case("one size", np.array([1.5, -2.25, np.inf, 1e-300]))
    yield npy_case("no size", np.array(7, dtype="i4"))
    yield npy_case("no elements", np.zeros((0, 3), dtype="f4"))
    yield npy_case("version 2.0", grid.astype("f8"), (2, 0))
    yield npy_case("version 3.0", grid.astype("f8"), (3, 0))


def refused_cases():
    objects = io.BytesIO()
    np.lib.format.write_array(objects, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    yield file_case("object", objects.getvalue())
    yield file_case("complex64", npy(np.ones(2, dtype="c8")))
    yield file_case("text", npy(np.array(["setosa", "virginica"])))
    yield file_case("record", npy(np.zeros(2, dtype=[("x", "f4"), ("y", "i8")])))
    yield file_case("date", npy(np.array(["2020-01-01"], dtype="M8[D]")))


def npz_cases(grid):
    arrays = {
        "x": (grid / 4).astype("f4"),
        "y": np.array([0, 2], dtype="i8"),
        "größe": np.array(3, dtype="u1"),
    }
    yield npz_case("stored", arrays, archive(arrays, zipfile.ZIP_STORED))
    yield npz_case("deflate", arrays, archive(arrays, zipfile.ZIP_DEFLATED))
    piped = archive(arrays, zipfile.ZIP_DEFLATED, Unseekable())
    yield npz_case("sizes behind the data", arrays, piped)
    note = [("note.txt", b"hello")]
    yield npz_case("another file inside", arrays, archive(arrays, zipfile.ZIP_STORED, extra=note))
    limit, zipfile.ZIP64_LIMIT = zipfile.ZIP64_LIMIT, 16
    yield npz_case("zip64", arrays, archive(arrays, zipfile.ZIP_DEFLATED))
    zipfile.ZIP64_LIMIT = limit


def gzip_cases(text):
    def packed(part):
        return gzip.compress(part, mtime=0)

    yield file_case("one member", packed(text))
    yield file_case("two members", packed(text[:100]) + packed(text[100:]))
    yield file_case("an empty member between", packed(text[:9]) + packed(b"") + packed(text[9:]))
    yield file_case("padded with zeros", packed(text) + bytes(16))


def idx_cases(grid):
    images = (np.arange(2 * 4 * 3) * 10).astype("u1").reshape(2, 4, 3)
    yield expected("uint8", images) | {"file": idx(0x08, images).hex()}
    packed = gzip.compress(idx(0x08, images), mtime=0)
    yield expected("uint8, gzip", images) | {"file": packed.hex()}
    for code, kind in [(0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]:
        values = ((grid - 2) * 21).astype(kind)
        yield expected(values.dtype.name, values) | {"file": idx(code, values).hex()}


def main():
    grid = np.arange(6).reshape(2, 3)
    text = b"Levin, an old word for lightning. " * 40
    emit(
        __doc__.strip(),
        npy=list(npy_cases(grid)),
        npy_refused=list(refused_cases()),
        npz=list(npz_cases(grid)),
        gzip=list(gzip_cases(text)),
        gzip_text=text.decode(),
        idx=list(idx_cases(grid)),
    )


if __name__ == "__main__":
    main()
