"""Draws one training step of a pipeline from the timeline that `profiler: trace` has written: a lane
for each rank, the passes of the micro-batches in it, and what the rank waited for between them.

    plot_timeline.py TRACE.json STEP OUTPUT.svg
"""

import json
import pathlib
import sys

from plot_cpu_gpu import FAINT, FONT, GRID, TEXT, text

WIDTH, LEFT, RIGHT, TOP, LANE, GAP = 1120, 90, 24, 108, 44, 10
FILLS = {"forward": "#56b4e9", "backward": "#e69f00", "idle": "#ececec"}
OTHER = "#cfd8d3"  # everything else that a rank does in the step


def events_of(trace, step):
    """Returns {rank: events of its training in that step}; the first is the pass that began first."""
    lanes = {}
    for event in trace["traceEvents"]:
        if event["ph"] != "X" or event["cat"] != "training" or event["args"]["step"] != step:
            continue
        lanes.setdefault(event["pid"], []).append(event)
    begin = min((e["ts"] for lane in lanes.values() for e in lane if is_pass(e)), default=None)
    end = max((e["ts"] + e["dur"] for lane in lanes.values() for e in lane if is_pass(e)), default=0)
    if begin is None:
        raise ValueError(f"the trace has no pass of a pipeline in step {step}")
    for lane in lanes.values():
        lane[:] = [e for e in lane if e["ts"] + e["dur"] > begin and e["ts"] < end]
    return dict(sorted(lanes.items())), begin, end


def is_pass(event):
    return "micro_batch" in event["args"]


def bubble(lane, begin, end):
    """The share of the time in which a rank makes no pass."""
    return 1 - sum(e["dur"] for e in lane if is_pass(e)) / (end - begin)


def draw(trace, step):
    """Returns the SVG."""
    lanes, begin, end = events_of(trace, step)
    height = TOP + len(lanes) * (LANE + GAP) + 40
    scale = (WIDTH - LEFT - RIGHT) / (end - begin)
    title = f"Step {step} of a pipeline of {len(lanes)} ranks, {(end - begin) / 1e3:.3g} ms"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" font-family="{FONT}">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(LEFT, 38, title, 21, color=TEXT, more=' font-weight="600"'),
    ]
    x = LEFT
    names = {"forward": "forward", "backward": "backward", "idle": "waiting for other ranks"}
    for name, fill in [*FILLS.items(), (None, OTHER)]:
        label = names.get(name, "other work")
        parts.append(f'<rect x="{x}" y="56" width="14" height="14" fill="{fill}"/>')
        parts.append(text(x + 20, 68, label, 14))
        x += 44 + 8 * len(label)
    parts.append(text(x, 68, "numbers: micro-batches", 14, color=FAINT))
    for index, (rank, lane) in enumerate(lanes.items()):
        y = TOP + index * (LANE + GAP)
        parts.append(text(LEFT - 12, y + LANE / 2 - 3, f"rank {rank}", 14, "end"))
        share = f"{bubble(lane, begin, end):.0%} idle"
        parts.append(text(LEFT - 12, y + LANE / 2 + 13, share, 12, "end", FAINT))
        for event in lane:
            left = LEFT + (max(event["ts"], begin) - begin) * scale
            right = LEFT + (min(event["ts"] + event["dur"], end) - begin) * scale
            fill = FILLS.get(event["name"], OTHER)
            parts.append(
                f'<rect x="{left:.1f}" y="{y}" width="{max(right - left, 0.5):.1f}" '
                f'height="{LANE}" fill="{fill}" stroke="{GRID}" stroke-width="0.5"/>'
            )
            if is_pass(event) and right - left > 11:
                number = str(event["args"]["micro_batch"])
                parts.append(text((left + right) / 2, y + LANE / 2 + 5, number, 13, "middle"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(arguments):
    if len(arguments) != 3:
        raise SystemExit("usage: plot_timeline.py TRACE.json STEP OUTPUT.svg")
    trace = json.loads(pathlib.Path(arguments[0]).read_text(encoding="utf-8"))
    pathlib.Path(arguments[2]).write_text(draw(trace, int(arguments[1])), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
