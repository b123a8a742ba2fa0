"""The pages of the site, made of the Markdown files of the repository: links between files become links between pages, and a
file that a page links to gets a page of its own with its text."""

import os
import posixpath
import re
from pathlib import Path

# Where the files that aren't in docs/ are in the site.
PLACES = {"ARCHITECTURE.md": "design.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md",
          "README.md": "readme.md", "LICENSE": "licence.md"}
LANGUAGES = {".h": "cpp", ".cpp": "cpp", ".yaml": "yaml", ".yml": "yaml", ".py": "python", ".sh": "sh", ".json": "json",
             ".cmake": "cmake", ".csv": "text", ".txt": "text"}
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^()\s]+)\)")
OUTSIDE = re.compile(r"^[a-z][a-z0-9+.-]*:")
PICTURES = (".svg", ".png")


class Site:
    """Collects the pages of the site, by their paths in it."""

    def __init__(self, root):
        self.root = Path(root)
        self.files = {}  # path in the site -> text or bytes
        self.headers = {}  # header -> the page that has its reference, for links to headers

    def place_of(self, path):
        """Where a file of the repository is in the site."""
        if path in PLACES:
            return PLACES[path]
        if path.startswith("docs/"):
            return path[len("docs/"):]
        if path in self.headers:
            return self.headers[path]
        if path.endswith(".md") or path.endswith(PICTURES):
            return path if not path.endswith("README.md") else path[:-len("README.md")] + "index.md"
        return f"source/{path}.md"

    def add_file(self, path):
        """Adds a file of the repository, unless it is there, and what it links to. The place, without a part of the page."""
        file = self.root / path
        if file.is_dir():
            readme = file / "README.md"
            if not readme.exists():
                raise ValueError(f"{path} is a folder without README.md")
            return self.add_file(f"{path}/README.md")
        if not file.exists():
            raise ValueError(f"there is no {path}")
        place = self.place_of(path)
        target = place.split("#")[0]
        if target in self.files:
            return place
        if path.endswith(PICTURES):
            self.files[target] = file.read_bytes()
        elif path.endswith(".md"):
            self.files[target] = ""  # links may come back here
            self.files[target] = self.with_links(file.read_text(), path, target)
        else:
            language = LANGUAGES.get(file.suffix, "text")
            self.files[target] = f"# {path}\n\n````{language}\n{file.read_text()}\n````\n"
        return place

    def with_links(self, text, path, place):
        """A page's text with links that are those of the site."""
        def link(match):
            target, _, anchor = match[2].partition("#")
            if OUTSIDE.match(match[2]) or not target:
                return match[0]
            found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            try:
                to = self.add_file(found)
            except ValueError as error:
                raise ValueError(f"{path} links to {match[2]}: {error}") from None
            relative = posixpath.relpath(to, posixpath.dirname(place) or ".")
            return f"{match[1]}({relative}{'#' + anchor if anchor else ''})"

        return for_python_markdown(outside_of_code(text, lambda part: LINK.sub(link, part)))

    def write(self, folder):
        for place, content in self.files.items():
            path = Path(folder) / place
            os.makedirs(path.parent, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


def outside_of_code(text, change):
    """A text whose parts outside of blocks of code and code spans are changed."""
    parts = re.split(r"(?ms)(^ *```.*?^ *```[^\n]*$|`[^`\n]+`)", text)
    # A code span may be the text of a link: put it aside instead of cutting there.
    spans = []

    def aside(part):
        spans.append(part)
        return f"\x00{len(spans) - 1}\x00"

    joined = "".join(aside(part) if i % 2 else part for i, part in enumerate(parts))
    return re.sub(r"\x00(\d+)\x00", lambda match: spans[int(match[1])], change(joined))


def with_headings_of_tables(text):
    """With a word for screen readers in each empty heading of a column."""
    def heading(match):
        cells = match[1].strip().strip("|").split("|")
        cells = [cell if cell.strip() else ' <span class="sr-only">remarks</span> ' for cell in cells]
        return f"|{'|'.join(cells)}|\n{match[2]}"

    return re.sub(r"(?m)^(\|.*\|) *\n(\|(?: *:?-+:? *\|)+)", heading, text)


def for_python_markdown(text):
    """Without comments, and with what belongs to an item of a list indented by four spaces."""
    text = outside_of_code(text, lambda part: re.sub(r"<!--.*?-->\n?", "", part, flags=re.DOTALL))
    text = outside_of_code(text, with_headings_of_tables)
    lines, result, in_item, fence = text.split("\n"), [], False, None
    for i, line in enumerate(lines):
        indented = re.match(r"^  +\S", line) is not None
        if fence is None and re.match(r"^[-*] |^\d+\. ", line):
            in_item = True
        elif fence is None and line.strip() and not indented:
            in_item = False
        if in_item and (fence == "item" or (indented and i > 0 and (not lines[i - 1].strip() or re.match(r"^ +```", line)))):
            line = "  " + line if line.strip() else line
        if re.match(r"^\s*```", line):
            fence = None if fence else ("item" if in_item and line.startswith(" ") else "page")
        result.append(line)
    return "\n".join(result)
