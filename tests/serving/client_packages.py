"""Imports the packages of clients that may be missing, for clients.py and unready_clients.py."""

import importlib
import sys


def import_or_skip(module, package=None):
    """Returns the module. If it isn't installed, exits with 77, by which tests know that."""
    try:
        return importlib.import_module(module)
    except ImportError:
        print(f"{package or module} isn't installed")
        sys.exit(77)
