"""Runs an MLflow server, and prints what the runs at it have got.

    python mlflow_serve.py FOLDER

Prints the server's address as soon as it answers, waits until FOLDER/done exists, and then prints
the runs of the experiment "levin test" as a JSON object by their names: status, params, the history
of each metric as [step, value], and the paths of the artifacts. The server keeps its files in FOLDER. Exit status
77, which tests take as skipped, if Python lacks mlflow or what its server needs.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(uri, call, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{uri}/api/2.0/mlflow/{call}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def is_healthy(uri):
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def artifacts(uri, run_id, path=""):
    query = urllib.parse.urlencode({"run_id": run_id, "path": path})
    found = []
    for item in ask(uri, f"artifacts/list?{query}").get("files", []):
        if item.get("is_dir"):
            found += artifacts(uri, run_id, item["path"])
        else:
            found.append(item["path"])
    return sorted(found)


def describe(uri, run):
    run_id = run["info"]["run_id"]
    metrics = {}
    for metric in run["data"].get("metrics", []):
        query = urllib.parse.urlencode({"run_id": run_id, "metric_key": metric["key"]})
        history = ask(uri, f"metrics/get-history?{query}")["metrics"]
        metrics[metric["key"]] = [[int(point.get("step", 0)), point["value"]] for point in history]
    return {"status": run["info"]["status"],
            "params": {param["key"]: param["value"] for param in run["data"].get("params", [])},
            "metrics": metrics, "artifacts": artifacts(uri, run_id)}


def describe_runs(uri):
    name = urllib.parse.quote("levin test")
    experiment = ask(uri, f"experiments/get-by-name?experiment_name={name}")["experiment"]
    runs = ask(uri, "runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    by_name = {run["info"]["run_name"]: describe(uri, run) for run in runs}
    if len(by_name) != len(runs):
        raise ValueError(f"{len(runs)} runs have only {len(by_name)} names")
    return by_name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    folder = os.path.abspath(parser.parse_args().folder)
    try:
        import alembic  # noqa: F401 (like the next two, a part of mlflow that mlflow-skinny lacks)
        import flask  # noqa: F401
        import mlflow  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        print(f"SKIPPED: a real MLflow server: {error}", file=sys.stderr)
        return 77
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    log = open(os.path.join(folder, "server.log"), "w")
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
         "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
         "--artifacts-destination", os.path.join(folder, "artifacts")],
        stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        while not is_healthy(uri):
            if server.poll() is not None:
                print(open(log.name).read(), file=sys.stderr)
                return 1
            time.sleep(0.1)
        print(uri, flush=True)
        while not os.path.exists(os.path.join(folder, "done")):
            time.sleep(0.05)
        print(json.dumps(describe_runs(uri)))
    finally:
        os.killpg(server.pid, 15)
        server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
