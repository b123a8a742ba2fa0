"""The reference of the headers, made of their comments: doxygen reads them, and a page a folder shows classes, functions and
what their comments say."""

import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

FOLDERS = ("framework", "models", "datamodules", "callbacks", "cli", "tuning", "serving")
LEFT_OUT = ("framework/kernels/",)  # inner loops, whose declarations nobody calls but their rooms
DOXYFILE = """
INPUT = {folders}
FILE_PATTERNS = *.h
RECURSIVE = YES
OUTPUT_DIRECTORY = {output}
STRIP_FROM_PATH = {source}
GENERATE_HTML = NO
GENERATE_LATEX = NO
GENERATE_XML = YES
XML_PROGRAMLISTING = NO
QUIET = YES
WARN_IF_UNDOCUMENTED = NO
EXTRACT_ALL = YES
HIDE_FRIEND_COMPOUNDS = YES
JAVADOC_AUTOBRIEF = YES
AUTOLINK_SUPPORT = NO
"""


SPANS = []  # the code spans of comments, which doxygen gets as words: it would look for tags and commands in them
WORD_OF_A_SPAN = re.compile(r"CodeSpan(\d+)EndOfSpan")


def _without_spans(text):
    def aside(match):
        SPANS.append(re.sub(r"\s+", " ", match[1]).strip())
        return f"CodeSpan{len(SPANS) - 1}EndOfSpan"

    text = re.sub(r"`([^`]+)`", aside, text)
    return text.replace("<", r"\<").replace("#", r"\#")


def cleaned(text):
    """A header whose comments doxygen reads as they are meant: words in place of code spans, and angle brackets that are no
    tags."""
    result, comment, start = [], [], ""

    def finish():
        if comment:
            result.extend(start + line for line in _without_spans("\n".join(comment)).split("\n"))
        comment.clear()

    for line in text.split("\n"):
        match = re.match(r"^(\s*///<? ?)(?!    )(.*)$", line)
        if not match:
            finish()
            result.append(line)
            continue
        if comment and match[1].strip() != start.strip():
            finish()
        if not comment:
            start = match[1].rstrip() + " "
        comment.append(match[2])
    finish()
    return "\n".join(result)


def read_headers(root, work):
    """Copies the headers, lets doxygen read them, and returns its XML's folder. Its warnings are errors."""
    source, output = Path(work) / "headers", Path(work) / "doxygen"
    for folder in FOLDERS:
        for header in sorted((Path(root) / folder).rglob("*.h")):
            path = source / header.relative_to(root)
            os.makedirs(path.parent, exist_ok=True)
            path.write_text(cleaned(header.read_text()))
    os.makedirs(output, exist_ok=True)
    settings = DOXYFILE.format(folders=" ".join(f'"{source / folder}"' for folder in FOLDERS), output=f'"{output}"',
                               source=f'"{source}"')
    (output / "Doxyfile").write_text(settings)
    ended = subprocess.run(["doxygen", str(output / "Doxyfile")], check=True, capture_output=True, text=True)
    warnings = [line.replace(f"{source}/", "") for line in ended.stderr.splitlines() if "warning:" in line or "error:" in line]
    if warnings:
        raise ValueError("doxygen warns:\n" + "\n".join(warnings))
    return output / "xml"


def text_of(node):
    return "".join(node.itertext())


def escaped(text):
    text = re.sub(r"([*_<\[\]])", r"\\\1", text.replace("\\", "\\\\"))
    return WORD_OF_A_SPAN.sub(lambda match: span(SPANS[int(match[1])]), text)


def span(text):
    text = re.sub(r"\s+", " ", text).strip()
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}" if text else ""


def inline(node):
    """The Markdown of a paragraph without the blocks in it."""
    parts = [escaped(node.text or "")]
    for child in node:
        if child.tag == "computeroutput":
            parts.append(span(text_of(child)))
        elif child.tag == "ulink":
            parts.append(f"[{escaped(text_of(child))}]({child.get('url')})")
        elif child.tag in ("ref", "bold", "emphasis", "anchor"):
            parts.append(inline(child))
        elif child.tag not in BLOCKS:
            parts.append({"ndash": "–", "mdash": "—", "linebreak": "\n"}.get(child.tag, inline(child)))
        parts.append(escaped(child.tail or ""))
    return re.sub(r"[ \n]+", " ", "".join(parts)).strip()


def code_block(node):
    if node.tag == "verbatim":
        return node.text or ""
    lines = []
    for line in node.iter("codeline"):
        for space in line.iter("sp"):
            space.text = " "
        lines.append(text_of(line))
    return "\n".join(lines)


def outer_paragraphs(node):
    for child in node:
        if child.tag == "para":
            yield child
        elif child.tag.startswith("sect"):
            yield from outer_paragraphs(child)


def paragraphs(node):
    """The Markdown blocks of a description."""
    blocks = []
    for para in outer_paragraphs(node):
        words = inline(para)
        if words:
            blocks.append(words)
        for child in para:
            if child.tag in ("programlisting", "verbatim"):
                blocks.append("```cpp\n" + code_block(child).rstrip() + "\n```")
            elif child.tag in ("itemizedlist", "orderedlist"):
                items = [" ".join(inline(each) for each in item.iter("para")) for item in child.findall("listitem")]
                blocks.append("\n".join(f"- {item}" for item in items))
            elif child.tag == "simplesect":
                blocks += [inline(each) for each in child.iter("para")]
            elif child.tag == "table":
                blocks += [" ".join(inline(each) for each in row.iter("para")) for row in child.iter("row")]
    return blocks


BLOCKS = ("programlisting", "verbatim", "itemizedlist", "orderedlist", "simplesect", "table", "parameterlist")


def description(node):
    blocks = []
    for tag in ("briefdescription", "detaileddescription"):
        found = node.find(tag)
        if found is not None:
            blocks += paragraphs(found)
    return blocks


def indented(block):
    return "\n".join("    " + line if line else "" for line in block.split("\n"))


def signature(member):
    template = member.find("templateparamlist")
    text = ""
    if template is not None:
        names = [(text_of(each.find("type")) + " " + (each.findtext("declname") or "")).strip()
                 for each in template.findall("param")]
        text = f"template <{', '.join(names)}> "
    kind = text_of(member.find("type")) if member.find("type") is not None else ""
    if member.get("kind") == "enum":
        return f"enum {member.findtext('name')}"
    if member.get("kind") == "typedef":
        return f"using {member.findtext('name')} = {kind}{member.findtext('argsstring') or ''}"
    start = "static " if member.get("static") == "yes" else ""
    virtual = "virtual " if member.get("virt") in ("virtual", "pure-virtual") else ""
    text += f"{start}{virtual}{kind} {member.findtext('name')}{member.findtext('argsstring') or ''}"
    initializer = member.find("initializer")
    if initializer is not None and member.get("kind") == "variable":
        value = " ".join(text_of(initializer).split())
        if len(value) <= 60:
            text += f" {value}"
    text = re.sub(r"\s+", " ", text).replace("< ", "<").replace(" >", ">")
    text = re.sub(r" ([&*]+)(?=\w)", r"\1 ", text)
    return re.sub(r" ([&*]+)(?=[ ,)>]|$)", r"\1", text).replace(")=", ") = ").strip()


def member_entry(member):
    blocks = description(member)
    if member.get("kind") == "enum":
        for value in member.findall("enumvalue"):
            meaning = " ".join(description(value))
            blocks.append(f"- {span(value.findtext('name'))}" + (f": {meaning}" if meaning else ""))
        lists = [block for block in blocks if block.startswith("- ")]
        blocks = [block for block in blocks if not block.startswith("- ")] + (["\n".join(lists)] if lists else [])
    body = "\n\n".join(indented(block) for block in blocks) or "    &nbsp;"
    return f"{span(signature(member))}\n:{body[1:]}\n"


def members(compound):
    """The entries of public and protected members, the documented ones first, and the signatures of the others."""
    documented, others = [], []
    for section in compound.findall("sectiondef"):
        for member in section.findall("memberdef"):
            if member.get("prot") == "private" or member.get("kind") == "friend" or member.findtext("name").startswith("~"):
                continue
            if description(member) or member.get("kind") == "enum":
                documented.append(member_entry(member))
            else:
                others.append(signature(member) + ";")
    return documented, others


def class_section(compound):
    name = compound.findtext("compoundname").removeprefix("levin::")
    bases = [f"{base.get('prot')} {text_of(base)}" for base in compound.findall("basecompoundref")]
    lines = [f"### {name} {{ #{name.replace('::', '.')} }}", ""]
    head = f"{compound.get('kind')} {name}" + (f" : {', '.join(bases)}" if bases else "")
    lines += ["\n\n".join([span(head), *description(compound)]), ""]
    documented, others = members(compound)
    lines += documented
    if others:
        lines += ["```cpp", *others, "```"]
    return "\n".join(lines) + "\n\n"


def place_of(header):
    """The page of a header's folder, and the anchor of the header in it."""
    folder = os.path.dirname(header)
    return f"headers/{folder.replace('/', '-')}.md", os.path.basename(header).replace(".", "-")


def reference(root, work):
    """The pages of the reference {path: text}, and for each header the place that a link to it leads to."""
    xml = read_headers(root, work)
    sections = {}  # header -> its sections
    for file in sorted(xml.glob("*.xml")):
        if not re.match(r"(class|struct|namespacelevin)", file.name):
            continue
        compound = ElementTree.parse(file).getroot().find("compounddef")
        name = compound.findtext("compoundname")
        location = compound.find("location").get("file")
        if compound.get("kind") in ("class", "struct"):
            if name.startswith("levin::") and "<" not in name and compound.get("prot") != "private":
                sections.setdefault(location, []).append((0, name, class_section(compound)))
        elif name == "levin":
            for section in compound.findall("sectiondef"):
                for member in section.findall("memberdef"):
                    where = (member.find("location").get("declfile") or member.find("location").get("file"))
                    sections.setdefault(where, []).append((1, "", member_entry(member)))
    pages, headers = {}, {}
    for header in sorted(sections):
        if header.startswith(LEFT_OUT) or not header.endswith(".h"):
            continue
        place, anchor = place_of(header)
        headers[header] = f"{place}#{anchor}"
        classes = [text for kind, _, text in sorted(sections[header], key=lambda each: each[:2]) if kind == 0]
        functions = [text for kind, _, text in sections[header] if kind == 1]
        text = f"## {os.path.basename(header)} {{ #{anchor} }}\n\n```cpp\n#include <levin/{header}>\n```\n\n"
        text += "\n\n".join(classes)
        if functions:
            text += f"\n### Functions and types of {os.path.basename(header)}\n\n" if classes else "\n"
            text += "\n".join(functions) + "\n\n"
        if place not in pages:
            pages[place] = f"# {os.path.dirname(header)}\n\n"
        pages[place] += text
    return pages, headers
