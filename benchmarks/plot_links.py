"""Draws what ./run bench links has measured: the bytes and the seconds until an MLP on MNIST is
right about 92 % of the validation images, and the time of a step for more ranks by the model of
link_costs.py.

    plot_links.py RESULT.json OUTPUT.svg
"""

import json
import math
import pathlib
import sys

import link_costs
from plot_cpu_gpu import FAINT, FONT, GRID, MINOR, TEXT, line, text, tick_text, ticks, time_text

WIDTH, HEIGHT, TOP, PANEL_WIDTH, PANEL_HEIGHT = 1120, 610, 128, 424, 400
LEFTS = (90, 640)
LEGEND_COLUMNS, LEGEND_TOP, LEGEND_ROW = 5, 66, 22
# Most of these are those of Okabe and Ito. The markers differ as well.
COLORS = ("#000000", "#0072b2", "#56b4e9", "#009e73", "#d55e00", "#e69f00", "#cc79a7", "#7a4ca0")
COLORS += ("#8c564b", "#4d4d4d", "#17becf")
SHAPES = ("circle", "square", "diamond")


def bytes_text(value):
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g} B"


def marker(index, x, y):
    paint = f'fill="{COLORS[index % len(COLORS)]}" stroke="#ffffff" stroke-width="1.2"'
    shape = SHAPES[index % len(SHAPES)]
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" {paint}/>'
    if shape == "square":
        return f'<rect x="{x - 5.5:.1f}" y="{y - 5.5:.1f}" width="11" height="11" {paint}/>'
    corners = ((x, y - 7), (x + 7, y), (x, y + 7), (x - 7, y))
    return f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}" {paint}/>'


class Axes:
    """A pair of logarithmic axes."""

    def __init__(self, left, title, xs, ys, labels, texts):
        self.left, self.title, self.labels, self.texts = left, title, labels, texts
        self.x_range, self.y_range = self._range(xs), self._range(ys)
        self.bottom = TOP + PANEL_HEIGHT

    @staticmethod
    def _range(values):
        low, high = math.log(min(values)), math.log(max(values))
        margin = max(0.06 * (high - low), 0.25)
        return math.exp(low - margin), math.exp(high + margin)

    @staticmethod
    def _share(value, limits):
        low, high = map(math.log, limits)
        return (math.log(value) - low) / (high - low)

    def x(self, value):
        return self.left + PANEL_WIDTH * self._share(value, self.x_range)

    def y(self, value):
        return self.bottom - PANEL_HEIGHT * self._share(value, self.y_range)

    def draw(self):
        right = self.left + PANEL_WIDTH
        parts = [text(self.left, TOP - 14, self.title, 16, more=' font-weight="600"')]
        x_major, x_minor = ticks(*self.x_range)
        y_major, y_minor = ticks(*self.y_range)
        for values, color in ((x_minor, MINOR), (x_major, GRID)):
            parts += [line(self.x(v), TOP, self.x(v), self.bottom, color) for v in values]
        for values, color in ((y_minor, MINOR), (y_major, GRID)):
            parts += [line(self.left, self.y(v), right, self.y(v), color) for v in values]
        parts.append(line(self.left, TOP, self.left, self.bottom, FAINT))
        parts.append(line(self.left, self.bottom, right, self.bottom, FAINT))
        last = -math.inf
        for value in x_major:
            if self.x(value) - last > 56:  # labels that would touch each other are left out
                last = self.x(value)
                parts.append(text(last, self.bottom + 20, self.texts[0](value), 14, "middle"))
        for value in y_major:
            parts.append(text(self.left - 9, self.y(value) + 5, self.texts[1](value), 14, "end"))
        middle = (self.left + right) / 2, (TOP + self.bottom) / 2
        parts.append(text(middle[0], self.bottom + 46, self.labels[0], 14, "middle", FAINT))
        turn = f' transform="rotate(-90 {self.left - 68} {middle[1]})"'
        parts.append(text(self.left - 68, middle[1], self.labels[1], 14, "middle", FAINT, turn))
        return parts


def measured_panel(records):
    """The bytes and seconds of each way on the first link."""
    link = records[0]["link"]["name"]
    ways = link_costs.ways_of(records)
    found = link_costs.medians(records)
    points = {
        way: (found[way, link]["bytes_a_step"] * found[way, link]["steps"], found[way, link])
        for way in ways
        if (way, link) in found
    }
    axes = Axes(
        LEFTS[0],
        f"{link}, two ranks: until 92 %",
        [sent for sent, _ in points.values()],
        [record["seconds"] for _, record in points.values()],
        ("bytes that a rank sends", "seconds of training"),
        (bytes_text, time_text),
    )
    parts = axes.draw()
    for index, way in enumerate(ways):
        if way in points:
            sent, record = points[way]
            parts.append(marker(index, axes.x(sent), axes.y(record["seconds"])))
    return parts


def model_panel(records, model):
    """The time of a step against the number of ranks."""
    link = records[0]["link"]
    ranks = [2**k for k in range(1, 11)]
    curves = {way: [model.seconds(way, link, n) for n in ranks] for way in model.numbers}
    axes = Axes(
        LEFTS[1],
        f"{link['name']}, by the model",
        ranks,
        [seconds for curve in curves.values() for seconds in curve],
        ("ranks", "time of a step"),
        (tick_text, time_text),
    )
    parts = axes.draw()
    ways = link_costs.ways_of(records)
    for way, curve in curves.items():
        index = ways.index(way)
        color = COLORS[index % len(COLORS)]
        places = [(axes.x(n), axes.y(seconds)) for n, seconds in zip(ranks, curve)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        # Of curves that lie on each other, each shows its marker in another place.
        parts.append(marker(index, *places[index % len(places)]))
    return parts


def draw(records):
    """Returns the SVG."""
    ways = link_costs.ways_of(records)
    model = link_costs.Model(records)
    title = "MLP 784-512-512-10 on MNIST over slow links"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="{FONT}">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFTS[0], 38, title, 21, color=TEXT, more=' font-weight="600"'),
    ]
    width = (WIDTH - LEFTS[0] - 20) / LEGEND_COLUMNS
    for index, way in enumerate(ways):
        x = LEFTS[0] + width * (index % LEGEND_COLUMNS)
        y = LEGEND_TOP + LEGEND_ROW * (index // LEGEND_COLUMNS)
        parts += [marker(index, x + 7, y - 5), text(x + 20, y, way, 14)]
    parts += measured_panel(records)
    if model.numbers:
        parts += model_panel(records, model)
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(arguments):
    if len(arguments) != 2:
        raise SystemExit("usage: plot_links.py RESULT.json OUTPUT.svg")
    results = json.loads(pathlib.Path(arguments[0]).read_text(encoding="utf-8"))
    pathlib.Path(arguments[1]).write_text(draw(results["links"]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
