"""The program `levin`, its library and its headers.

`levin ...` and `python -m levin ...` start the program, which isn't written in Python, with the
installed torch. `prefix` is the folder for CMAKE_PREFIX_PATH of projects that use find_package(levin);
`levin --cmake-prefix` prints it.
"""

import importlib.util
import os
import sys

prefix = os.path.dirname(os.path.abspath(__file__))


def main():
    """Replaces this process by the program, with the arguments of this process."""
    if "LEVIN_TORCH_DIR" not in os.environ:
        torch = importlib.util.find_spec("torch")  # found, not imported
        if torch is not None and torch.origin is not None:
            os.environ["LEVIN_TORCH_DIR"] = os.path.dirname(torch.origin)
    program = os.path.join(prefix, "bin", "levin")
    os.execv(program, [program] + sys.argv[1:])
