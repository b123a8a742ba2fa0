#!/usr/bin/env python3
"""Asks a served model: client.py URL MODEL ROWS.npy. LEVIN_TOKEN is sent if it is set.

First as plain rows, with Python's own library alone; then by the Open Inference Protocol, if tritonclient
is installed (pip install "tritonclient[http]"). Both print what the model predicts.
"""
import json
import os
import sys
import urllib.parse
import urllib.request

import numpy

DATATYPES = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64", "uint8": "UINT8"}


def headers():
    token = os.environ.get("LEVIN_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def plain(url, model, rows):
    body = json.dumps({"rows": rows.tolist()}).encode()
    request = urllib.request.Request(
        f"{url}/models/{urllib.parse.quote(model)}/predict", body, {"Content-Type": "application/json", **headers()}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        predictions = json.load(response)["predictions"]
    # A model that doesn't classify predicts values, by the names of its outputs.
    return [each.get("class", each) for each in predictions]


def open_inference_protocol(url, model, rows):
    from tritonclient import http

    parts = urllib.parse.urlsplit(url)
    client = http.InferenceServerClient(parts.netloc, ssl=parts.scheme == "https")
    metadata = client.get_model_metadata(model, headers=headers())
    given = metadata["inputs"][0]
    # The server converts float32 to the types that aren't there.
    name = next((each for each in DATATYPES if DATATYPES[each] == given["datatype"]), "float32")
    tensor = http.InferInput(given["name"], list(rows.shape), DATATYPES[name])
    tensor.set_data_from_numpy(numpy.ascontiguousarray(rows, dtype=name))
    names = [each["name"] for each in metadata["outputs"]]
    result = client.infer(model, [tensor], headers=headers())
    return {each: result.as_numpy(each) for each in names}


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: client.py URL MODEL ROWS.npy")
    url, model, rows = sys.argv[1].rstrip("/"), sys.argv[2], numpy.load(sys.argv[3])
    print("plain rows:", plain(url, model, rows))
    try:
        answer = open_inference_protocol(url, model, rows)
    except ImportError:
        print("tritonclient is not installed")
        return
    for name, values in answer.items():
        print(f"{name}:", values.tolist())


if __name__ == "__main__":
    main()
