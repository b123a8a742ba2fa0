"""Reads a run's folder with TensorBoard's own reader and prints what is in it as JSON.

    python tensorboard_read.py FOLDER

Scalars are lists of [step, value] by tag (a NaN is "nan"); texts, images (width, height and the
bytes of the PNG file in hexadecimal) and histograms are the last of their tags; `hparams` is what
the tab HPARAMS shows of the folder's only run: its settings, its status and the last values of its
metrics; `graph`, if there is one, are the nodes of the tab GRAPHS. Exit status 77, which tests take as skipped, if Python lacks tensorboard.
"""

import argparse
import json
import math
import os
import sys


def graph_node(node):
    """A node of a GraphDef, with the shapes of its outputs and its attributes as texts."""
    shapes = [[dimension.size for dimension in shape.dim]
              for shape in node.attr["_output_shapes"].list.shape]
    return {"name": node.name, "op": node.op, "inputs": list(node.input), "shapes": shapes,
            "attributes": {name: value.s.decode() for name, value in node.attr.items()
                           if name != "_output_shapes"}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    folder = parser.parse_args().folder
    try:
        from google.protobuf import json_format
        from tensorboard.backend.event_processing import (
            data_provider, event_accumulator, plugin_event_multiplexer)
        from tensorboard.context import RequestContext
        from tensorboard.plugins.base_plugin import TBContext
        from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
    except ImportError as error:
        print(f"SKIPPED: reading event files from Python: {error}", file=sys.stderr)
        return 77

    reader = event_accumulator.EventAccumulator(
        folder, size_guidance={event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0})
    reader.Reload()
    tags = reader.Tags()
    result = {"scalars": {}, "texts": {}, "images": {}, "histograms": {}}
    for tag in tags["scalars"]:
        result["scalars"][tag] = [
            [event.step, event.value if math.isfinite(event.value) else str(event.value)]
            for event in reader.Scalars(tag)]
    for tag in tags["tensors"]:
        result["texts"][tag] = reader.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
    for tag in tags["images"]:
        image = reader.Images(tag)[-1]
        result["images"][tag] = [image.width, image.height, image.encoded_image_string.hex()]
    for tag in tags["histograms"]:
        counts = reader.Histograms(tag)[-1].histogram_value
        result["histograms"][tag] = {
            "min": counts.min, "max": counts.max, "num": counts.num, "sum": counts.sum,
            "sum_squares": counts.sum_squares, "buckets": list(counts.bucket)}

    if tags["graph"]:
        result["graph"] = [graph_node(node) for node in reader.Graph().node]

    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(os.path.dirname(os.path.abspath(folder)))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, folder)
    context = backend_context.Context(
        TBContext(logdir=folder, multiplexer=multiplexer, data_provider=provider))
    groups = list_session_groups.Handler(
        RequestContext(), context, "", api_pb2.ListSessionGroupsRequest(
            start_index=0, slice_size=10, allowed_statuses=[
                api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE,
                api_pb2.STATUS_RUNNING])).run().session_groups
    result["hparams"] = [json_format.MessageToDict(group) for group in groups]
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
