"""Tests the tables, the bounds and the plot of ./run bench serving on invented loads."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

import plot_serving
import report
import serving_suite
import serving_tables

RATES = {"levin, rows": 20.0, "levin, V2 JSON": 22.0, "levin, V2 binary": 66.0, "FastAPI": 1.0}


def figures(rate, p99, connections):
    latency = {"p50": p99 / 3, "p90": p99 / 2, "p99": p99, "p99.9": 2 * p99, "max": 3 * p99}
    counts = {"requests": 1000, "answered": 1000, "refused": 0, "failed": 0}
    counts |= {"broken": 0, "expired": 0, "unfinished": 0}
    return counts | {
        "throughput": rate,
        "seconds": 60.0,
        "rate": rate / 2,
        "connections": connections,
        "generator_load": 0.25,
        "latency_ms": latency,
    }


def invented(rounds=3):
    records = []
    for index in range(rounds):
        for program, share in RATES.items():
            for connections in serving_suite.CONNECTIONS:
                record = {"kind": "closed", "program": program, "round": index}
                records.append(record | figures(500 * share * (1 + index / 10), 4.0, connections))
            if program.startswith("levin, V2"):
                record = {"kind": "many rows", "program": program, "round": index, "rows": 16}
                records.append(record | figures(100 * share, 4.0, 32))
                record = {"kind": "apart", "program": program, "round": index}
                records.append(record | figures(50 * share, 4.0, 128))
            record = {"kind": "half", "program": program, "round": index, "pause_p99_ms": 0.2}
            records.append(record | figures(300 * share, 1.0 + index, 128))
    return records


def soak(growth, lost=0):
    """An hour whose memory grows by a share of 100 MiB in its second half."""
    memory = [
        {"seconds": 10.0 * k, "mib": 100 + max(0, k - 180) / 180 * 100 * growth, "threads": 8}
        for k in range(361)
    ]
    minutes = [figures(500, 4.0, 64) for _ in range(60)]
    minutes[7]["answered"] -= lost
    minutes[7]["broken"] += lost
    return {"maximum": 1000.0, "rate": 800.0, "minutes": minutes, "memory": memory}


def verdicts(results):
    return {check.what: check.verdict() for check in serving_tables.checks(results)}


def ends_soon(process, seconds=10.0):
    """Whether a process that was killed ends; until the system has done so, it is still there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state.split()[2] == "Z":
            return True
        time.sleep(0.01)
    return False


class ServingTest(unittest.TestCase):
    def test_ratios_are_those_of_the_same_round_and_connections(self):
        ratio = serving_tables.ratio(invented(), "levin, rows", "FastAPI", 8)
        for value in (ratio.low, ratio.median, ratio.high):
            self.assertAlmostEqual(value, 20.0)

    def test_the_ratio_of_maxima_takes_the_best_connections_of_either(self):
        records = invented()
        for record in records:
            if record["connections"] == 8 and record["program"] == "levin, V2 binary":
                record["throughput"] *= 2
        ratio = serving_tables.ratio_of_maxima(records, "levin, V2 binary", "levin, V2 JSON")
        self.assertAlmostEqual(ratio.median, 6.0)

    def test_bounds_hold_or_fall_short(self):
        found = verdicts({"serving": invented()})
        self.assertEqual(len(found), 4 + 3 + 1)
        self.assertEqual(set(found.values()), {"ok"})
        slow = invented()
        for record in slow:
            if record["program"] == "FastAPI":
                record["throughput"] *= 2.1
            if record["program"] == "levin, V2 JSON":
                record["throughput"] *= 2
            if record["kind"] == "half":
                record["latency_ms"]["p99"] *= 10
        self.assertEqual(set(verdicts({"serving": slow}).values()), {"FALLS SHORT"})

    def test_pauses_give_a_share_of_the_moments_a_wait(self):
        self.assertAlmostEqual(serving_suite.wait_of_share([4.0, 10.0], 6.0), 4.0)
        self.assertAlmostEqual(serving_suite.wait_of_share([4.0, 10.0], 10.0), 2.0)
        self.assertEqual(serving_suite.wait_of_share([4.0, 10.0], 14.5), 0.0)
        self.assertEqual(serving_suite.wait_of_share([], 1.0), 0.0)
        self.assertGreaterEqual(serving_suite.pause_p99_ms(0.02), 0.0)

    def test_a_soak_that_grows_or_loses_a_request_falls_short(self):
        self.assertAlmostEqual(serving_tables.growth(soak(0.0)["memory"]), 0.0)
        self.assertAlmostEqual(serving_tables.growth(soak(0.05)["memory"]), 0.05, places=2)
        self.assertEqual(list(verdicts({"soak": soak(0.0)}).values()), ["ok", "ok"])
        self.assertEqual(list(verdicts({"soak": soak(0.05)}).values()), ["FALLS SHORT", "ok"])
        self.assertEqual(list(verdicts({"soak": soak(0.0, 1)}).values()), ["ok", "FALLS SHORT"])

    def test_the_report_has_every_program_and_minute(self):
        results = {"serving": invented(), "soak": soak(0.0)}
        text = "\n\n".join(serving_tables.parts(results))
        for program in RATES:
            self.assertGreaterEqual(text.count(f"| {program} |"), 4)
        self.assertIn("16 rows a request, 32 connections", text)
        self.assertIn("| the server on one core, the generator on another |", text)
        self.assertEqual(text.count("| binary / JSON tensors | 3.00"), 2)
        self.assertIn("| 60 | 1,000 | 0 |", text)
        self.assertIn("60.0 minutes at 800 requests a second", text)
        self.assertIn("flat", text)
        lines = report.as_json({"machine": {}} | results).splitlines()
        self.assertEqual(sum('"program"' in line for line in lines), len(invented()))
        self.assertEqual(json.loads("\n".join(lines))["serving"], invented())

    def test_a_run_without_serving_adds_nothing(self):
        self.assertEqual(serving_tables.checks({}), [])
        self.assertEqual(serving_tables.parts({"serving": []}), [])

    def test_the_plot_is_svg_with_a_curve_for_each_program_in_both_panels(self):
        root = xml.etree.ElementTree.fromstring(plot_serving.draw(invented()))
        curves = [each for each in root.iter() if each.tag.endswith("polyline")]
        self.assertEqual(len(curves), 2 * len(RATES))

    def test_a_server_ends_with_its_children_and_says_why_it_does_not_start(self):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log"
            program = (
                "import os, sys, time; os.fork(); print(os.getpid(), flush=True); time.sleep(3600)"
            )
            command = [sys.executable, "-c", program]
            with serving_suite.Server("forks", command, 1, log) as server:
                server.wait_until(lambda: len(log.read_text().split()) == 2)
                children = list(map(int, log.read_text().split()))
            for child in children:
                self.assertTrue(ends_soon(child), "a child of a server lives on")
            failing = [sys.executable, "-c", "raise OSError('no')"]
            with serving_suite.Server("x", failing, 1, log) as s:
                with self.assertRaisesRegex(RuntimeError, "x: OSError: no"):
                    s.wait_until(lambda: False)

    def test_servers_stand_still_and_go_on(self):
        command = [sys.executable, "-c", "import time; time.sleep(3600)"]

        def state(server):
            stat = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text(encoding="utf-8")
            return stat.rsplit(")", 1)[1].split()[0]

        def becomes(server, is_wanted):
            end = time.monotonic() + 10.0
            while time.monotonic() < end and not is_wanted(state(server)):
                time.sleep(0.01)
            return is_wanted(state(server))

        with tempfile.TemporaryDirectory() as folder:
            with serving_suite.Server("sleeps", command, 1, f"{folder}/log") as server:
                with serving_suite.stopped([server]):
                    self.assertTrue(becomes(server, lambda s: s == "T"))
                self.assertTrue(becomes(server, lambda s: s != "T"))

    def test_a_command_is_kept_on_some_processors(self):
        one = min(os.sched_getaffinity(0))
        command = [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"]
        said = subprocess.run(
            [*serving_suite.on_processors([one]), *command], capture_output=True, text=True
        )
        self.assertEqual(said.stdout.strip(), f"{{{one}}}")
        self.assertEqual(serving_suite.on_processors([]), [])

    def test_ports_are_free_and_tell_whether_somebody_listens(self):
        port = serving_suite.free_port()
        self.assertFalse(serving_suite.listens(port))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            listener.listen()
            self.assertTrue(serving_suite.listens(port))


if __name__ == "__main__":
    unittest.main()
