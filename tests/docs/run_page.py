#!/usr/bin/env python3
"""Runs what a page of the documentation shows: its blocks of shell, in the order of the page and in one folder; its YAML, as a
configuration that the program reads; its Python. Outputs that it shows are compared, and its C++ with sources that are compiled.

    run_page.py --levin build/release/bin/levin README.md docs/serving.md

page_blocks.py says how a page can mark blocks that are something else. Exit status: 0 if all is as shown.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from page_blocks import PageError, is_part_of, read_page  # noqa: E402
from shown_output import has_json, has_lines  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 500  # seconds that a page may take
RUN = ("sh", "run", "python", "yaml")


def python():
    """The Python that has the packages for tests; None if there is none."""
    own = ROOT / ".deps/python/bin/python"
    return os.environ.get("LEVIN_PYTHON") or (str(own) if own.exists() else None)


def lacks(needs, levin):
    """What isn't installed of a list such as `redis-server, python:optuna`; None if nothing is missing."""
    for need in filter(None, (each.strip() for each in needs.split(","))):
        kind, _, module = need.partition(":")
        if kind == "python":
            code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module.split('.')[0]!r}) is None)"
            if not python() or subprocess.run([python(), "-c", code], check=False).returncode:
                return f"Python's package {module}"
        elif not shutil.which(need) and not (Path(levin).parent / need).exists():
            return need
    return None


def has_test(name):
    """Whether a test of this name is in the sources."""
    suite, _, case = name.partition(".")
    pattern = re.compile(rf"TEST(_F|_P)?\(\s*{re.escape(suite)},\s*{re.escape(case)}\s*\)")
    if any(pattern.search(each.read_text()) for each in (ROOT / "tests").rglob("*_test.cpp")):
        return True
    files = [ROOT / "CMakeLists.txt", *(ROOT / "cmake").glob("*.cmake"), *(ROOT / "tests").rglob("CMakeLists.txt")]
    return any(f"NAME {name} " in each.read_text() for each in files)


def problem_of(block):
    """What is wrong with a block that isn't run; None if nothing is."""
    if "skip because" in block.markers:
        return None if len(block.markers["skip because"]) > 10 else "the marker gives no reason"
    if "by" in block.markers:
        return None if has_test(block.markers["by"]) else f"there is no test {block.markers['by']}"
    if "same as" in block.markers:
        path = ROOT / block.markers["same as"]
        if not path.is_file():
            return f"there is no {block.markers['same as']}"
        return None if is_part_of(block.text, path.read_text()) else f"{block.markers['same as']} hasn't these lines"
    if block.language in RUN or block.language in ("text", "json") or "file" in block.markers:
        return None
    if not block.language:
        return "the block has no language; text is what isn't code"
    return (f"nothing says how the {block.language} is tested; tests/docs/page_blocks.py lists the markers, such as "
            "<!-- test: same as PATH -->")


def is_run(block):
    return not {"skip because", "by", "same as"} & block.markers.keys() and (
        block.language in RUN or "file" in block.markers)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def replaced(page, ports):
    new_ports = dict(zip(page.ports, ports))

    def apply(text):
        for old, new in page.replacements:
            text = text.replace(old, new)
        # All at once, and whole numbers only: a free port may be 38001, and another one of the page 8001.
        return re.sub(r"\d+", lambda number: new_ports.get(number.group(), number.group()), text)
    return apply


def configuration_command(text, name):
    """The command that reads a configuration of which a page shows a part."""
    rest = "" if re.search(r"(?m)^model:", text) else " --model LogisticRegression"
    rest += "" if re.search(r"(?m)^data:", text) else " --data DigitsDataModule"
    return f"levin fit --config {name}{rest} --print-config"


def written(name, text):
    end = "END_OF_THE_BLOCK"
    return f"cat > {name} <<'{end}'\n{text}{end}\n"


def script_of(page, blocks, apply):
    """The bash script that runs the blocks, each with its output in a file."""
    parts = ["set -eu -o pipefail", "trap 'exit 1' TERM",
             "trap 'status=$?; kill $(jobs -p) 2>/dev/null || :; wait || :; exit $status' EXIT"]
    for number, block in enumerate(page.blocks):
        if number not in blocks:
            continue
        text = apply(block.text)
        if "file" in block.markers:
            name = apply(block.markers["file"])
            body = written(name, text) if "/" not in name else f"mkdir -p {os.path.dirname(name)}\n" + written(name, text)
        elif block.language == "yaml":
            body = written(f"block{number}.yaml", text) + configuration_command(text, f"block{number}.yaml") + "\n"
        elif block.language == "python":
            body = written(f"block{number}.py", text) + f"\"{python()}\" block{number}.py\n"
        else:
            body = text
        parts.append(f"{{\n{body}}} > \"$OUTPUTS/out.{number}\" 2> \"$OUTPUTS/err.{number}\"\n: > \"$OUTPUTS/done.{number}\"")
    return "\n".join(parts) + "\n"


def run_script(script, folder, outputs, levin):
    """Runs it in the folder; ends what it leaves behind. The exit status."""
    environment = dict(os.environ, PATH=f"{Path(levin).resolve().parent}:{os.environ['PATH']}", OUTPUTS=str(outputs),
                       HOME=str(folder), LEVIN_OFFLINE="1")
    os.symlink(ROOT / "examples", folder / "examples")
    (outputs / "page.sh").write_text(script)
    process = subprocess.Popen(["bash", str(outputs / "page.sh")], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        return process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        return f"stopped after {LIMIT} s"
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def compare(block, output):
    if block.language == "json":
        json.loads(block.text)
        return has_json(output, block.text)
    return has_lines(output, block.text)


def failures_after(page, blocks, outputs, status):
    """What went wrong in a run, and how many outputs were compared."""
    failures, compared = [], 0
    for number, block in enumerate(page.blocks):
        if number in blocks and not (outputs / f"done.{number}").exists():
            started = (outputs / f"err.{number}").exists()
            tail = (outputs / f"err.{number}").read_text(errors="replace")[-2000:] if started else "it wasn't reached\n"
            failures.append(f"{page.name}:{block.line}: failed (status {status})\n{block.text}{tail}")
            break
        shown = number > 0 and block.language in ("text", "json") and not {"any output", "file"} & block.markers.keys()
        if shown and number - 1 in blocks and page.blocks[number - 1].language in ("sh", "python", "run"):
            output = (outputs / f"out.{number - 1}").read_text(errors="replace")
            compared += 1
            if not compare(block, output):
                failures.append(f"{page.name}:{block.line}: another output than shown\n{block.text}got:\n{output[-3000:]}")
    if status and not failures:
        failures.append(f"{page.name}: the script of the page ended with {status}")
    return failures, compared


def check_page(path, levin, keep=None):
    """Runs a page; the list of failures, and a line that says what was done."""
    name = os.path.relpath(path, ROOT)
    page = read_page(name, Path(path).read_text())
    failures = [f"{name}:{block.line}: {problem}" for block in page.blocks if (problem := problem_of(block))]
    shown = "".join(block.text for block in page.blocks)
    failures += [f"{name}: nothing has '{old}', which a marker replaces" for old, _ in page.replacements if old not in shown]
    blocks, skipped = set(), 0
    for number, block in enumerate(page.blocks):
        if not is_run(block):
            continue
        missing = lacks(page.needs, levin) or lacks(block.markers.get("needs", ""), levin)
        if block.language == "python" and not python():
            missing = missing or "a Python for tests"
        if missing:
            skipped += 1
            print(f"{name}:{block.line}: left out, {missing} isn't installed")
        else:
            blocks.add(number)
    compared = 0
    if blocks and not failures:
        with tempfile.TemporaryDirectory(prefix="levin-page-") as work:
            folder, outputs = Path(keep or work) / "folder", Path(keep or work) / "outputs"
            folder.mkdir(parents=True)
            outputs.mkdir(parents=True)
            script = script_of(page, blocks, replaced(page, free_ports(len(page.ports))))
            status = run_script(script, folder, outputs, levin)
            failures, compared = failures_after(page, blocks, outputs, status)
    others = sum(block.language != "run" for block in page.blocks) - sum(
        page.blocks[number].language != "run" for number in blocks) - skipped
    return failures, (f"{name}: {len(blocks)} blocks and commands run, {compared} outputs compared, {skipped} left out, "
                      f"{others} others")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+")
    parser.add_argument("--levin", required=True, help="the program")
    parser.add_argument("--keep", help="an empty folder for what the page makes, which is kept")
    options = parser.parse_args()
    failed = False
    for path in options.pages:
        try:
            failures, summary = check_page(path, options.levin, options.keep)
        except PageError as error:
            failures, summary = [str(error)], None
        for each in failures:
            print(each)
        if summary:
            print(summary)
        failed = failed or bool(failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
