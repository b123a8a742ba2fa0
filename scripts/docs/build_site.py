#!/usr/bin/env python3
"""Builds the site of the documentation: the pages of docs/, the reference of commands, classes and settings, and that of the
headers. A warning of mkdocs or doxygen is an error.

    build_site.py --levin build/release/bin/levin --output build/site
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import header_reference  # noqa: E402
import options_reference  # noqa: E402
from pages import Site  # noqa: E402

# The theme gives the search no name, by which screen readers call it.
SEARCH_DIALOG = ('data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"')
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def navigation(site, reference, headers):
    """What the site's menus show. docs/navigation.yaml has the order of the pages; others are the last how-tos."""
    nav = yaml.safe_load((ROOT / "docs/navigation.yaml").read_text())
    listed = set(re.findall(r"[\w/-]+\.md", str(nav)))
    missing = sorted(place for place in site.files if place.endswith(".md") and "/" not in place and place not in listed)
    for section in nav:
        section.get("How to", []).extend(missing)
    nav.append({"Reference": [{"All kinds": "reference/index.md"}, *({title: place} for title, place in reference)]})
    nav.append({"Headers": [{"All folders": "headers/index.md"}, *({place[len("headers/"):-len(".md")].replace("-", "/"): place}
                                                 for place in sorted(headers) if place != "headers/index.md")]})
    return nav


def rooms():
    """What ARCHITECTURE.md says of each folder."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    return {folder.rstrip("/"): meaning for folder, meaning in re.findall(r"(?m)^\| `([\w/]+/)` \| [\w ]+ \| (.*) \|$", text)}


def assemble(levin, work):
    """All pages, and the navigation."""
    site = Site(ROOT)
    pages, titles = options_reference.reference(levin)
    pages["reference/index.md"] = (
        "# Reference\n\nThese pages are what the program says of itself: `levin help`, `levin list` and the descriptions of "
        "settings from which configurations are read.\n\n" +
        "\n".join(f"- [{title}]({os.path.basename(place)})" for title, place in titles) + "\n")
    header_pages, site.headers = header_reference.reference(ROOT, work)
    meanings = rooms()
    lines = []
    for place in sorted(header_pages):
        folder = place[len("headers/"):-len(".md")].replace("-", "/")
        meaning = meanings.get(folder, "")
        lines.append(f"- [{folder}]({os.path.basename(place)})" + (f": {meaning}" if meaning else ""))
        if meaning:
            head, _, rest = header_pages[place].partition("\n\n")
            header_pages[place] = f"{head}\n\n{meaning[:1].upper() + meaning[1:]}.\n\n{rest}"
    header_pages["headers/index.md"] = ("# Headers\n\nThe classes and functions of each folder, with the comments of its "
                                        "headers. `levin/levin.h` includes the headers that programs need.\n\n" +
                                        "\n".join(lines) + "\n")
    site.files.update(pages)
    site.files.update(header_pages)
    for page in sorted((ROOT / "docs").rglob("*.md")):
        site.add_file(str(page.relative_to(ROOT)))
    for page in ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        site.add_file(page)
    return site, navigation(site, titles, header_pages)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levin", required=True, help="the program")
    parser.add_argument("--output", required=True, help="the folder of the site, which is replaced")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="levin-site-") as work:
        site, nav = assemble(options.levin, work)
        source = Path(work) / "pages"
        site.write(source)
        shutil.copytree(HERE / "assets", source / "assets")
        settings = (HERE / "mkdocs.yml").read_text()
        more = yaml.safe_dump({"docs_dir": str(source), "site_dir": os.path.abspath(options.output), "nav": nav})
        (Path(work) / "mkdocs.yml").write_text(settings + more)
        environment = dict(os.environ, NO_MKDOCS_2_WARNING="1", DISABLE_MKDOCS_2_WARNING="true")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(Path(work) / "mkdocs.yml")]
        status = subprocess.run(command, env=environment, check=False).returncode
    for page in Path(options.output).rglob("*.html"):
        page.write_text(page.read_text().replace(*SEARCH_DIALOG))
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(f"error: {error}")
