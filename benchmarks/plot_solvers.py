"""Draws what ./run bench solvers has measured: for each problem, the gap to the optimum against the
seconds from the start of the process, and from when the data were read.

    plot_solvers.py RESULT.json FOLDER
"""

import json
import math
import pathlib
import re
import sys

import solver_curves
from plot_cpu_gpu import FAINT, FONT, GRID, MINOR, TEXT, line, text, ticks, time_text

WIDTH, PANEL_WIDTH, PANEL_HEIGHT = 1120, 446, 400
LEFTS = (78, 646)
LEGEND_TOP, LEGEND_ROW, LEGEND_COLUMNS = 74, 24, 4
FLOOR = 1e-10  # of the gaps: below it, they are rounding errors
# A solver has one colour, whosever it is. Most are those of Okabe and Ito, with a darker yellow.
COLORS = {
    "newton-cg": "#0072b2",
    "lbfgs": "#d55e00",
    "newton-cholesky": "#009e73",
    "trust-region": "#cc79a7",
    "saga": "#e69f00",
    "sag": "#56b4e9",
    "liblinear": "#000000",
    "coordinate-descent": "#a89400",
    "dual-coordinate-descent": "#7a4ca0",
    "OnlineAdagrad": "#8c564b",
    "OnlineSGD": "#e377c2",
    "FTRL": "#17becf",
    "Vowpal Wabbit": "#4d4d4d",
}
# Whose it is decides how the line is drawn and which marker it has.
STYLES = {
    "Levin": ("", "circle"),
    "scikit-learn": ("7 4", "square"),
    "liblinear": ("2 4", "square"),
    "Vowpal": ("1 3", "square"),
}


def look(program):
    """Returns colour, dashes and marker of a program, such as "Levin lbfgs"."""
    maker, _, solver = program.partition(" ")
    color = COLORS.get(program) or COLORS.get(solver or maker, "#666666")
    return (color, *STYLES.get(maker, ("2 3", "square")))


def marker(kind, color, x, y):
    paint = f'fill="{color}" stroke="#ffffff" stroke-width="1"'
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" {paint}/>'
    return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" {paint}/>'


def power_text(exponent):
    digits = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return "1" if exponent == 0 else f"10{digits}"


class Panel:
    """A pair of logarithmic axes with the curve of each program."""

    def __init__(self, left, top, curves, label):
        self.left, self.top, self.curves, self.label = left, top, curves, label
        seconds = [s for curve in curves.values() for s, _ in curve]
        self.low, self.high = math.log(min(seconds)) - 0.1, math.log(max(seconds)) + 0.1
        self.bottom, self.right = top + PANEL_HEIGHT, left + PANEL_WIDTH
        self.powers = round(-math.log10(FLOOR))

    def x(self, seconds):
        return self.left + PANEL_WIDTH * (math.log(seconds) - self.low) / (self.high - self.low)

    def y(self, gap):
        share = (math.log10(min(gap, 10.0)) + self.powers) / (self.powers + 1)
        return self.bottom - PANEL_HEIGHT * share

    def draw(self):
        return [*self._axes(), *self._curves()]

    def _axes(self):
        parts = []
        major, minor = ticks(math.exp(self.low), math.exp(self.high))
        for values, color in ((minor, MINOR), (major, GRID)):
            parts += [line(self.x(v), self.top, self.x(v), self.bottom, color) for v in values]
        for exponent in range(-self.powers, 2):
            y = self.y(10.0**exponent)
            parts.append(line(self.left, y, self.right, y, GRID if exponent % 2 == 0 else MINOR))
            if exponent % 2 == 0:
                parts.append(text(self.left - 9, y + 5, power_text(exponent), 14, "end"))
        parts.append(line(self.left, self.top, self.left, self.bottom, FAINT))
        parts.append(line(self.left, self.bottom, self.right, self.bottom, FAINT))
        for value in major:
            parts.append(line(self.x(value), self.bottom, self.x(value), self.bottom + 5, FAINT))
            parts.append(text(self.x(value), self.bottom + 21, time_text(value), 14, "middle"))
        middle = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        parts.append(text(middle[0], self.bottom + 47, self.label, 14, "middle", FAINT))
        turn = f' transform="rotate(-90 {self.left - 56} {middle[1]})"'
        label = "(objective - optimum) / optimum"
        parts.append(text(self.left - 56, middle[1], label, 14, "middle", FAINT, turn))
        return parts

    def _curves(self):
        parts = []
        for program, curve in self.curves.items():
            color, dashes, kind = look(program)
            places = [(self.x(s), self.y(gap)) for s, gap in curve]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            dash = f' stroke-dasharray="{dashes}"' if dashes else ""
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2" '
                f'stroke-linejoin="round"{dash}/>'
            )
            last = None
            for place in places:  # markers that would hide each other are left out
                if last is None or math.dist(last, place) > 14 or place == places[-1]:
                    parts.append(marker(kind, color, *place))
                    last = place
        return parts


def legend(programs):
    parts = []
    width = (WIDTH - LEFTS[0] - 20) / LEGEND_COLUMNS
    for index, program in enumerate(programs):
        x = LEFTS[0] + width * (index % LEGEND_COLUMNS)
        y = LEGEND_TOP + LEGEND_ROW * (index // LEGEND_COLUMNS)
        color, dashes, kind = look(program)
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts.append(line(x, y - 5, x + 34, y - 5, color, 2, dash))
        parts += [marker(kind, color, x + 17, y - 5), text(x + 42, y, program, 14)]
    return parts


def draw(runs, case):
    """Returns the SVG of a case."""
    best = solver_curves.optimum(runs, case)
    programs = solver_curves.programs(runs, case)
    chosen = {p: solver_curves.middle(solver_curves.of(runs, case, p)) for p in sorted(programs)}
    whole = {p: solver_curves.gap_curve(run, best, FLOOR) for p, run in chosen.items()}
    after = {p: [(s - chosen[p]["ready"], gap) for s, gap in curve] for p, curve in whole.items()}
    rows = -(-len(chosen) // LEGEND_COLUMNS)
    top = LEGEND_TOP + LEGEND_ROW * rows + 8
    height = top + PANEL_HEIGHT + 66
    title = f"Logistic regression on {case}: gap to the optimum {best:.6f}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" font-family="{FONT}">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(LEFTS[0], 40, title, 21, color=TEXT, more=' font-weight="600"'),
        *legend(chosen),
        *Panel(LEFTS[0], top, whole, "time from the start of the process").draw(),
        *Panel(LEFTS[1], top, after, "time from when the data were read").draw(),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def draw_all(runs):
    """Returns [(name for files, SVG)], one for each case."""
    names = {case: re.sub(r"\W+", "-", case) for case in solver_curves.cases(runs)}
    return [(name, draw(runs, case)) for case, name in names.items()]


def main(arguments):
    if len(arguments) != 2:
        raise SystemExit("usage: plot_solvers.py RESULT.json FOLDER")
    results = json.loads(pathlib.Path(arguments[0]).read_text(encoding="utf-8"))
    for name, plot in draw_all(results["solvers"]):
        (pathlib.Path(arguments[1]) / f"{name}.svg").write_text(plot, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
