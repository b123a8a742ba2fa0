"""Opens a journal file with optuna-dashboard, by its own command line, and asks its JSON API:
tuning_dashboard.py FILE. Prints the names of the studies, and the trials of the first one.

Exits with 77 if Python doesn't have the package optuna-dashboard.
"""

import json
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request

try:
    from optuna_dashboard import _cli
except ImportError:
    sys.exit(77)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def main():
    port = free_port()
    sys.argv = ["optuna-dashboard", sys.argv[1], "--port", str(port), "--host", "127.0.0.1",
                "--server", "wsgiref", "--quiet"]
    threading.Thread(target=_cli.main, daemon=True).start()

    def ask(path):
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                    return json.load(answer)
            except urllib.error.HTTPError:
                raise
            except urllib.error.URLError:  # it doesn't listen yet
                time.sleep(0.05)
        raise TimeoutError("the dashboard doesn't answer")

    studies = ask("/api/studies")["study_summaries"]
    study = ask(f"/api/studies/{studies[0]['study_id']}?after=0")
    rows = [{"number": trial["number"], "state": trial["state"], "values": trial.get("values"),
             "steps": len(trial["intermediate_values"]),
             "params": {each["name"]: each["param_external_value"] for each in trial["params"]}}
            for trial in study["trials"]]
    print(json.dumps({"studies": [each["study_name"] for each in studies], "trials": rows}),
          flush=True)
    os._exit(0)  # the server runs on


if __name__ == "__main__":
    main()
