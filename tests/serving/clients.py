"""Speaks to a service with the clients that exist, and compares what they get with predictions.

usage: clients.py PORT MODEL ROWS.csv PREDICTIONS.npz PART; exit status 77: the client is missing.
PART: tritonclient, kserve or curl.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import urllib.request

from client_packages import import_or_skip

np = import_or_skip("numpy")

PORT, MODEL, ROWS, PREDICTIONS, PART = sys.argv[1:]
HOST = f"127.0.0.1:{PORT}"
rows = np.loadtxt(ROWS, delimiter=",", ndmin=2).astype(np.float32)
expected = np.load(PREDICTIONS)
classes, probabilities = expected["class"], expected["probability"]


def close(got, wanted, what):
    got = np.asarray(got, dtype=np.float32)
    assert got.shape == wanted.shape, (what, got.shape, wanted.shape)
    assert np.abs(got - wanted).max() <= 1e-6, (what, got, wanted)


def try_tritonclient():
    triton = import_or_skip("tritonclient.http", "tritonclient[http]")
    from tritonclient.utils import InferenceServerException

    client = triton.InferenceServerClient(HOST)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1") and not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata(MODEL)
    assert metadata["name"] == MODEL and metadata["versions"] == ["1"], metadata
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP32",
                                   "shape": [-1, rows.shape[1]]}], metadata
    assert client.get_model_config(MODEL)["name"] == MODEL
    assert [each["name"] for each in client.get_model_repository_index()] == [MODEL]

    for binary_in in (False, True):
        for binary_out in (False, True):
            for compression in (None, "gzip", "deflate"):
                tensor = triton.InferInput("input", list(rows.shape), "FP32")
                tensor.set_data_from_numpy(rows, binary_data=binary_in)
                outputs = [triton.InferRequestedOutput(name, binary_data=binary_out)
                           for name in ("probability", "class")]
                answer = client.infer(MODEL, [tensor], outputs=outputs, request_id="r-1",
                                      request_compression_algorithm=compression,
                                      response_compression_algorithm=compression)
                what = (binary_in, binary_out, compression)
                close(answer.as_numpy("probability"), probabilities, what)
                assert (answer.as_numpy("class") == classes).all(), what
                assert answer.get_response()["id"] == "r-1"
    # One row is bit for bit what the model predicts for it.
    tensor = triton.InferInput("input", [1, rows.shape[1]], "FP32")
    tensor.set_data_from_numpy(rows[:1])
    alone = client.infer(MODEL, [tensor], model_version="1").as_numpy("probability")
    close(alone, probabilities[:1], "one row")

    # It writes the words NaN and Infinity, and reads null as NaN.
    strange = np.array([[np.nan, 1, 1, 1], [np.inf, 0, 0, 0], [-np.inf, 0, 0, 0]], np.float32)
    given = triton.InferInput("input", list(strange.shape), "FP32")
    given.set_data_from_numpy(strange, binary_data=False)
    wanted = triton.InferRequestedOutput("probability", binary_data=False)
    got = client.infer(MODEL, [given], outputs=[wanted]).as_numpy("probability")
    assert np.isnan(got).all(), got

    top = triton.InferRequestedOutput("probability", class_count=2)
    found = client.infer(MODEL, [tensor], outputs=[top]).as_numpy("probability")
    value, index = found.reshape(-1)[0].decode().split(":")[:2]
    assert int(index) == classes[0] and abs(float(value) - probabilities[0].max()) < 1e-5, found

    statistics = client.get_inference_statistics(MODEL)["model_stats"][0]
    assert statistics["inference_stats"]["success"]["count"] >= 14, statistics

    for wrong, status in ((lambda: client.infer("other", [tensor]), "404"),
                          (lambda: client.infer(MODEL, [tensor], model_version="9"), "404"),
                          (lambda: client.infer(MODEL, [triton.InferInput(
                              "input", [1, 3], "FP32").set_data_from_numpy(rows[:1, :3])]), "400")):
        try:
            wrong()
            raise AssertionError("no error")
        except InferenceServerException as error:
            assert error.status() == status and "/" not in error.message(), error
    client.load_model(MODEL)
    assert client.is_model_ready(MODEL)
    client.close()


def try_kserve():
    import_or_skip("kserve")
    from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig

    async def speak():
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        base = "http://" + HOST
        assert await client.is_server_live(base) is True
        assert await client.is_server_ready(base) is True
        assert await client.is_model_ready(base, MODEL) is True
        for binary in (False, True):
            tensor = InferInput("input", list(rows.shape), "FP32")
            tensor.set_data_from_numpy(rows, binary_data=binary)
            answer = await client.infer(base, InferRequest(MODEL, [tensor]), model_name=MODEL)
            outputs = {each.name: each.as_numpy() for each in answer.outputs}
            close(outputs["probability"], probabilities, binary)
            assert (outputs["class"] == classes).all()
        # It writes and reads null for NaN.
        tensor = InferInput("input", [1, rows.shape[1]], "FP32")
        tensor.set_data_from_numpy(np.full((1, rows.shape[1]), np.nan, np.float32),
                                   binary_data=False)
        answer = await client.infer(base, InferRequest(MODEL, [tensor]), model_name=MODEL)
        outputs = {each.name: each.as_numpy() for each in answer.outputs}
        assert np.isnan(outputs["probability"]).all(), outputs

    asyncio.run(speak())


def try_curl():
    def curl(path, *options):
        run = subprocess.run(["curl", "-sS", "--max-time", "60", "http://" + HOST + path, *options],
                             stdout=subprocess.PIPE, check=True)
        return run.stdout

    def check(predictions, what):
        close([each["probabilities"] for each in predictions], probabilities, what)
        assert [each["class"] for each in predictions] == list(classes), what

    address = f"/models/{MODEL}/predict"
    text = json.dumps({"rows": [[float(cell) for cell in row] for row in rows]})
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/rows.json", "w") as file:
            file.write(text)
        np.save(f"{folder}/rows.npy", rows)
        for data, kind in ((f"{folder}/rows.json", "application/json"), (ROWS, "text/csv"),
                           (f"{folder}/rows.npy", "application/x-npy")):
            for path in (address, "/predict"):
                got = curl(path, "-H", "Content-Type: " + kind, "--data-binary", "@" + data)
                check(json.loads(got)["predictions"], kind)
        # What curl says if it isn't told a type.
        check(json.loads(curl("/predict", "--data-binary", "@" + ROWS))["predictions"], "curl's own")
        lines = curl("/predict", "-H", "Accept: text/csv", "--data-binary", "@" + ROWS)
        assert len(lines.decode().strip().splitlines()) == len(rows) + 1, lines
    status = curl("/predict", "-d", "no,numbers", "-o", "/dev/null", "-w", "%{http_code}")
    assert status == b"400", status

    with urllib.request.urlopen(f"http://{HOST}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain"), answer.headers
        metrics = answer.read().decode()
    success = [line for line in metrics.splitlines()
               if line.startswith("nv_inference_request_success{") and f'model="{MODEL}"' in line]
    assert len(success) == 1 and float(success[0].split()[-1]) >= 8, success
    description = json.loads(curl("/openapi.json"))
    assert description["openapi"].startswith("3."), description
    assert "/predict" in description["paths"]


{"tritonclient": try_tritonclient, "kserve": try_kserve, "curl": try_curl}[PART]()
print(PART + " works")
