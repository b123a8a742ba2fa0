"""A small ONNX file as the onnx package serialises it.

`file` has the bytes of the file behind its producer's version, as hexadecimal digits: the graph, the
version of the operators and the metadata.
"""

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import emit


def main():
    weight = numpy.array([[0.5, -1.5], [2.0, 0.25], [-3.0, 1.0]], dtype="<f4")
    nodes = [
        helper.make_node("Gemm", ["input", "weight"], ["logits"], "Gemm_0", transB=1, alpha=0.5),
        helper.make_node("Squeeze", ["logits", "axes"], ["value"], "Squeeze_1"),
        helper.make_node("Pad", ["value"], ["padded"], "Pad_2", pads=[0, 300, -1]),
    ]
    graph = helper.make_graph(
        nodes,
        "Small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("padded", TensorProto.DOUBLE, ["batch", 3, 1])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(numpy.array([1], dtype="<i8"), "axes"),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="levin")
    helper.set_model_props(model, {"class": "Small"})
    emit(__doc__.strip(), tools={"onnx": onnx.__version__},
         file=model.SerializeToString().split(b"levin", 1)[1].hex())


if __name__ == "__main__":
    main()
