"""Makes a wheel of an installed tree of Levin; ./run package calls it.

    python make_wheel.py --tree TREE --version 0.1.0 --torch 2.11 OUTPUT_FOLDER

TREE is what `cmake --install` has made of the components Unspecified, bundle and packaged. Prints the
path of the wheel. Its name states the glibc of the oldest system that it is for, by which pip refuses older ones.
Two runs on one tree make the same bytes.
"""

import argparse
import base64
import hashlib
import os
import re
import subprocess
import sys
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def soname(path):
    """The name by which programs ask for a library; None for what isn't a library."""
    output = subprocess.run(["objdump", "-p", path], check=True, capture_output=True, text=True).stdout
    found = re.search(r"SONAME\s+(\S+)", output)
    return found.group(1) if found else None


# The oldest glibc of a distribution whose libstdc++ has the functions of GLIBCXX_3.4.<key>.
GLIBC_OF_LIBSTDCXX = {29: (2, 34), 30: (2, 35), 31: (2, 38), 32: (2, 38), 33: (2, 39), 34: (2, 41)}


def needed_glibc(paths):
    """The oldest glibc, such as (2, 36), of systems that have the functions of glibc and libstdc++ that the files call."""
    newest = (2, 17)
    for path in paths:
        output = subprocess.run(["objdump", "-T", path], check=True, capture_output=True, text=True).stdout
        for version in re.findall(r"GLIBC_(\d+)\.(\d+)", output):
            newest = max(newest, tuple(map(int, version)))
        for minor in map(int, re.findall(r"GLIBCXX_3\.4\.(\d+)", output)):
            if minor > max(GLIBC_OF_LIBSTDCXX):
                raise ValueError(f"{path} needs GLIBCXX_3.4.{minor}; add it to GLIBC_OF_LIBSTDCXX in make_wheel.py")
            newest = max(newest, GLIBC_OF_LIBSTDCXX.get(minor, newest))
    return newest


def files_of(tree):
    """Path in the wheel -> file. Wheels have no links, so a library is there once, by its soname."""
    files, renamed = {}, {}
    for folder, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                continue
            if ".so" in name and is_elf(path):
                renamed[name] = soname(path) or name
                name = renamed[name]
            files[os.path.relpath(os.path.join(folder, name), tree)] = path
    return files, renamed


def contents(tree):
    """Path in the wheel -> (bytes, whether it is a program)."""
    files, renamed = files_of(tree)
    result = {}
    for path, source in files.items():
        with open(source, "rb") as file:
            data = file.read()
        if re.search(r"levin-targets.*\.cmake$", path):
            for old, new in renamed.items():
                data = data.replace(old.encode(), new.encode())
        result["levin/" + path] = (data, os.access(source, os.X_OK))
    package = os.path.join(ROOT, "packaging", "wheel", "levin")
    for name in ("__init__.py", "__main__.py"):
        with open(os.path.join(package, name), "rb") as file:
            result["levin/" + name] = (file.read(), False)
    return result, needed_glibc(path for path in files.values() if is_elf(path))


def metadata(version, torch, glibc):
    return f"""Metadata-Version: 2.1
Name: levin
Version: {version}
Summary: A training framework in C++ on LibTorch, and its program
License: Apache-2.0
Requires-Python: >=3.10
Requires-Dist: torch =={torch}.*
Requires-External: glibc (>={glibc[0]}.{glibc[1]})
Description-Content-Type: text/markdown

The program `levin`, its library and its headers. The program isn't written in Python; it uses the
libraries of the installed torch. `levin --cmake-prefix` prints the folder for `CMAKE_PREFIX_PATH` of C++
projects that use `find_package(levin)`.
"""


def write(path, files):
    """Writes the archive, with RECORD as its last file."""
    info = next(name for name in files if name.endswith("/METADATA")).rsplit("/", 1)[0]
    record = ""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name, data, is_program):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if is_program else 0o100644) << 16
            archive.writestr(entry, data)

        for name, (data, is_program) in sorted(files.items()):
            add(name, data, is_program)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(data)}\n"
        add(f"{info}/RECORD", f"{record}{info}/RECORD,,\n", False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--torch", required=True, help="the two first numbers of LibTorch's version")
    parser.add_argument("output")
    arguments = parser.parse_args()
    if not os.path.exists(os.path.join(arguments.tree, "libexec", "levin", "levin")):
        print(f"make_wheel.py: {arguments.tree} has no libexec/levin/levin; install the component packaged, too",
              file=sys.stderr)
        return 1
    files, glibc = contents(arguments.tree)
    tag = f"py3-none-manylinux_{glibc[0]}_{glibc[1]}_{os.uname().machine}"
    info = f"levin-{arguments.version}.dist-info"
    texts = {
        "METADATA": metadata(arguments.version, arguments.torch, glibc),
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: levin\nRoot-Is-Purelib: false\nTag: {tag}\n",
        "entry_points.txt": "[console_scripts]\nlevin = levin:main\n",
        "top_level.txt": "levin\n",
    }
    files.update({f"{info}/{name}": (text.encode(), False) for name, text in texts.items()})
    with open(os.path.join(ROOT, "LICENSE"), "rb") as file:
        files[f"{info}/LICENSE"] = (file.read(), False)
    os.makedirs(arguments.output, exist_ok=True)
    path = os.path.join(arguments.output, f"levin-{arguments.version}-{tag}.whl")
    write(path, files)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
