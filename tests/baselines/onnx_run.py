"""Checks ONNX files and runs them with onnxruntime.

    python onnx_run.py FOLDER

For each NAME.onnx of the folder, NAME.json has the rows of the input. Prints a JSON object of their
outputs by name, {NAME: {"class": [...], "probability": [[...]]}}. Exit status 77, which ctest takes
as skipped, if Python lacks onnx, onnxruntime or numpy.
"""

import argparse
import json
import pathlib
import sys


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    folder = pathlib.Path(parser.parse_args().folder)
    try:
        import numpy
        import onnx
        import onnxruntime
    except ImportError as error:
        print(f"SKIPPED: running ONNX files: {error}", file=sys.stderr)
        return 77

    results = {}
    for path in sorted(folder.glob("*.onnx")):
        onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (wanted,) = session.get_inputs()
        dtype = {"tensor(float)": numpy.float32, "tensor(double)": numpy.float64}[wanted.type]
        rows = numpy.array(json.loads(path.with_suffix(".json").read_text()), dtype=dtype)
        outputs = session.run(None, {wanted.name: rows})
        assert len(session.run(None, {wanted.name: rows[:1]})[0]) == 1  # any number of rows
        results[path.stem] = {
            output.name: value.tolist() for output, value in zip(session.get_outputs(), outputs)
        }
        results[path.stem]["shape"] = [str(size) for size in wanted.shape]
        results[path.stem]["metadata"] = session.get_modelmeta().custom_metadata_map
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
