"""Tests the tables of gpu-check's comparison with PyTorch and Lightning on invented records."""

import json
import unittest

import gpu_report
import report


def line(index, program, seconds, **more):
    record = {
        "problem": "logistic_regression",
        "loop": "auto",
        "storage": "float32",
        "steps_per_epoch": 100,
        "epoch_seconds": [9.0, 8.0, *seconds],
        "accuracy": 0.925,
        "built": f"{program} by hand",
    }
    if program == "levin":
        record |= {"data": "MNIST", "seconds_to_accuracy": 0.5}
    return f"{index} {program} {json.dumps(record | more)}"


def markdown(lines):
    return gpu_report.markdown(gpu_report.read(lines))


class GpuReport(unittest.TestCase):
    def test_leaves_two_epochs_out(self):
        record = {"steps_per_epoch": 100, "epoch_seconds": [9.0, 8.0, 1.0, 3.0, 2.0]}
        self.assertEqual(gpu_report.step_microseconds(record), 20000)
        self.assertEqual(gpu_report.epoch_seconds({"epoch_seconds": [9.0, 8.0]}), 8.5)

    def test_says_what_holds_what_falls_short_and_what_was_not_measured(self):
        mlp = {"problem": "wide_mlp"}
        text = markdown(
            [
                line(0, "levin", [0.0014]),
                line(0, "levin", [0.0016], storage="uint8", seconds_to_accuracy=None),
                line(0, "lightning", [0.072]),
                line(0, "levin", [0.01], **mlp),
                line(0, "pytorch", [0.05], **mlp),
                line(0, "pytorch_fused", [0.03], **mlp),
            ]
        )
        for row in (
            "| logistic regression: Lightning's time / Levin's | at least 50 | 51.4 | ok |",
            "| logistic regression: a step | at most 15 us | 14.0 us | ok |",
            "| logistic regression: training until 92 % of the test images are right "
            "| at most 1 s | 0.500 s | ok |",
            "| logistic regression, uint8: Lightning's time / Levin's "
            "| at least 50 | 45.0 | FALLS SHORT |",
            "| logistic regression, uint8: a step | at most 15 us | 16.0 us | FALLS SHORT |",
            "| logistic regression, uint8: training until 92 % of the test images are right "
            "| at most 1 s | inf s | FALLS SHORT |",
            "time of Lightning / Levin's | at least 10 | - | not measured |",
            "time of PyTorch, DataLoader / Levin's | at least 4 | 5.00 | ok |",
            "by index, fused Adam / Levin's | at least 4 | 3.00 | FALLS SHORT |",
        ):
            self.assertIn(row, text)
        self.assertIn("## Bounds: 4 hold, 4 fall short, 1 not measured", text)

    def test_compares_within_a_round_only(self):
        # The second round was run by a machine half as fast.
        rounds = report.Rounds(
            gpu_report.read(
                [
                    line(0, "levin", [1.0]),
                    line(0, "lightning", [12.0]),
                    line(1, "levin", [2.0]),
                    line(1, "lightning", [26.0]),
                    line(2, "levin", [5.0]),
                ]
            )
        )
        checks = gpu_report.logistic_checks(rounds, "")
        self.assertEqual(checks[0].measured, report.Spread(12.5, 12.0, 13.0))

    def test_keeps_captured_and_eager_steps_apart(self):
        text = markdown([line(0, "levin", [0.001]), line(0, "levin", [0.004], loop="off")])
        self.assertIn("| Levin | 1.00 | 10.0 | - | 0.925 (3) | 0.500 |", text)
        self.assertIn("| Levin, cuda_graph off | 4.00 | 40.0 | 4.00 | 0.925 (3) | 0.500 |", text)
        self.assertIn("logistic regression: a step | at most 15 us | 10.0 us | ok |", text)
        self.assertIn("- Levin: levin by hand\n", text)

    def test_measures_no_accuracy_on_images_that_are_made(self):
        text = markdown([line(0, "levin", [0.001], data="made", seconds_to_accuracy=0.1)])
        self.assertIn("test images are right | at most 1 s | - | not measured |", text)
        self.assertIn("the images are made", text)


if __name__ == "__main__":
    unittest.main()
