"""Checks YAML files against a JSON schema.

    python schema_check.py SCHEMA FILE...

Prints a JSON object with the first mistake that the package jsonschema finds in each file, null if
there is none: {FILE: MISTAKE}. Exit status 77, which ctest takes as skipped, if Python lacks
jsonschema or PyYAML.
"""

import argparse
import json
import pathlib
import re
import sys


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("schema")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    try:
        import jsonschema
        import yaml
    except ImportError as error:
        print(f"SKIPPED: checking YAML files: {error}", file=sys.stderr)
        return 77

    class Loader(yaml.SafeLoader):
        """Reads numbers as YAML 1.2 does: 3e-4 is one, which PyYAML takes as text."""

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )
    schema = json.loads(pathlib.Path(arguments.schema).read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    mistakes = {}
    for file in arguments.files:
        found = jsonschema.exceptions.best_match(
            validator.iter_errors(yaml.load(pathlib.Path(file).read_text(), Loader))
        )
        mistakes[file] = None if found is None else f"{found.json_path}: {found.message}"[:300]
    json.dump(mistakes, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
