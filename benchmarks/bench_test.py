"""Tests the arithmetic, the tables and the plot of ./run bench on invented rounds."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree

import bench
import plot_cpu_gpu
import plot_solvers
import report
import solver_curves
import solver_suite
import sparse_suite


def record(case, program, index, seconds, **more):
    return {
        "suite": "lr",
        "case": case,
        "program": program,
        "round": index,
        "steps_per_epoch": 100,
        "epoch_seconds": seconds,
        "peak_bytes": 100,
        "grown_bytes": 10,
        "accuracy": 0.9,
        "built": "by hand",
    } | more


def results(records, **more):
    machine = {
        "date": "2000-01-02",
        "cpu": "an abacus",
        "cores": 1,
        "memory_gib": 1.0,
        "system": "none",
        "load_before": 0.0,
        "commit": "c0ffee",
    }
    return {
        "machine": machine,
        "command": "./run bench",
        "rounds": records,
        "texts": {},
        "failures": {},
    } | more


LR = report.logistic(128)


class Page(unittest.TestCase):
    def test_of_speed_shows_the_table_of_the_results_it_names(self):
        page = (bench.ROOT / "docs/speed.md").read_text()
        text = re.search(r"\n## On a CPU\n(.*?)\n\|", page, re.DOTALL).group(1)
        names = re.findall(r"\(\.\./benchmarks/(results/[\w-]+)\.md\)", text)
        self.assertTrue(names)
        results = [json.loads((bench.HERE / f"{name}.json").read_text()) for name in names]
        self.assertIn(f"\n\n{report.short_table(*results)}\n\n", page)


class Report(unittest.TestCase):
    def test_leaves_the_first_epoch_out(self):
        self.assertEqual(
            report.step_microseconds(record(LR, "levin", 0, [9.0, 1.0, 3.0, 2.0])), 20000
        )
        self.assertEqual(report.step_microseconds(record(LR, "levin", 0, [9.0])), 90000)

    def test_compares_within_a_round_only(self):
        # The second round was run by a machine half as fast, and lacks the limit.
        rounds = report.Rounds(
            [
                record(LR, "levin", 0, [0, 1.0]),
                record(LR, "lightning", 0, [0, 12.0]),
                record(LR, "levin", 1, [0, 2.0]),
                record(LR, "lightning", 1, [0, 26.0]),
                record(LR, "levin", 2, [0, 1.0]),
                record(LR, "lightning", 2, [0, 15.0]),
                record(LR, "limit", 2, [0, 0.5]),
            ]
        )
        self.assertEqual(rounds.ratio(LR, "lightning", "levin"), report.Spread(13, 12, 15))
        self.assertEqual(rounds.ratio(LR, "limit", "levin"), report.Spread(0.5, 0.5, 0.5))
        self.assertIsNone(rounds.ratio(LR, "pytorch", "levin"))

    def test_says_what_holds_what_falls_short_and_what_was_not_measured(self):
        records = [
            record(LR, "levin", 0, [0, 1.0]),
            record(LR, "lightning", 0, [0, 11.9]),
            record(LR, "hand_written", 0, [0, 2.5]),
        ]
        text = report.markdown(results(records))
        self.assertIn("Lightning's time / Levin's | at least 12 | 11.9 | FALLS SHORT |", text)
        self.assertIn("Levin / hand-written loop | at most 0.45 | 0.400 | ok |", text)
        self.assertIn("Levin / limit | at most 1.4 | - | not measured |", text)

    def test_reads_what_step_overhead_prints(self):
        text = (
            "empty loop over the reader         median 0.100 us a step (min 0.090, max 0.110)\n"
            "Trainer, empty training_step: adds median 0.300 us a step (min 0.100, max 2.600)\n"
            "a loss, all hooks, a step: adds    median 0.900 us a step (min 0.800, max 2.600)\n"
            "its row in TensorBoard's file: adds median 0.500 us a step (min 0.400, max 0.600)\n"
            "60,000 rows permuted in            median 0.400 ms (min 0.300, max 1.600)\n"
        )
        empty, whole, row, order = report.step_overhead_checks(text)
        self.assertEqual(empty.measured, report.Spread(0.3, 0.1, 2.6))
        self.assertEqual(empty.verdict(), "FALLS SHORT")
        self.assertEqual(whole.verdict(), "ok")
        self.assertEqual(row.measured, report.Spread(0.5, 0.4, 0.6))
        self.assertEqual(order.measured, report.Spread(0.4, 0.3, 1.6))
        self.assertEqual(order.verdict(), "ok")
        for check in report.step_overhead_checks("nothing of the kind"):
            self.assertEqual(check.verdict(), "not measured")

    def test_reads_what_failure_prints_and_holds_the_worst_round_against_the_bound(self):
        text = (
            "10 rounds of 3 ranks; from the failure of one until the launcher has ended\n"
            "kill -9                              median 0.600 s (min 0.500, max 1.900)\n"
            "an exception                         median 0.700 s (min 0.500, max 2.100)\n"
            "SIGSTOP, heartbeat_timeout 1 s       median 2.500 s (min 2.400, max 2.900)\n"
        )
        checks = report.failure_checks(text)
        self.assertEqual([check.verdict() for check in checks], ["ok", "FALLS SHORT", "ok"])
        self.assertEqual(checks[2].measured, report.Spread(2.5, 2.4, 2.9))
        self.assertIn("| at most 2 s in every round | 0.700 s (0.500-2.10) |", checks[1].row())
        (kill, _, _) = report.stage_failure_checks(text)
        self.assertEqual(kill.measured, report.Spread(0.6, 0.5, 1.9))
        self.assertIn("all stages end after kill -9", kill.row())
        (kill, _, _) = report.server_failure_checks(text)
        self.assertIn("all ranks of parameter servers end after kill -9", kill.row())
        for check in report.failure_checks("nothing of the kind"):
            self.assertEqual(check.verdict(), "not measured")

    def test_reads_the_seconds_of_commands(self):
        text = (
            "levin list    median 0.200 s (min 0.190, max 1.500)\n"
            "levin --help  median 1.200 s (min 0.190, max 1.500)\n"
        )
        checks = report.commands_checks(text)
        self.assertEqual([check.verdict() for check in checks], ["ok", "FALLS SHORT"])

    def test_holds_each_kind_of_regressions_at_once_against_the_bound(self):
        text = (
            "training, regression, Adam               5.6 ms     41.4 ms   7.3 (6.7 to 7.7)\n"
            "training, net of 32 units, Adam         13.6 ms    304.7 ms   22.3 (20.6 to 23.3)\n"
            "trials, regression, Adam                40.5 ms    454.8 ms   10.6 (7.5 to 15.0)\n"
        )
        checks = report.tuning_checks(text)
        self.assertEqual([check.verdict() for check in checks], ["ok", "FALLS SHORT"])
        self.assertEqual(checks[0].measured, report.Spread(7.3, 6.7, 7.7))

    def test_reads_what_threads_prints(self):
        text = (
            "load  model                 batch  default       1     all    auto default/better\n"
            "idle  logistic regression      32    105.0   100.0   300.0   120.0  1.050 (0.9-1.2)\n"
            "busy  MLP 784-128-10          512   8000.0  9000.0  6000.0  7000.0  1.333 (1.1-1.4)\n"
        )
        checks = report.threads_checks(text)
        self.assertEqual([check.verdict() for check in checks], ["ok", "FALLS SHORT"])
        self.assertIn("MLP 784-128-10, batch 512, busy machine", checks[1].what)
        self.assertEqual(checks[1].measured, report.Spread(1.333, 1.1, 1.4))

    def test_reads_what_hogwild_prints(self):
        def table(gain, loss_of_threads, loss_of_processes):
            return (
                "columns\n                           rows/s  to one thread   log-loss\n"
                "without Hogwild           2145688           1.16    0.60919\n"
                "1 thread                  1853102           1.00    0.60919\n"
                f"2 threads                 3679020           {gain}    {loss_of_threads}\n"
                "1 process                 1453102           0.90    0.60919\n"
                f"2 processes               2879020           1.70    {loss_of_processes}\n"
            )

        text = table("1.99", "0.60920", "0.62000") + "\n" + table("0.50", "0.9", "0.9")
        checks = report.hogwild_checks(text)
        self.assertEqual([check.verdict() for check in checks], ["ok", "ok", "FALLS SHORT"])
        self.assertEqual(report.hogwild_checks("nothing of the kind"), [])

    def test_reads_what_roofline_prints(self):
        def row(model, batch, share, faster, us):
            return (
                f"{model:27s} {batch:6d} {us:10.1f}     40.1    4.00  memory      "
                f"{share:.3f} (0.500-0.800)   {faster:.2f} (0.90-1.90)\n"
            )

        text = (
            "one core: GFLOP/s median 170.0 (min 160.0, max 180.0); GB/s median 11.0 (min 9.0, "
            "max 12.0)\n"
            + row("logistic regression", 128, 0.7, 1.0, 100.0)
            + row("logistic regression", 512, 0.6, 1.8, 400.0)
            + row("logistic regression, uint8", 512, 0.5, 1.6, 200.0)
            + row("MLP 784-32-10", 128, 0.35, 1.1, 300.0)
        )
        checks = report.roofline_checks(text)
        lr, two = "logistic regression", "one thread's time / that of all"
        self.assertEqual(
            [(check.what, check.verdict()) for check in checks],
            [
                (f"{lr}, batch 128: share of what binds one core", "ok"),
                (f"{lr}, batch 512: share of what binds one core", "FALLS SHORT"),
                (f"{lr}, batch 512: {two}", "ok"),
                (f"{lr}, uint8, batch 512: {two}", "FALLS SHORT"),
                (f"{lr}, batch 512: float32 / uint8", "ok"),
            ],
        )
        self.assertEqual(checks[0].measured, report.Spread(0.7, 0.5, 0.8))
        self.assertEqual(report.roofline_checks("nothing")[0].verdict(), "not measured")

    def test_reads_what_sparse_prints(self):
        text = (
            "text to model, Levin / Vowpal Wabbit (1.459 s): 0.27\n"
            "no penalty: largest multiple / that of 2^16 columns: 2.00\n"
            "l1: largest multiple / that of 2^16 columns: 1.30\n"
            "l2: largest multiple / that of 2^16 columns: 1.00\n"
        )
        checks = report.sparse_checks(text)
        self.assertEqual([c.measured.median for c in checks], [1.3, 1.0, 0.27])
        self.assertEqual([c.verdict() for c in checks], ["FALLS SHORT", "ok", "ok"])
        alone = report.sparse_checks("text to model: 0.400 s, 0.75 M rows/s\n")
        self.assertEqual([c.verdict() for c in alone], ["not measured", "not measured"])

    def test_reads_what_the_parts_on_the_sparse_set_print(self):
        text = (
            f"text to model, one core, levin fit: {sparse_suite.spread([1.0])}\n"
            f"text to model, one core, levin / vw: {sparse_suite.spread([0.5, 0.7, 0.6], '')}\n"
        )
        (check,) = report.text_to_model_checks(text)
        self.assertEqual(check.measured, report.Spread(0.6, 0.5, 0.7))
        self.assertEqual(check.verdict(), "ok")
        text = (
            f"libsvm text, levin: {sparse_suite.spread([390, 410, 399], 'MB/s', 0)}\n"
            "libsvm text, memory that it takes: 312 MB\n"
        )
        checks = report.parsing_checks(text)
        self.assertEqual([c.verdict() for c in checks], ["FALLS SHORT", "ok"])
        self.assertEqual(checks[0].measured, report.Spread(399, 390, 410))
        online = "online Adagrad, an epoch of the Trainer"
        text = (
            f"{online}: {sparse_suite.spread([3.5, 2.5, 3.25], 'M rows/s', 2)}\n"
            "online Adagrad, log-loss of the test rows: 0.46612\n"
            f"objective and gradient, 1,000,000 rows: {sparse_suite.spread([0.15])}\n"
        )
        verdicts = [c.verdict() for c in report.learning_checks(text)]
        self.assertEqual(verdicts, ["ok", "not measured", "FALLS SHORT", "ok"])
        text = "generator, largest peak memory: 700 MB\nshards, largest peak memory: 1501 MB\n"
        text += "generator, peak memory of the most rows / of the fewer before: 1.200\n"
        verdicts = [c.verdict() for c in report.many_rows_checks(text)]
        self.assertEqual(verdicts, ["ok", "FALLS SHORT", "FALLS SHORT"])
        for name in sparse_suite.PARTS:
            for check in report.TEXTS[name][1]("nothing of the kind"):
                self.assertEqual(check.verdict(), "not measured")

    def test_holds_the_worst_of_the_solvers_against_the_promised_exactness(self):
        def record(solver, gap, distance, is_stopped=False):
            found = {"case": "mnist, l1", "solver": solver, "beside": "saga", "seconds": 1.0}
            found |= {"gap": gap, "distance": distance, "is_stopped": is_stopped, "penalty": "l1"}
            found |= {"violation": 3e-12, "zeros": 7}
            return found | {"differing_zeros": 1, "largest_differing": 2e-5}

        records = [
            record("lbfgs", -2e-6, 1e-5),
            record("saga", 1e-9, 2e-5),
            record("coordinate-descent", 0.0, 9e-5, is_stopped=True),
        ]
        checks = report.exact_checks(records)
        verdicts = [c.verdict() for c in checks]
        self.assertEqual(verdicts, ["FALLS SHORT", "ok", "FALLS SHORT"])
        self.assertIn("the worst of 3 solvers, beside scikit-learn saga's", checks[0].what)
        self.assertIn("| at most 1e-06 | 2.0e-06 | FALLS SHORT |", checks[0].row())
        text = report.markdown(results([], exactness=records))
        line = "| saga | saga | 1.0e-09 | 2.0e-05 | 3.0e-12 | 7; 1 (up to 2e-05) | 1.0 |"
        self.assertIn(line, text)
        self.assertIn("| 1.0, stopped |", text)
        self.assertEqual(report.exact_checks([]), [])

    def test_reads_what_parameter_server_prints(self):
        text = """64 MiB of float32, GB/s of all workers, and shares of TCP's throughput
workers servers  TCP send      push  TCP recv      pull    push    pull    both
      1       1      2.00      1.70      2.10      2.00    0.85    0.95    0.90
      1       2      2.00      1.00      2.10      2.00    0.50    0.95    0.72
"""
        (check,) = report.TEXTS["parameter_server"][1](text)
        self.assertEqual(check.measured.median, 0.9)
        self.assertEqual(report.TEXTS["parameter_server"][1]("nothing of the kind"), [])

    def test_reads_what_scaling_prints(self):
        def section(size, faster, by_hand):
            return (
                f"batch {size} a rank, 5 rounds\n"
                "ddp, 2 ranks    9000   28444   (us: 8900-9100)\n"
                f"2 ranks / 1 rank, rows a second, Levin: {faster} (1.200-1.900)\n"
                f"2 ranks, time of a step: Levin / hand-written: {by_hand} (1.000-1.200)\n"
                "1 rank, time of a step: ddp / single_device: 1.010 (1.000-1.060)\n"
            )

        text = section(128, 1.3, 1.02) + section(512, 1.75, 1.1) + section(64, 1.6, 1.06)
        text += "where the time of two ranks goes, batch 128 a rank\n"
        checks = report.scaling_checks(text)
        verdicts = [check.verdict() for check in checks]
        self.assertEqual(verdicts, ["ok", "ok", "ok", "ok", "FALLS SHORT", "ok"])
        self.assertEqual(checks[0].measured, report.Spread(1.02, 1.0, 1.2))
        self.assertEqual(checks[1].measured, report.Spread(1.01, 1.0, 1.06))
        self.assertEqual(checks[2].measured, report.Spread(1.75, 1.2, 1.9))
        for check in report.scaling_checks("nothing of the kind"):
            self.assertEqual(check.verdict(), "not measured")

    def test_reads_what_stream_prints(self):
        text = (
            "20.00 GB in 19 shards of float32, batch 512, 1 workers; anonymous before: 70 MB\n"
            "read() 1.00 GB/s (0.2 CPU s/GB)  levin 0.85 GB/s (0.3), of read() 0.85, of O\n"
            "read() 1.00 GB/s (0.2 CPU s/GB)  levin 0.90 GB/s (0.3), of read() 0.90, of O\n"
            "levin of read(), median: 0.90; anonymous memory at most 1200 MB\n"
        )
        speed, memory = report.stream_checks(text)
        self.assertEqual(speed.measured, report.Spread(0.875, 0.85, 0.9))
        self.assertEqual([speed.verdict(), memory.verdict()], ["ok", "FALLS SHORT"])

    def test_reads_what_checkpoints_prints(self):
        text = "a checkpoint of 400 MB; medians of 5 rounds; in ms\n"
        self.assertEqual(report.checkpoints_checks(text)[0].verdict(), "not measured")
        text += "longest step, thread/training: 0.125 (0.100-0.600)\n"
        check = report.checkpoints_checks(text)[0]
        self.assertEqual(check.measured, report.Spread(0.125, 0.1, 0.6))
        self.assertEqual(check.verdict(), "ok")

    def test_names_what_was_left_out(self):
        text = report.markdown(results([], failures={"lightning": "no network"}))
        self.assertIn("- lightning: no network", text)

    def test_writes_rounds_that_can_be_read_again(self):
        before = results([record(LR, "levin", 0, [0.1, 0.2]), record(LR, "limit", 0, [0.1])])
        self.assertEqual(json.loads(report.as_json(before)), before)

    def test_writes_numbers_to_three_digits(self):
        written = [report.number(value) for value in (0, 0.012345, 0.5, 1.4, 13.25, 1234.5)]
        self.assertEqual(written, ["0", "0.0123", "0.500", "1.40", "13.2", "1,234"])


class Cases(unittest.TestCase):
    def test_run_levin_in_every_case_and_are_named_once(self):
        cases = bench.make_cases()
        self.assertEqual(len({case.name for case in cases}), len(cases))
        for case in cases:
            self.assertIn("levin", case.epochs, case.name)
            self.assertTrue(set(case.epochs) <= set(report.TITLES), case.name)

    def test_are_those_that_the_bounds_are_about(self):
        names = {case.name for case in bench.make_cases()}
        for batch_size in (32, 128, 512, 4096):
            self.assertIn(report.logistic(batch_size), names)
            self.assertIn(report.logistic(batch_size, ", uint8"), names)
        self.assertIn("MLP 784-512-512-10, batch 128", names)


def measured(cpu, gpu=None, name="a GPU"):
    """What bench_cpu_gpu writes if a fit of n rows and a step with n parameters take cpu(n) seconds
    on the CPU and gpu(n) on the GPU."""

    def seconds(size):
        return {"cpu": [cpu(size)]} | ({"gpu": [gpu(size)]} if gpu else {})

    rows = [128 * 4**k for k in range(7)]
    hidden = [4**k for k in range(7)]
    return {
        "cpu": {"name": "an abacus", "threads": 2},
        "gpu": {"name": name} if gpu else None,
        "libtorch": "0",
        "batch_size": 128,
        "hidden": 128,
        "data_size": [{"rows": n} | seconds(n) for n in rows],
        "model_size": [
            {"hidden": h, "parameters": 795 * h + 10} | seconds(795 * h + 10) for h in hidden
        ],
    }


class SparseSet(unittest.TestCase):
    def test_is_made_once_and_never_over_files_of_others(self):
        try:
            import numpy as np
        except ImportError:
            self.skipTest("numpy isn't here")
        sys.path.append(str(bench.HERE / "baselines"))
        import sparse_set

        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            with unittest.mock.patch.multiple(sparse_set, COLUMNS=1 << 12):
                sparse_set.make(folder / "set", 50, 10)
                before = (folder / "set" / "train.svm").stat().st_mtime_ns
                sparse_set.make(folder / "set", 50, 10)
            self.assertEqual((folder / "set" / "train.svm").stat().st_mtime_ns, before)
            svm, vw = (
                [
                    line.split()
                    for line in (folder / "set" / f"train.{kind}").read_text().splitlines()
                ]
                for kind in ("svm", "vw")
            )
            with np.load(folder / "set" / "train.npz") as file:
                self.assertEqual((len(svm), len(vw), len(file["y"])), (50, 50, 50))
                for row in range(50):
                    columns = file["indices"][file["indptr"][row] : file["indptr"][row + 1]]
                    self.assertTrue((np.diff(columns) > 0).all())
                    label = "1" if file["y"][row] else "-1"
                    self.assertEqual(svm[row], [label, *(f"{c + 1}:1" for c in columns)])
                    self.assertEqual(vw[row], [label, "|", *map(str, columns)])
            (folder / "other").mkdir()
            (folder / "other" / "precious.txt").write_text("mine")
            with self.assertRaisesRegex(SystemExit, "precious.txt"):
                sparse_set.make(folder / "other", 50, 10)


class Crossing(unittest.TestCase):
    def test_of_straight_lines_is_exact(self):
        cpu = [(n, 1e-6 * n) for n in (10, 100, 5000, 20000)]
        gpu = [(n, 1e-3) for n, _ in cpu]
        size, seconds = plot_cpu_gpu.crossing(cpu, gpu)
        self.assertAlmostEqual(size, 1000, places=6)
        self.assertAlmostEqual(seconds, 1e-3, places=12)

    def test_is_the_same_if_the_devices_are_exchanged(self):
        cpu, gpu = [(1, 1.0), (100, 4.0)], [(1, 3.0), (100, 1.0)]
        self.assertEqual(plot_cpu_gpu.crossing(cpu, gpu), plot_cpu_gpu.crossing(gpu, cpu))

    def test_may_be_a_measured_point(self):
        cpu, gpu = [(1, 1.0), (2, 2.0), (4, 4.0)], [(n, 2.0) for n in (1, 2, 4)]
        size, seconds = plot_cpu_gpu.crossing(cpu, gpu)
        self.assertAlmostEqual(size, 2)
        self.assertAlmostEqual(seconds, 2)

    def test_is_not_where_curves_touch(self):
        cpu, gpu = [(1, 1.0), (2, 2.0), (4, 1.0)], [(n, 2.0) for n in (1, 2, 4)]
        self.assertIsNone(plot_cpu_gpu.crossing(cpu, gpu))

    def test_is_the_last_of_several(self):
        cpu, gpu = [(1, 1.0), (10, 4.0), (100, 1.0), (10000, 4.0)], [1, 10, 100, 10000]
        size, _ = plot_cpu_gpu.crossing(cpu, [(n, 2.0) for n in gpu])
        self.assertAlmostEqual(size, 1000)

    def test_needs_sizes_that_both_have(self):
        self.assertIsNone(plot_cpu_gpu.crossing([(1, 1.0), (3, 3.0)], [(2, 2.0), (4, 2.0)]))
        self.assertIsNone(plot_cpu_gpu.crossing([(1, 1.0)], []))


class Plot(unittest.TestCase):
    def draw(self, *results, **more):
        """Returns the root of the SVG and its texts."""
        root = xml.etree.ElementTree.fromstring(plot_cpu_gpu.draw(measured(*results, **more)))
        return root, [element.text for element in root.iter(f"{self.SVG}text")]

    SVG = "{http://www.w3.org/2000/svg}"

    def test_marks_every_point_and_names_the_crossing(self):
        root, texts = self.draw(lambda n: 1e-6 * n, lambda n: 0.012)
        self.assertIn("crossing at 12,000 rows", texts)
        self.assertIn("crossing at 12,000 parameters", texts)
        self.assertIn("12 ms on both", texts)
        self.assertEqual(len(root.findall(f"{self.SVG}polyline")), 4)
        # A legend, seven points in each of two panels, and a ring around each crossing.
        self.assertEqual(len(root.findall(f"{self.SVG}circle")), 1 + 14 + 2)

    def test_says_which_device_is_faster_if_nothing_crosses(self):
        _, texts = self.draw(lambda n: 1e-6 * n, lambda n: 1e-7 * n)
        self.assertEqual(texts.count("no crossing: the GPU is faster at every size"), 2)
        _, texts = self.draw(lambda n: 1e-6 * n, lambda n: 1e-5 * n)
        self.assertEqual(texts.count("no crossing: the CPU is faster at every size"), 2)

    def test_without_gpu_says_so(self):
        root, texts = self.draw(lambda n: 1e-6 * n)
        self.assertIn("GPU: none was found", texts)
        self.assertEqual(texts.count("no crossing: only the CPU was measured"), 2)
        self.assertEqual(len(root.findall(f"{self.SVG}polyline")), 2)

    def test_escapes_names(self):
        _, texts = self.draw(lambda n: n, lambda n: 2 * n, name="<R&D> board")
        self.assertIn("GPU: <R&D> board", texts)

    def test_labels_hide_no_point_and_stay_inside(self):
        for gpu in (0.0002, 0.003, 0.05, 0.4, 1.9):
            root, _ = self.draw(lambda n: 1e-6 * n, lambda n, gpu=gpu: gpu + 1e-8 * n)
            points = [
                (float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{self.SVG}circle")
            ]
            labels = [r for r in root.iter(f"{self.SVG}rect") if r.get("rx")]
            self.assertEqual(len(labels), 2)
            for label in labels:
                x, y, width, height = (float(label.get(k)) for k in ("x", "y", "width", "height"))
                self.assertTrue(0 <= x and x + width <= plot_cpu_gpu.WIDTH)
                self.assertTrue(plot_cpu_gpu.TOP <= y and y + height <= plot_cpu_gpu.BOTTOM)
                hidden = [p for p in points if x <= p[0] <= x + width and y <= p[1] <= y + height]
                self.assertEqual(hidden, [], gpu)

    def test_needs_only_one_size(self):
        results = measured(lambda n: 1e-6 * n, lambda n: 1e-3)
        for panel in ("data_size", "model_size"):
            results[panel] = results[panel][:1]
        xml.etree.ElementTree.fromstring(plot_cpu_gpu.draw(results))

    def test_is_written_by_the_program(self):
        results = measured(lambda n: 1e-6 * n, lambda n: 1e-3)
        with tempfile.TemporaryDirectory() as folder:
            source, target = (pathlib.Path(folder) / name for name in ("in.json", "out.svg"))
            source.write_text(json.dumps(results))
            program = bench.HERE / "plot_cpu_gpu.py"
            subprocess.run([sys.executable, "-B", program, source, target], check=True)
            self.assertEqual(target.read_text(encoding="utf-8"), plot_cpu_gpu.draw(results))

    def test_writes_short_numbers(self):
        times = [plot_cpu_gpu.time_text(t) for t in (2e-9, 1e-6, 0.00025, 0.9999, 12.0, 4321.0)]
        self.assertEqual(times, ["2 ns", "1 \u00b5s", "250 \u00b5s", "1 s", "12 s", "4,321 s"])
        sizes = [plot_cpu_gpu.size_text(n) for n in (3.14, 128, 12345, 1234567)]
        self.assertEqual(sizes, ["3.1", "130", "12,000", "1,200,000"])


def solver_run(program, points, index=0, ready=1.0, case="mnist, l2", distance=0.0):
    run = {"case": case, "program": program, "round": index, "ready": ready, "points": points}
    return run | {"distance": distance}


SKLEARN = "scikit-learn newton-cg", "scikit-learn lbfgs"


class Solvers(unittest.TestCase):
    def test_a_gap_is_reached_by_the_first_point_within_it(self):
        best = 0.2
        run = solver_run("Levin lbfgs", [[2.0, 0.25], [3.0, 0.201], [4.0, 0.3], [5.0, best]])
        self.assertEqual(solver_curves.seconds_to(run, best * 1.01), 3.0)
        self.assertEqual(solver_curves.seconds_to(run, best), 5.0)
        self.assertIsNone(solver_curves.seconds_to(run, 0.19))
        self.assertEqual(solver_curves.optimum([run], "mnist, l2"), best)
        # A curve falls, and ends at the floor.
        curve = solver_curves.gap_curve(run, best, 1e-9)
        self.assertEqual([s for s, _ in curve], [2.0, 3.0, 5.0])
        self.assertEqual(curve[-1][1], 1e-9)

    def test_medians_are_of_rounds_that_all_got_there(self):
        runs = [
            solver_run("Levin lbfgs", [[s, 0.2 * 1.001], [s + 1, 0.2]], index, ready=0.5)
            for index, s in enumerate((2.0, 7.0, 3.0))
        ]
        self.assertEqual(
            solver_curves.medians(solver_curves.of(runs, "mnist, l2", "Levin lbfgs"), 0.2),
            [(3.0, 2.5), (4.0, 3.5), (4.0, 3.5)],
        )
        runs[1]["points"].pop()
        found = solver_curves.medians(solver_curves.of(runs, "mnist, l2", "Levin lbfgs"), 0.2)
        self.assertEqual(found, [(3.0, 2.5), None, None])

    def test_bounds_are_about_the_objective_at_which_newton_cg_ends(self):
        newton_cg, lbfgs = SKLEARN
        runs = [
            solver_run("Levin lbfgs", [[1.0, 0.5], [3.0, 0.230009], [9.0, 0.2]]),
            solver_run(newton_cg, [[10.0, 0.5], [20.0, 0.23]]),
            solver_run(lbfgs, [[10.0, 0.5], [25.0, 0.3]]),  # was stopped before it got there
        ]
        self.assertEqual(solver_curves.bound_ratios(runs, newton_cg), [3 / 20])
        self.assertEqual(solver_curves.bound_ratios(runs, lbfgs), [3 / 25])
        checks = report.solver_checks(runs)
        verdicts = [check.verdict() for check in checks]
        self.assertEqual(verdicts, ["ok", "FALLS SHORT", "not measured"])
        runs[0]["points"] = [[1.0, 0.5]]
        self.assertEqual(solver_curves.bound_ratios(runs, newton_cg), [float("inf")])
        self.assertEqual(report.solver_checks(runs[:1])[0].verdict(), "not measured")
        self.assertEqual(report.solver_checks([]), [])

    def test_the_bound_for_the_sparse_set_is_about_the_log_loss_to_three_digits(self):
        def run(program, index, *points):
            curve = [[seconds, 0.5] for seconds, _ in points]
            found = solver_run(program, curve, index, case=solver_curves.TEST_CASE)
            return found | {"test_points": [list(point) for point in points]}

        levin, anchor = solver_curves.TEST_SOLVER, solver_curves.TEST_BOUND[0]
        runs = [
            run(levin, 0, (1.0, 0.4616), (2.0, 0.46149), (3.0, 0.46)),
            run(anchor, 0, (8.0, 0.461)),
            run(levin, 1, (2.0, 0.4)),
            run(anchor, 1, (3.0, 0.47), (5.0, 0.462)),  # was stopped before it got there
            run(levin, 2, (2.0, 0.4)),
        ]
        self.assertEqual(solver_curves.test_ratios(runs), [2 / 8, 2 / 5])
        (check,) = [c for c in report.solver_checks(runs) if "log-loss 0.461" in c.what]
        self.assertEqual(check.verdict(), "ok")
        text = report.markdown(results([], solvers=runs))
        self.assertIn("| log-loss at the end | least log-loss | to 0.461 |", text)
        self.assertIn("| 0.46200 | 0.46100 | - |", text)  # of the anchor: a round didn't get there
        runs[0]["test_points"] = [[1.0, 0.47]]
        self.assertEqual(solver_curves.test_ratios(runs)[0], float("inf"))

    def test_tables_show_every_program_of_every_case(self):
        runs = [
            solver_run("Levin lbfgs", [[2.0, 0.25], [3.0, 0.2]]),
            solver_run(SKLEARN[1], [[4.0, 0.201]], distance=0.25),
            solver_run(SKLEARN[1], [[4.0, 0.201]], index=1, distance=0.125),
            solver_run("Levin sag", [[2.0, 0.1]], case="digits, l1"),
        ]
        text = report.markdown(results([], solvers=runs))
        self.assertIn("### mnist, l2: optimum 0.200000000", text)
        self.assertIn(
            "| Levin lbfgs | 3.00 (2.00) | 3.00 (2.00) | 3.00 (2.00) | 0.0e+00 | 0.0e+00 |", text
        )
        self.assertIn(f"| {SKLEARN[1]} | 4.00 (3.00) | - | - | 5.0e-03 | 1.2e-01 |", text)
        self.assertIn("### digits, l1", text)
        self.assertEqual(json.loads(report.as_json(results([], solvers=runs)))["solvers"], runs)

    def test_close_points_are_thinned_but_never_the_ends(self):
        points = [[1.0 + 0.001 * k, 1.0 / (k + 1)] for k in range(1, 1000)]
        kept = solver_curves.thinned(points, 1.0)
        self.assertEqual((kept[0], kept[-1]), (points[0], points[-1]))
        self.assertLess(len(kept), 400)
        for (before, _), (after, _) in zip(kept, kept[1:-1]):
            self.assertGreaterEqual(after - 1.0, 1.01 * (before - 1.0))

    def test_programs_only_get_problems_that_they_solve(self):
        self.assertNotIn("liblinear", solver_suite.anchors("digits, l2"))
        self.assertIn("liblinear", solver_suite.anchors("breast_cancer, l1"))
        self.assertEqual(solver_suite.anchors("digits, l1"), ["saga"])
        self.assertIn("vowpal-wabbit", solver_suite.anchors("sparse, l1"))
        self.assertNotIn("newton-cg", solver_suite.anchors("sparse, l1"))
        self.assertFalse(solver_suite.is_run("mnist, l2", "newton-cholesky", True, 0))
        self.assertTrue(solver_suite.is_run("digits, l2", "newton-cholesky", True, 0))
        self.assertIn(solver_curves.BOUND_CASE, solver_suite.CASES)
        self.assertIn(solver_curves.TEST_CASE, solver_suite.CASES)

    def test_what_the_bounds_are_about_is_run_in_each_round(self):
        for case, programs in (
            (solver_curves.BOUND_CASE, [solver_curves.BOUND_SOLVER, "scikit-learn newton-cg"]),
            (solver_curves.TEST_CASE, [solver_curves.TEST_SOLVER, solver_curves.TEST_BOUND[0]]),
        ):
            for program in programs:
                is_levin = program.startswith("Levin ")
                solver = program.removeprefix("Levin ").removeprefix("scikit-learn ")
                self.assertEqual(solver_suite.title(solver, is_levin), program)
                for index in range(3):
                    self.assertTrue(solver_suite.is_run(case, solver, is_levin, index))
        self.assertTrue(solver_suite.is_run("mnist, l2", "saga", False, 0))
        self.assertFalse(solver_suite.is_run("mnist, l2", "saga", False, 1))
        self.assertTrue(solver_suite.is_run("digits, l2", "saga", False, 1))

    def test_the_plot_has_a_curve_in_each_panel_for_each_program(self):
        programs = ["Levin lbfgs", *SKLEARN, "liblinear", "Vowpal Wabbit", "Levin newest"]
        runs = [
            solver_run(p, [[2.0 + k, 0.5], [3.0 + k, 0.2 + k * 1e-6]])
            for k, p in enumerate(programs)
        ]
        ((name, plot),) = plot_solvers.draw_all(runs)
        self.assertEqual(name, "mnist-l2")
        root = xml.etree.ElementTree.fromstring(plot)
        svg = "{http://www.w3.org/2000/svg}"
        self.assertEqual(len(root.findall(f"{svg}polyline")), 2 * len(programs))
        texts = [node.text for node in root.iter(f"{svg}text")]
        for program in programs:
            self.assertEqual(texts.count(program), 1)
        looks = {plot_solvers.look(program) for program in programs}
        self.assertEqual(len(looks), len(programs))
        width, height = float(root.get("width")), float(root.get("height"))
        for node in root.findall(f"{svg}circle"):
            self.assertTrue(0 < float(node.get("cx")) < width)
            self.assertTrue(0 < float(node.get("cy")) < height)


if __name__ == "__main__":
    unittest.main()
