"""Reads a text of metrics with Prometheus' own parser: read_metrics.py FILE. Exit status 77: the parser is missing."""

import sys

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    print("prometheus_client isn't installed")
    sys.exit(77)

with open(sys.argv[1]) as file:
    families = {each.name: each for each in text_string_to_metric_families(file.read())}
for name in ("success", "failure"):
    requests = families["nv_inference_request_" + name]
    assert requests.type == "counter" and requests.documentation, requests
    assert requests.samples and all(each.labels["model"] == "m" for each in requests.samples), requests
pending = families["nv_inference_pending_request_count"]
assert pending.type == "gauge" and [each.value for each in pending.samples] == [0.0], pending
print(len(families))
