"""Tests the model, the tables and the plot of ./run bench links on invented runs."""

import dataclasses
import unittest
import xml.etree.ElementTree

import link_costs
import link_suite
import plot_links
import plot_timeline
import report

BYTES = {"all-reduce, float32": 2e6, "one_bit": 7e4, "powersgd": 1e4}
COMPUTE = {"all-reduce, float32": 0.010, "one_bit": 0.018, "powersgd": 0.014}
DELAYS = {"all-reduce, float32": 3.8, "one_bit": 1.2, "powersgd": 2.4}  # of two ranks
WIRE = {"all-reduce, float32": 1.05, "one_bit": 1.5, "powersgd": 1.75}
CORES = 2


def delays(way, ranks):
    """The messages that follow each other, as multiples of those of two ranks."""
    rings = {"powersgd": 2, "one_bit": 1}.get(way, 0)
    if rings > 0 and ranks > 64:  # the turns of as many all-reduces
        return rings * (ranks - 1) * DELAYS["all-reduce, float32"]
    return DELAYS[way] * (1 if way in ("one_bit", "powersgd") else ranks - 1)


def step_seconds(way, link, ranks, cores=None):
    """What a step takes if the model is true."""
    on_the_wire = 8 * link_costs.costs(way, ranks)[2] * BYTES[way] / (link["rate"] * 1e6)
    compute = COMPUTE[way] * (max(1, ranks / cores) if cores else 1)
    return compute + link["delay"] * 1e-3 * delays(way, ranks) + WIRE[way] * on_the_wire


def invented(rounds=3):
    records = []
    for index in range(rounds):
        for way in BYTES:
            for link in map(dataclasses.asdict, link_suite.LINKS):
                # Lost packets cost what the model doesn't know.
                seconds = step_seconds(way, link, link["ranks"], CORES) * (1 + 20 * link["loss"])
                steps = 200 + index
                records.append(
                    {"way": way, "link": link, "round": index, "steps": steps, "period": 1}
                    | {"step_seconds": seconds, "seconds": seconds * steps, "is_whole": False}
                    | {"bytes_a_step": BYTES[way] * link_costs.costs(way, link["ranks"])[2]}
                )
    return records


class Costs(unittest.TestCase):
    def test_a_ring_sends_less_than_twice_the_bytes_whatever_the_ranks(self):
        self.assertEqual(link_costs.costs("fp16", 2), (0, 2, 1))
        self.assertEqual(link_costs.costs("fp16", 4), (0, 6, 1.5))
        self.assertLess(link_costs.costs("fp16", 1024)[2], 2)

    def test_few_ranks_send_packed_gradients_at_once(self):
        self.assertEqual(link_costs.costs("one_bit", 4), (1, 0, 3))
        self.assertEqual(link_costs.costs("powersgd", 4), (2, 0, 3))
        self.assertEqual(link_costs.costs("powersgd", 16), (0, 60, 1.875))


class Model(unittest.TestCase):
    def test_finds_the_numbers_that_made_the_times(self):
        model = link_costs.Model(invented(), CORES)
        for way in BYTES:
            found = model.numbers[way]
            self.assertAlmostEqual(found.compute, COMPUTE[way], places=9)
            self.assertAlmostEqual(found.delays, DELAYS[way], places=9)
            self.assertAlmostEqual(found.wire, WIRE[way], places=9)
        fitted, others = model.errors()
        self.assertEqual(len(others), len(BYTES))
        self.assertLess(max(map(abs, fitted + others)), 1e-9)

    def test_ranks_that_share_cores_compute_longer(self):
        others = link_costs.Model(invented()).errors()[1]  # as if each had a core of its own
        self.assertGreater(max(map(abs, others)), 0.1)

    def test_counts_the_bytes_of_each_record_by_themselves(self):
        records = invented()
        for record in records:
            if record["link"]["rate"] == 1000:  # their first steps send more, for example
                on_the_wire = 8 * record["bytes_a_step"] / 1e9
                record["step_seconds"] += WIRE[record["way"]] * on_the_wire
                record["bytes_a_step"] *= 2
        model = link_costs.Model(records, CORES)
        self.assertLess(max(map(abs, model.errors()[0])), 1e-9)
        self.assertEqual(model.bytes("one_bit", 2), BYTES["one_bit"])

    def test_predicts_ranks_that_nobody_has_run(self):
        model = link_costs.Model(invented())
        link = dataclasses.asdict(link_suite.LINKS[0])
        for way in BYTES:
            expected = step_seconds(way, link, 1024)
            self.assertAlmostEqual(model.seconds(way, link, 1024), expected, places=6)

    def test_needs_enough_links(self):
        records = [r for r in invented() if r["link"]["name"] == link_suite.LINKS[0].name]
        self.assertEqual(link_costs.Model(records).numbers, {})
        self.assertTrue(report.link_tables(records))
        self.assertIn("<svg", plot_links.draw(records))


class Report(unittest.TestCase):
    def test_holds_the_bounds_against_the_first_link(self):
        checks = report.link_checks(invented())
        self.assertEqual([c.verdict() for c in checks], ["ok", "ok", "ok"])
        slow = [r | {"seconds": 20.0} if r["way"] == "powersgd" else r for r in invented()]
        verdicts = [c.verdict() for c in report.link_checks(slow)]
        self.assertEqual(verdicts, ["ok", "FALLS SHORT", "ok"])
        self.assertEqual(report.link_checks([]), [])

    def test_tables_have_a_row_for_each_way(self):
        text = "\n\n".join(report.link_tables(invented()))
        for way in BYTES:
            self.assertEqual(text.count(f"\n| {way} |"), 3)
        self.assertIn("| one_bit | 18.0 | 1.20 | 1.50 |", text)
        self.assertIn("1024 ranks", text)

    def test_compares_within_a_round_only(self):
        records = [r for r in invented() if r["round"] == 0 or r["way"] != "one_bit"]
        self.assertEqual(len(link_costs.ratios(records, "one_bit", "seconds")), 1)


class Plot(unittest.TestCase):
    def test_shows_each_way_in_the_legend_and_in_both_panels(self):
        root = xml.etree.ElementTree.fromstring(plot_links.draw(invented()))
        texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        for way in BYTES:
            self.assertEqual(texts.count(way), 1)
        markers = [node for node in root if node.tag.endswith(("circle", "polygon"))]
        squares = [node for node in root if node.get("width") == "11"]
        self.assertEqual(len(markers) + len(squares), 3 * len(BYTES))
        lines = [node for node in root if node.tag.endswith("polyline")]
        self.assertEqual(len(lines), len(BYTES))


class Timeline(unittest.TestCase):
    @staticmethod
    def event(rank, name, begin, length, step=3, thread=0, **more):
        places = {"pid": rank, "tid": thread, "ts": begin, "dur": length}
        kind = {"name": name, "cat": "communication" if thread else "training", "ph": "X"}
        return kind | places | {"args": {"step": step} | more}

    def trace(self, **passed):
        second = passed | {"stage": 1} if passed else {}  # of rank 1
        return {
            "traceEvents": [
                {"name": "process_name", "ph": "M", "pid": 0, "tid": 0, "args": {"name": "rank 0"}},
                self.event(0, "forward", 50, 10, step=2, **passed),
                self.event(0, "data", 90, 10),
                self.event(0, "forward", 100, 20, **passed),
                self.event(0, "idle", 120, 40),
                self.event(0, "backward", 160, 40, **passed),
                self.event(0, "update", 200, 30),
                self.event(0, "layers", 110, 50, thread=1, bytes=8),
                self.event(1, "idle", 100, 20),
                self.event(1, "forward", 120, 20, **second),
                self.event(1, "backward", 140, 20, **second),
                self.event(1, "idle", 160, 60),
            ]
        }

    def texts(self, trace):
        root = xml.etree.ElementTree.fromstring(plot_timeline.draw(trace, 3))
        return [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]

    def test_shows_the_passes_of_one_step_and_the_share_that_each_rank_waits(self):
        trace = self.trace(stage=0, micro_batch=7)
        ranks, begin, end = plot_timeline.events_of(trace, 3)
        self.assertEqual((begin, end), (100, 200))
        names = ["forward", "idle", "backward", "layers"]
        self.assertEqual([event["name"] for event in ranks[0]], names)
        self.assertAlmostEqual(plot_timeline.idle_share(ranks[0], begin, end), 0.4)
        self.assertAlmostEqual(plot_timeline.idle_share(ranks[1], begin, end), 0.6)
        texts = self.texts(trace)
        self.assertEqual([t for t in texts if "idle" in t], ["40% idle", "60% idle"])
        self.assertEqual(texts.count("7"), 4)
        self.assertIn("layers", texts)
        self.assertIn("Step 3 in a pipeline of 2 ranks: 0.1 ms", texts)

    def test_tells_several_pipelines_from_one(self):
        events = {}
        for rank in range(4):
            events[rank] = [self.event(rank, "forward", 0, 9, stage=rank // 2, micro_batch=0)]
        place = plot_timeline.place_of_pipeline(events)
        self.assertEqual(place, "in pipelines on 4 ranks, 2 at each stage")

    def test_shows_a_step_without_a_pipeline_until_its_last_update(self):
        _, begin, end = plot_timeline.events_of(self.trace(), 3)
        self.assertEqual((begin, end), (100, 230))
        self.assertIn("update", self.texts(self.trace()))
        with self.assertRaises(ValueError):
            plot_timeline.events_of(self.trace(), 7)


class Ways(unittest.TestCase):
    def test_are_named_once_and_begin_with_what_they_are_compared_with(self):
        names = [way.name for way in link_suite.WAYS]
        self.assertEqual(names[0], link_costs.REFERENCE)
        self.assertEqual(len(names), len(set(names)))


if __name__ == "__main__":
    unittest.main()
