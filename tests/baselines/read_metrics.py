"""Reads the text of /metrics by Prometheus' own parser, and prints some of its values."""

import sys

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    sys.exit(77)

values = {}
types = {}
with open(sys.argv[1], encoding="utf-8") as file:
    for family in text_string_to_metric_families(file.read()):
        types[family.name] = family.type
        for sample in family.samples:
            labels = (sample.labels.get("model"), sample.labels.get("version"))
            values.setdefault((sample.name, labels), []).append(sample.value)


def total(name):
    return {labels: sum(found) for (other, labels), found in values.items() if other.startswith(name)}


for (model, version), success in total("nv_inference_request_success").items():
    executions = total("nv_inference_exec_count")[(model, version)]
    failures = total("nv_inference_request_failure")[(model, version)]
    print(model, version, "success", int(success), "executions", int(executions), "failures", int(failures))
print("process_cpu_seconds_total", types["process_cpu_seconds"])
