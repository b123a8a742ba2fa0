"""Draws what ./run bench serving has measured: answers a second and the latency of each program
against the number of connections.

    plot_serving.py RESULT.json OUTPUT.svg
"""

import json
import pathlib
import statistics
import sys

from plot_cpu_gpu import FONT, TEXT, text, tick_text, time_text
from plot_links import COLORS, HEIGHT, LEFTS, WIDTH, Axes, marker

LEGEND_COLUMNS, LEGEND_TOP, LEGEND_ROW = 4, 66, 22
PANELS = (
    ("answers a second", lambda r: r["throughput"], tick_text, "answers a second"),
    ("latency, p99", lambda r: r["latency_ms"]["p99"] / 1e3, time_text, "p99 of the latency"),
)


def medians(records, value):
    """Returns {program: [(connections, median)]}."""
    found = {}
    for record in records:
        by_count = found.setdefault(record["program"], {})
        by_count.setdefault(record["connections"], []).append(value(record))
    return {
        program: sorted((n, statistics.median(values)) for n, values in by_count.items())
        for program, by_count in found.items()
    }


def panel(left, title, curves, value_text, label):
    points = [point for curve in curves.values() for point in curve]
    axes = Axes(
        left,
        title,
        [n for n, _ in points],
        [value for _, value in points],
        ("connections", label),
        (tick_text, value_text),
    )
    parts = axes.draw()
    for index, curve in enumerate(curves.values()):
        places = [(axes.x(n), axes.y(value)) for n, value in curve]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        color = COLORS[index % len(COLORS)]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [marker(index, x, y) for x, y in places]
    return parts


def draw(records):
    """Returns the SVG."""
    closed = [r for r in records if r["kind"] == "closed" and r["throughput"] > 0]
    title = "Logistic regression on MNIST behind several servers, one row a request"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="{FONT}">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFTS[0], 38, title, 21, color=TEXT, more=' font-weight="600"'),
    ]
    width = (WIDTH - LEFTS[0] - 20) / LEGEND_COLUMNS
    for index, program in enumerate(dict.fromkeys(r["program"] for r in closed)):
        x = LEFTS[0] + width * (index % LEGEND_COLUMNS)
        y = LEGEND_TOP + LEGEND_ROW * (index // LEGEND_COLUMNS)
        parts += [marker(index, x + 7, y - 5), text(x + 20, y, program, 14)]
    for left, (name, value, value_text, label) in zip(LEFTS, PANELS):
        parts += panel(left, name, medians(closed, value), value_text, label)
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(arguments):
    if len(arguments) != 2:
        raise SystemExit("usage: plot_serving.py RESULT.json OUTPUT.svg")
    results = json.loads(pathlib.Path(arguments[0]).read_text(encoding="utf-8"))
    pathlib.Path(arguments[1]).write_text(draw(results["serving"]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
