"""Whether what a command writes is what a page shows. Numbers with a point are compared to two digits or so: pages round."""

import json
import re

TOLERANCE = 0.01


def _is_close(shown, got):
    return abs(shown - got) <= TOLERANCE * max(1.0, abs(shown))


def is_like(shown, got):
    """Whether JSON has the members that a page shows."""
    if isinstance(shown, float):
        return isinstance(got, (int, float)) and not isinstance(got, bool) and _is_close(shown, got)
    if isinstance(shown, dict):
        return isinstance(got, dict) and len(shown) == len(got) and all(
            key in got and is_like(value, got[key]) for key, value in shown.items())
    if isinstance(shown, list):
        return isinstance(got, list) and len(shown) == len(got) and all(map(is_like, shown, got))
    return type(shown) is type(got) and shown == got


def has_json(output, shown):
    """Whether one of the JSON objects in an output is like the one that a page shows."""
    decoder, wanted = json.JSONDecoder(), json.loads(shown)
    at = output.find("{")
    while at >= 0:
        try:
            if is_like(wanted, decoder.raw_decode(output, at)[0]):
                return True
        except ValueError:
            pass
        at = output.find("{", at + 1)
    return False


def _is_cell(shown, got):
    if shown == got or shown == "...":
        return True
    if "." not in shown:
        return False
    try:
        return _is_close(float(shown), float(got))
    except ValueError:
        return False


def _is_line(shown, got):
    cells, others = (re.findall(r"[^\s,]+|,", line) for line in (shown, got))
    if cells[-1:] == ["..."]:
        cells, others = cells[:-1], others[:len(cells) - 1]
    return len(cells) == len(others) and all(map(_is_cell, cells, others))


def has_lines(output, shown):
    """Whether an output has the lines that a page shows, cell by cell. A line "..." stands for any lines, and "..." at the
    end of a line for any cells."""
    got = output.strip().split("\n")
    wanted = shown.strip().split("\n")

    def matches(i, j):
        while i < len(wanted):
            if wanted[i].strip() == "...":
                return any(matches(i + 1, k) for k in range(j, len(got) + 1))
            if j == len(got) or not _is_line(wanted[i], got[j]):
                return False
            i, j = i + 1, j + 1
        return j == len(got)

    return matches(0, 0)
