"""Draws what bench_cpu_gpu has measured: the time on the CPU and on the GPU against the number of
rows and against the size of the model, with the size at which the curves cross.

    plot_cpu_gpu.py INPUT.json OUTPUT.svg
"""

import json
import math
import pathlib
import statistics
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1120, 590
TOP, BOTTOM = 164, 518  # of the panels
LEFTS, PANEL_WIDTH = (94, 656), 436
TEXT, FAINT, GRID, MINOR = "#222222", "#5f6368", "#dcdfe3", "#eff1f3"
# Colours of Okabe and Ito, which colour-blind people can tell apart. The markers differ as well.
DEVICES = {"cpu": ("CPU", "#d55e00"), "gpu": ("GPU", "#0072b2")}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
# The mean width of a letter in the widest of the usual fonts, as a share of the font's size.
LETTER, BOLD_LETTER = 0.53, 0.61


# --- the curves --------------------------------------------------------------------------------


def curves(points, size):
    """Returns {device: [(size, median of the seconds)]}, by growing size."""
    result = {}
    for device in DEVICES:
        measured = [(p[size], statistics.median(p[device])) for p in points if p.get(device)]
        if measured:
            result[device] = sorted(measured)
    return result


def crossing(cpu, gpu):
    """Returns the (size, seconds) at which the curves cross, or None if they don't.

    Between two sizes, the logarithm of the time is taken as linear in the logarithm of the size. If
    the curves cross more than once, the crossing at the largest size is returned.
    """
    gpu = dict(gpu)
    both = [(math.log(n), math.log(t), math.log(gpu[n])) for n, t in cpu if n in gpu]
    found = None
    before = None  # the last point at which the times differ
    equal = None  # the first point after it at which they don't
    for point in both:
        x, a, b = point
        if a == b:
            equal = equal or point
            continue
        if before and (before[1] > before[2]) != (a > b):
            if equal:
                found = equal[:2]
            else:
                d0, d1 = before[1] - before[2], a - b
                share = d0 / (d0 - d1)
                found = tuple(u + share * (v - u) for u, v in zip(before[:2], point[:2]))
        before, equal = point, None
    return found and tuple(map(math.exp, found))


def verdict(by_device):
    """Returns what is said of curves that don't cross."""
    if "gpu" not in by_device:
        return "no crossing: only the CPU was measured"
    cpu, gpu = dict(by_device["cpu"]), dict(by_device["gpu"])
    faster = {gpu[n] < cpu[n] for n in cpu if n in gpu and gpu[n] != cpu[n]}
    if len(faster) != 1:
        return "no crossing: the times are equal"
    return f"no crossing: the {'GPU' if faster.pop() else 'CPU'} is faster at every size"


# --- numbers as text ---------------------------------------------------------------------------


def size_text(value):
    """Returns the size with two digits, as 12,000."""
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def time_text(seconds):
    for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "\u00b5s")):
        if seconds >= 0.9995 * unit:
            return f"{seconds / unit:.3g} {name}" if seconds < 999.5 else f"{seconds:,.0f} s"
    return f"{seconds * 1e9:.3g} ns"


def tick_text(value):
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def ticks(low, high):
    """Returns the labelled values and the others between them, for a logarithmic axis."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = {k: [k * 10.0**p for p in powers if low <= k * 10.0**p <= high] for k in range(1, 10)}
    major = values[1]
    if len(major) < 3:
        major = sorted(values[1] + values[2] + values[5])
    if len(major) < 2:
        major = sorted(sum(values.values(), []))
    return major, sorted(set(sum(values.values(), [])) - set(major))


# --- the picture -------------------------------------------------------------------------------


def text(x, y, content, size=14, anchor="start", color=TEXT, more=""):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{color}"'
        f"{more}>{escape(content)}</text>"
    )


def line(x1, y1, x2, y2, color, width=1.0, more=""):
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" '
        f'stroke-width="{width}"{more}/>'
    )


def marker(device, x, y):
    paint = f'fill="{DEVICES[device][1]}" stroke="#ffffff" stroke-width="1.5"'
    if device == "cpu":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" {paint}/>'
    return f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" {paint}/>'


class Panel:
    """A pair of axes, whose left end is at `left`, with the curves of each device."""

    def __init__(self, left, by_device, title, labels, unit):
        self.left, self.right = left, left + PANEL_WIDTH
        self.by_device, self.title, self.labels, self.unit = by_device, title, labels, unit
        points = [point for curve in by_device.values() for point in curve]
        self.x_range = self._range([n for n, _ in points], 0.05)
        self.y_range = self._range([t for _, t in points], 0.08)

    @staticmethod
    def _range(values, margin):
        low, high = math.log(min(values)), math.log(max(values))
        margin = max(margin * (high - low), 0.5 if high - low < 1.0 else 0.0)
        return math.exp(low - margin), math.exp(high + margin)

    def x(self, value):
        low, high = map(math.log, self.x_range)
        return self.left + PANEL_WIDTH * (math.log(value) - low) / (high - low)

    def y(self, value):
        low, high = map(math.log, self.y_range)
        return BOTTOM - (BOTTOM - TOP) * (math.log(value) - low) / (high - low)

    def draw(self):
        return [*self._axes(), *self._curves(), *self._crossing()]

    def _axes(self):
        parts = [text(self.left, TOP - 16, self.title, 16, more=' font-weight="600"')]
        x_major, x_minor = ticks(*self.x_range)
        y_major, y_minor = ticks(*self.y_range)
        for values, color in ((x_minor, MINOR), (x_major, GRID)):
            parts += [line(self.x(v), TOP, self.x(v), BOTTOM, color) for v in values]
        for values, color in ((y_minor, MINOR), (y_major, GRID)):
            parts += [line(self.left, self.y(v), self.right, self.y(v), color) for v in values]
        parts.append(line(self.left, TOP, self.left, BOTTOM, FAINT))
        parts.append(line(self.left, BOTTOM, self.right, BOTTOM, FAINT))
        for value in x_major:
            parts.append(line(self.x(value), BOTTOM, self.x(value), BOTTOM + 5, FAINT))
            parts.append(text(self.x(value), BOTTOM + 21, tick_text(value), 14, "middle"))
        for value in y_major:
            parts.append(line(self.left - 5, self.y(value), self.left, self.y(value), FAINT))
            parts.append(text(self.left - 9, self.y(value) + 5, time_text(value), 14, "end"))
        x, y = (self.left + self.right) / 2, (TOP + BOTTOM) / 2
        parts.append(text(x, BOTTOM + 48, self.labels[0], 14, "middle", FAINT))
        turn = f' transform="rotate(-90 {self.left - 76} {y})"'
        parts.append(text(self.left - 76, y, self.labels[1], 14, "middle", FAINT, turn))
        return parts

    def _curves(self):
        parts = []
        for device, curve in self.by_device.items():
            places = [(self.x(n), self.y(t)) for n, t in curve]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{DEVICES[device][1]}" '
                'stroke-width="2.5" stroke-linejoin="round"/>'
            )
            parts += [marker(device, x, y) for x, y in places]
        return parts

    def _crossing(self):
        found = crossing(self.by_device.get("cpu", []), self.by_device.get("gpu", []))
        if not found:
            return self._label([verdict(self.by_device)], None)
        size, seconds = found
        at = self.x(size), self.y(seconds)
        drop = line(*at, at[0], BOTTOM, TEXT, 1.3, ' stroke-dasharray="4 4"')
        ring = (
            f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="9" fill="none" stroke="{TEXT}" '
            'stroke-width="2"/>'
        )
        lines = [f"crossing at {size_text(size)} {self.unit}", f"{time_text(seconds)} on both"]
        return [drop, ring, *self._label(lines, at)]

    def _label(self, lines, at):
        """Writes the lines where they hide nothing, and connects them with the point `at`."""
        letters = [BOLD_LETTER if at and index == 0 else LETTER for index in range(len(lines))]
        width = 14 * max(letter * len(content) for letter, content in zip(letters, lines)) + 14
        height = 20 * len(lines) + 8
        x, y = self._free_place(width, height, at)
        parts = []
        if at:
            near = min(max(at[0], x), x + width), min(max(at[1], y), y + height)
            length = math.dist(at, near)
            if length > 9:  # the radius of the ring
                start = [a + 9 * (n - a) / length for a, n in zip(at, near)]
                parts.append(line(*start, *near, TEXT, 1.3))
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" rx="4" '
            f'fill="#ffffff" stroke="{TEXT if at else GRID}"/>'
        )
        for index, content in enumerate(lines):
            weight = ' font-weight="600"' if index == 0 and at else ""
            parts.append(
                text(x + width / 2, y + 19 + 20 * index, content, 14, "middle", TEXT, weight)
            )
        return parts

    def _free_place(self, width, height, at):
        """Returns the upper left corner at which a label hides least of the curves and the line
        below the crossing, and of these the one that is nearest to the crossing `at`.
        """
        taken = [(at[0], at[1] + d) for d in range(-9, int(BOTTOM - at[1]), 8)] if at else []
        for curve in self.by_device.values():
            places = [(self.x(n), self.y(t)) for n, t in curve]
            taken += places
            for (x0, y0), (x1, y1) in zip(places, places[1:]):
                taken += [(x0 + k / 20 * (x1 - x0), y0 + k / 20 * (y1 - y0)) for k in range(20)]

        def cost(corner):
            x, y = corner
            hidden = sum(
                x - 14 <= px <= x + width + 14 and y - 14 <= py <= y + height + 14
                for px, py in taken
            )
            to = at or (self.left, TOP)
            near = min(max(to[0], x), x + width), min(max(to[1], y), y + height)
            middle = x + width / 2, y + height / 2
            return hidden, math.dist(to, near) + 0.2 * math.dist(to, middle)

        xs = range(self.left + 10, int(self.right - width - 9), 10)
        ys = range(TOP + 10, BOTTOM - height - 9, 10)
        return min(((x, y) for x in xs for y in ys), key=cost)


def legend(results, devices):
    parts = []
    x = LEFTS[0]
    for index, device in enumerate(devices):
        y = 76 + 26 * index
        about = results[device]
        name = f"{DEVICES[device][0]}: {about['name']}"
        if "threads" in about:
            name += f", {about['threads']} thread{'s' if about['threads'] != 1 else ''}"
        parts.append(line(x, y - 5, x + 36, y - 5, DEVICES[device][1], 2.5))
        parts += [marker(device, x + 18, y - 5), text(x + 46, y, name)]
    if "gpu" not in devices:
        parts.append(text(x + 46, 76 + 26, "GPU: none was found", color=FAINT))
    return parts


def draw(results):
    """Returns the SVG of what bench_cpu_gpu has written."""
    rows = curves(results["data_size"], "rows")
    models = curves(results["model_size"], "parameters")
    batch, hidden = results["batch_size"], results["hidden"]
    widths = [point["hidden"] for point in results["model_size"]]
    panels = [
        Panel(
            LEFTS[0],
            rows,
            f"One epoch, MLP 784-{hidden}-10, batch {batch}",
            ("rows of data, 784 features each", "time of the whole fit"),
            "rows",
        ),
        Panel(
            LEFTS[1],
            models,
            f"One step, MLP 784-h-10, batch {batch}",
            (f"parameters (h = {min(widths):,} to {max(widths):,} hidden units)", "time of a step"),
            "parameters",
        ),
    ]
    title = "Training time on CPU and GPU, by data size and by model size"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="{FONT}">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFTS[0], 40, title, 21, more=' font-weight="600"'),
        *legend(results, [d for d in DEVICES if d in rows or d in models]),
    ]
    for panel in panels:
        parts += panel.draw()
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(arguments):
    if len(arguments) != 2:
        raise SystemExit("usage: plot_cpu_gpu.py INPUT.json OUTPUT.svg")
    source, target = map(pathlib.Path, arguments)
    target.write_text(draw(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
