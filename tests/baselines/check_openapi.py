"""Checks an OpenAPI document against the specification."""

import json
import sys

try:
    from openapi_spec_validator import validate
except ImportError:
    sys.exit(77)

with open(sys.argv[1], encoding="utf-8") as file:
    validate(json.load(file))
print("valid")
