"""Small PNG and JPEG files with the pixels that Pillow decodes, and resized images.

Files and pixels are hexadecimal digits; pixels are bytes, [height, width, channels].
"""

import io
import struct
import zlib

import numpy as np
import PIL
from PIL import Image

from common import emit

# The passes of an interlaced PNG: first row, first column, steps.
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed_rows(samples, bits):
    """Rows of a PNG without a filter; `samples` are [height, width, channels]."""
    for row in samples.reshape(samples.shape[0], -1):
        if bits == 16:
            yield b"\0" + row.astype(">u2").tobytes()
        elif bits == 8:
            yield b"\0" + row.astype("u1").tobytes()
        else:
            digits = np.unpackbits(row.astype("u1")[:, None], axis=1)[:, 8 - bits :].reshape(-1)
            yield b"\0" + np.packbits(digits).tobytes()


def png(samples, bits, color, interlaced=False, before=b""):
    """A PNG as Pillow can't write it: of 2, 4 or 16 bits, or interlaced."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, int(interlaced))
    parts = [samples]
    if interlaced:
        parts = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7]
    rows = b"".join(row for part in parts if part.size for row in packed_rows(part, bits))
    data = chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def pixels(image):
    return np.asarray(image).astype("u1").tobytes().hex()


def case(name, data, channels):
    image = Image.open(io.BytesIO(data))
    return {
        "name": name,
        "file": data.hex(),
        "width": image.width,
        "height": image.height,
        "channels": channels,
        "rgb": pixels(image.convert("RGB")),
        "grey": pixels(image.convert("L")),
    }


def grey16_case(samples):
    """The upper bytes. Pillow cuts values above 255 off instead."""
    data = png(samples, 16, 0)
    upper = Image.fromarray((samples[:, :, 0] >> 8).astype("u1"))
    found = case("PNG, grey, 16 bits", saved(upper, "PNG"), 1)
    return found | {"file": data.hex()}


def png_cases(photo, random):
    rgb = np.asarray(photo)
    alpha = random.integers(0, 256, rgb.shape[:2] + (1,), dtype="u1")
    wide = random.integers(0, 65536, rgb.shape, dtype="u2")
    yield case("PNG, colours", saved(photo, "PNG"), 3)
    yield case("PNG, grey", saved(photo.convert("L"), "PNG"), 1)
    yield case("PNG, colours and alpha", saved(Image.fromarray(np.dstack([rgb, alpha])), "PNG"), 3)
    yield case("PNG, grey and alpha", png(np.dstack([rgb[:, :, :1], alpha]), 8, 4), 1)
    for bits in [1, 2, 4]:
        few = random.integers(0, 2**bits, rgb.shape[:2] + (1,))
        yield case(f"PNG, grey, {bits} bits", png(few, bits, 0), 1)
    yield case("PNG, colours, 16 bits", png(wide, 16, 2), 3)
    yield grey16_case(wide[:, :, :1])
    palette = photo.quantize(11)
    yield case("PNG, palette", saved(palette, "PNG", bits=8), 3)
    yield case("PNG, palette of 4 bits", saved(palette, "PNG", bits=4), 3)
    yield case("PNG, palette with alpha", saved(palette, "PNG", transparency=b"\x00\x80"), 3)
    yield case("PNG, one colour transparent", saved(photo, "PNG", transparency=(1, 2, 3)), 3)
    yield case("PNG, interlaced", png(rgb, 8, 2, interlaced=True), 3)
    yield case("PNG, interlaced, grey, 2 bits", png(rgb[:, :, :1] >> 6, 2, 0, interlaced=True), 1)


def jpeg_cases(photo):
    turned = Image.Exif()
    turned[0x0112] = 6
    yield case("JPEG, 4:4:4", saved(photo, "JPEG", quality=90, subsampling=0), 3)
    yield case("JPEG, 4:2:0", saved(photo, "JPEG", quality=75), 3)
    yield case("JPEG, grey", saved(photo.convert("L"), "JPEG", quality=80), 1)
    yield case("JPEG, progressive", saved(photo, "JPEG", quality=85, progressive=True), 3)
    yield case("JPEG, CMYK", saved(photo.convert("CMYK"), "JPEG", quality=90), 3)
    yield case("JPEG, turned by EXIF", saved(photo, "JPEG", quality=90, subsampling=0, exif=turned), 3)


def resized_cases(photo):
    sizes = [(3, 2), (5, 11), (40, 31), (11, 1), (1, 9), (11, 20), (23, 9)]
    for height, width in sizes:
        for mode in ["RGB", "L"]:
            small = photo.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
            yield {"height": height, "width": width, "channels": len(small.getbands()), "pixels": pixels(small)}


def main():
    random = np.random.default_rng(7)
    y, x = np.mgrid[0:11, 0:9]
    smooth = np.stack([20 * y + 3 * x, 255 - 25 * x, 12 * (x + y)], axis=2)
    noise = random.integers(-9, 10, smooth.shape)
    photo = Image.fromarray(np.clip(smooth + noise, 0, 255).astype("u1"))
    emit(
        "files and what Image.convert makes of them; JPEGs may differ by a grey level or two between "
        f"versions of libjpeg; resized: the first file by Image.resize(BILINEAR). Pillow {PIL.__version__}.",
        files=[*png_cases(photo, random), *jpeg_cases(photo)],
        resized=list(resized_cases(photo)),
    )


if __name__ == "__main__":
    main()
