"""Draws one training step from the timeline that `profiler: trace` has written: for each rank what
it did and for how long it waited, in a pipeline with the numbers of the micro-batches, and below
that what the ranks exchanged meanwhile.

    plot_timeline.py TRACE.json STEP OUTPUT.svg
"""

import json
import pathlib
import sys

from plot_cpu_gpu import FAINT, FONT, GRID, TEXT, text

WIDTH, LEFT, RIGHT, TOP = 1120, 100, 24, 92
LANE, EXCHANGE, GAP = 40, 9, 16  # heights, in pixels: of work, of exchanges, between ranks
# Colours of Okabe and Ito, which colour-blind people can tell apart.
WORK = {"forward": "#56b4e9", "backward": "#e69f00", "update": "#f0e442", "idle": "#ececec"}
OTHER_WORK = "#cfd8d3"
EXCHANGES = {"communication": "#0072b2", "layers": "#009e73", "parameters": "#cc79a7"}
OTHER_EXCHANGE = "#7d7d7d"
LABELS = {"idle": "waiting for other ranks", "communication": "gradients"}


def is_pass(event):
    """Whether it is the pass of a micro-batch through a stage of a pipeline."""
    return "micro_batch" in event["args"]


def end_of(event):
    return event["ts"] + event["dur"]


def events_of(trace, step):
    """Returns {rank: its events in that step}, and when the step begins and ends: from the first
    forward pass to the last backward pass of a pipeline, otherwise to the end of the last update.
    """
    ranks = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "X" and event["args"]["step"] == step:
            ranks.setdefault(event["pid"], []).append(event)
    every = [event for events in ranks.values() for event in events]
    bounds = [event for event in every if is_pass(event)] or [
        event for event in every if event["name"] in ("forward", "backward", "update")
    ]
    if not bounds:
        raise ValueError(f"the trace has no step {step}")
    begin, end = min(event["ts"] for event in bounds), max(map(end_of, bounds))
    for events in ranks.values():
        events[:] = [e for e in events if end_of(e) > begin and e["ts"] < end]
    return dict(sorted(ranks.items())), begin, end


def place_of_pipeline(ranks):
    """Says on how many ranks the step is made, and how many of them have the same stage."""
    firsts = [
        rank
        for rank, events in ranks.items()
        if any(is_pass(event) and event["args"]["stage"] == 0 for event in events)
    ]
    if len(firsts) <= 1:
        return f"in a pipeline of {len(ranks)} ranks"
    return f"in pipelines on {len(ranks)} ranks, {len(firsts)} at each stage"


def idle_share(events, begin, end):
    """The share of the step for which a rank waits for others."""
    waits = [event for event in events if event["name"] == "idle"]
    waited = sum(min(end_of(event), end) - max(event["ts"], begin) for event in waits)
    return waited / (end - begin)


def bar(event, span, y, height, fill, number=None):
    """Returns the elements of one event."""
    begin, end = span
    scale = (WIDTH - LEFT - RIGHT) / (end - begin)
    left = LEFT + (max(event["ts"], begin) - begin) * scale
    width = (min(end_of(event), end) - max(event["ts"], begin)) * scale
    edge = f' stroke="{GRID}" stroke-width="0.5"' if width > 2 else ""
    parts = [
        f'<rect x="{left:.1f}" y="{y}" width="{max(width, 0.5):.1f}" height="{height}" '
        f'fill="{fill}"{edge}/>'
    ]
    if number is not None and width > 9 * len(str(number)):
        parts.append(text(left + width / 2, y + height / 2 + 5, str(number), 13, "middle"))
    return parts


def legend(names, has_passes):
    parts = []
    x = LEFT
    for name in names:
        known = WORK.get(name) or EXCHANGES.get(name)
        label = LABELS.get(name, name)
        fill = known or (OTHER_WORK if name == "other work" else OTHER_EXCHANGE)
        parts.append(f'<rect x="{x}" y="56" width="14" height="14" fill="{fill}"/>')
        parts.append(text(x + 20, 68, label, 14))
        x += 42 + 7 * len(label)
    if has_passes:
        parts.append(text(x, 68, "numbers: micro-batches", 14, color=FAINT))
    return parts


def legend_names(events):
    """The names of the bars, those of work first."""
    seen = {"training": set(), "communication": set()}
    for event in events:
        seen[event["cat"]].add(event["name"])
    names = [name for name in WORK if name in seen["training"]]
    if seen["training"] - set(WORK):
        names.append("other work")
    names += [name for name in EXCHANGES if name in seen["communication"]]
    others = sorted(seen["communication"] - set(EXCHANGES))
    return names + ([", ".join(others)] if others else [])


def draw(trace, step):
    """Returns the SVG."""
    ranks, begin, end = events_of(trace, step)
    every = [event for events in ranks.values() for event in events]
    has_passes = any(map(is_pass, every))
    where = place_of_pipeline(ranks) if has_passes else f"on {len(ranks)} ranks"
    title = f"Step {step} {where}: {(end - begin) / 1e3:.3g} ms"
    parts = legend(legend_names(every), has_passes)
    y = TOP
    for rank, events in ranks.items():
        parts.append(text(LEFT - 12, y + LANE / 2 - 3, f"rank {rank}", 14, "end"))
        share = f"{idle_share(events, begin, end):.0%} idle"
        parts.append(text(LEFT - 12, y + LANE / 2 + 13, share, 12, "end", FAINT))
        threads = sorted({event["tid"] for event in events if event["cat"] != "training"})
        for event in events:
            if event["cat"] == "training":
                number = event["args"].get("micro_batch")
                fill = WORK.get(event["name"], OTHER_WORK)
                parts += bar(event, (begin, end), y, LANE, fill, number)
            else:
                below = y + LANE + 2 + threads.index(event["tid"]) * EXCHANGE
                fill = EXCHANGES.get(event["name"], OTHER_EXCHANGE)
                parts += bar(event, (begin, end), below, EXCHANGE - 2, fill)
        y += LANE + len(threads) * EXCHANGE + GAP
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" '
        f'height="{y}" role="img" font-family="{FONT}">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
        text(LEFT, 38, title, 21, color=TEXT, more=' font-weight="600"'),
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def main(arguments):
    if len(arguments) != 3:
        raise SystemExit("usage: plot_timeline.py TRACE.json STEP OUTPUT.svg")
    trace = json.loads(pathlib.Path(arguments[0]).read_text(encoding="utf-8"))
    pathlib.Path(arguments[2]).write_text(draw(trace, int(arguments[1])), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
