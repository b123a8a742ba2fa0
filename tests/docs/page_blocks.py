"""The blocks of code of a page of the documentation, and what its markers say about them.

A marker is a comment of HTML, which no reader sees. It stands before the block that it is about:

    <!-- test: file NAME -->         the block is written to this file, for the commands that follow
    <!-- test: same as PATH -->      the block is a part of this file, which is compiled or run. Lines "..." leave parts out;
                                     spaces, line breaks and comments may differ
    <!-- test: by NAME -->           this test (Suite.case of GoogleTest, or a test of ctest) runs what the block shows
    <!-- test: skip because TEXT --> the block can't be run, and this is why
    <!-- test: needs A, python:B --> the block is left out where the program A or Python's package B isn't installed
    <!-- test: any output -->        the output shown isn't compared

or it is about the page:

    <!-- test: run COMMANDS -->      runs commands of the shell that the page doesn't show, at this place
    <!-- test: replace A => B -->    commands and files have B in place of A
    <!-- test: ports 8000 8001 -->   and free ports in place of these
    <!-- test: page needs A -->      nothing is run where A isn't installed
"""

import re
import textwrap
from dataclasses import dataclass, field

MARKER = re.compile(r"<!--\s*test:\s*(.*?)\s*-->", re.DOTALL)
ABOUT_A_BLOCK = ("file ", "same as ", "by ", "skip because ", "needs ", "any output")


class PageError(Exception):
    """A page that says something wrong about its blocks."""


@dataclass
class Block:
    line: int
    language: str  # "run" for the commands of a marker
    text: str
    markers: dict = field(default_factory=dict)


@dataclass
class Page:
    name: str
    blocks: list = field(default_factory=list)
    replacements: list = field(default_factory=list)
    ports: list = field(default_factory=list)
    needs: str = ""


def _take_marker(page, text, line, pending):
    for verb in ABOUT_A_BLOCK:
        if text == verb.strip() or (verb.endswith(" ") and text.startswith(verb)):
            pending[verb.strip()] = " ".join(text[len(verb):].split())
            return
    verb, _, rest = re.match(r"(\S*)(\s*)(.*)", text, re.DOTALL).groups()
    if verb == "run" and rest:
        page.blocks.append(Block(line, "run", textwrap.dedent(rest) + "\n"))
    elif verb == "replace" and " => " in rest:
        page.replacements.append(tuple(part.strip() for part in rest.split(" => ", 1)))
    elif verb == "page" and rest.startswith("needs "):
        page.needs = rest[len("needs "):]
    elif verb == "ports" and rest:
        page.ports += rest.split()
    else:
        raise PageError(f"{page.name}:{line}: unknown marker '{text}'; tests/docs/page_blocks.py lists them")


def read_page(name, text):
    """The blocks of a page, in order. `name` is used in messages."""
    page = Page(name)
    lines = text.split("\n")
    pending, pending_line, at = {}, 0, 0
    while at < len(lines):
        fence = re.match(r"^( *)(`{3,})([^`]*)$", lines[at])
        if fence:
            end = at + 1
            while end < len(lines) and lines[end].strip() != fence[2]:
                end += 1
            if end == len(lines):
                raise PageError(f"{name}:{at + 1}: the block has no end")
            body = "\n".join(lines[at + 1:end]) + "\n"
            language = (fence[3].split() or [""])[0]
            page.blocks.append(Block(at + 1, language, textwrap.dedent(body), pending))
            pending, at = {}, end + 1
            continue
        if lines[at].lstrip().startswith("<!--"):
            end = at
            while end < len(lines) and "-->" not in lines[end]:
                end += 1
            marker = MARKER.search("\n".join(lines[at:end + 1]))
            if marker:
                _take_marker(page, marker[1], at + 1, pending)
                pending_line = at + 1
            at = end + 1
            continue
        if pending and lines[at].strip():
            break
        at += 1
    if pending:
        raise PageError(f"{name}:{pending_line}: the marker is before no block")
    return page


def _bare(text):
    return re.sub(r"\s+", "", re.sub(r"(^|[^:])//[^\n]*", r"\1", text))


def is_part_of(shown, source):
    """Whether a source has the lines that a page shows, one after the other except at lines "..."."""
    include = re.compile(r"(?m)^#include .*\n")
    if not set(include.findall(shown)) <= set(include.findall(source)):
        return False
    if _bare(include.sub("", shown)):
        shown, source = include.sub("", shown), include.sub("", source)
    source, at = _bare(source), 0
    for part in re.split(r"(?m)^[ \t]*(?://|#)?[ \t]*\.\.\.[ \t]*$", shown):
        part = _bare(part)
        found = source.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return bool(_bare(shown))
