"""What is computed from the runs of ./run bench solvers: gaps to the optimum, and the seconds until
they are reached.

A run is a record {"case", "program", "round", "ready", "distance", "points"}: `ready` is when the
program had started and read its data, and the points are [seconds, objective], both in seconds from
the start of the process. The distance is that of the best point's coefficients from those of the
optimum. Problems with rows to test on also have "test_points": [seconds, log-loss].
"""

import statistics

GAPS = (1e-2, 1e-4, 1e-6)
# The bounds are of this case and, for Levin, of the solver that it chooses there.
BOUND_CASE = "mnist, l2"
BOUND_SOLVER = "Levin lbfgs"
BOUNDS = (("scikit-learn newton-cg", 0.25), ("scikit-learn lbfgs", 0.1))
# The bound for the sparse set: the log-loss of the test rows at which liblinear ends with this C.
TEST_CASE = "sparse, l2"
TEST_LOSS = 0.461
TEST_SOLVER = "Levin newton-cg"
TEST_BOUND = ("liblinear", 0.5)


def thinned(points, ready, step=1.01):
    """Returns the points without those that follow the last one kept by less than 1 % of its time
    since `ready`. The first and the last point are always kept.
    """
    kept = []
    for index, (seconds, objective) in enumerate(points):
        is_end = index == len(points) - 1
        if is_end or not kept or seconds - ready >= step * (kept[-1][0] - ready):
            kept.append([seconds, objective])
    return kept


def cases(runs):
    return list(dict.fromkeys(run["case"] for run in runs))


def programs(runs, case):
    return list(dict.fromkeys(run["program"] for run in runs if run["case"] == case))


def of(runs, case, program):
    """Returns the runs of a program, by round."""
    return {r["round"]: r for r in runs if (r["case"], r["program"]) == (case, program)}


def optimum(runs, case):
    """Returns the best objective that any program has found."""
    return min(objective for r in runs if r["case"] == case for _, objective in r["points"])


def seconds_to(run, objective):
    """Returns the seconds until the run had a point that is as good, or None."""
    return next((seconds for seconds, found in run["points"] if found <= objective), None)


def gap_curve(run, best, floor=1e-10):
    """Returns [(seconds, gap)] with gaps that fall: (objective - best) / best, but at least
    `floor`, at which the curve ends.
    """
    curve = []
    for seconds, objective in run["points"]:
        gap = max((objective - best) / best, floor)
        if not curve or gap < curve[-1][1]:
            curve.append((seconds, gap))
    return curve


def middle(runs):
    """Returns the run, of those by round, that took the median time to its last point."""
    ordered = sorted(runs.values(), key=lambda r: r["points"][-1][0])
    return ordered[(len(ordered) - 1) // 2]


def medians(runs, best):
    """Returns for each of GAPS the medians of the seconds from the start of the process and from
    when the data were read, or None if a round didn't get there.
    """
    result = []
    for gap in GAPS:
        times = [(seconds_to(r, best * (1 + gap)), r["ready"]) for r in runs.values()]
        if any(seconds is None for seconds, _ in times):
            result.append(None)
            continue
        result.append(
            (
                statistics.median(seconds for seconds, _ in times),
                statistics.median(seconds - ready for seconds, ready in times),
            )
        )
    return result


def bound_ratios(runs, anchor, slack=1e-5):
    """Returns Levin's time over the anchor's, for each round that has both, until the objective at
    which scikit-learn's newton-cg ends, plus `slack`. If the anchor didn't get there, the ratio
    with the time after which it was stopped is larger than the true one.
    """
    ends = of(runs, BOUND_CASE, "scikit-learn newton-cg")
    levin, other = of(runs, BOUND_CASE, BOUND_SOLVER), of(runs, BOUND_CASE, anchor)
    ratios = []
    for index in sorted(ends.keys() & levin.keys() & other.keys()):
        target = ends[index]["points"][-1][1] + slack
        own = seconds_to(levin[index], target)
        others = seconds_to(other[index], target) or other[index]["points"][-1][0]
        ratios.append(float("inf") if own is None else own / others)
    return ratios


def seconds_to_test_loss(run, loss=TEST_LOSS):
    """Returns the seconds until the run's log-loss on the test rows, to three digits, was `loss`,
    or None.
    """
    points = run.get("test_points", [])
    return next((seconds for seconds, found in points if round(found, 3) <= loss), None)


def test_ratios(runs):
    """Returns Levin's time over the anchor's, for each round that has both, until the log-loss of
    the bound. If the anchor didn't get there, the ratio is larger than the true one.
    """
    levin, other = of(runs, TEST_CASE, TEST_SOLVER), of(runs, TEST_CASE, TEST_BOUND[0])
    ratios = []
    for index in sorted(levin.keys() & other.keys()):
        own = seconds_to_test_loss(levin[index])
        others = seconds_to_test_loss(other[index]) or other[index]["points"][-1][0]
        ratios.append(float("inf") if own is None else own / others)
    return ratios
