"""Tests the model, the tables and the plot of ./run bench links on invented runs."""

import dataclasses
import unittest
import xml.etree.ElementTree

import link_costs
import link_suite
import plot_links
import report

BYTES = {"all-reduce, float32": 2e6, "one_bit": 7e4, "powersgd": 1e4}
COMPUTE = {"all-reduce, float32": 0.010, "one_bit": 0.018, "powersgd": 0.014}
EAGER, RING, WIRE = 1.1, 2.0, 1.05


def step_seconds(way, link, ranks):
    """What a step takes if the model is true."""
    eager, ring, share = link_costs.costs(way, ranks)
    on_the_wire = 8 * share * BYTES[way] / (link["rate"] * 1e6)
    delays = link["delay"] * 1e-3 * (EAGER * eager + RING * ring)
    return COMPUTE[way] + delays + WIRE * on_the_wire


def invented(rounds=3):
    records = []
    for index in range(rounds):
        for way in BYTES:
            for link in map(dataclasses.asdict, link_suite.LINKS):
                # Lost packets cost what the model doesn't know.
                seconds = step_seconds(way, link, link["ranks"]) * (1 + 20 * link["loss"])
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

    def test_ways_that_meet_seldom_share_a_meeting_among_their_steps(self):
        self.assertEqual(link_costs.costs("local_sgd", 4, period=8)[1], 6 / 8)


class Model(unittest.TestCase):
    def test_finds_the_numbers_that_made_the_times(self):
        model = link_costs.Model(invented())
        for found, true in zip(model.numbers, [*COMPUTE.values(), EAGER, RING, WIRE]):
            self.assertAlmostEqual(found, true, places=9)
        fitted, others = model.errors()
        self.assertLess(max(map(abs, fitted + others)), 1e-9)

    def test_predicts_ranks_that_nobody_has_run(self):
        model = link_costs.Model(invented())
        link = dataclasses.asdict(link_suite.LINKS[0])
        for way in BYTES:
            expected = step_seconds(way, link, 1024)
            self.assertAlmostEqual(model.seconds(way, link, 1024), expected, places=6)

    def test_needs_enough_links(self):
        records = [r for r in invented() if r["link"]["name"] == link_suite.LINKS[0].name]
        self.assertIsNone(link_costs.Model(records).numbers)
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
        self.assertIn("eager = 1.10, ring = 2.00, wire = 1.05", text)
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


class Ways(unittest.TestCase):
    def test_are_named_once_and_begin_with_what_they_are_compared_with(self):
        names = [way.name for way in link_suite.WAYS]
        self.assertEqual(names[0], link_costs.REFERENCE)
        self.assertEqual(len(names), len(set(names)))


if __name__ == "__main__":
    unittest.main()
