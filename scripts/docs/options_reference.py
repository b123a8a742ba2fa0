"""The reference of commands, classes and settings, made of what the program itself says of them."""

import re
import subprocess

TITLES = {"models": "Models", "datamodules": "Data modules", "callbacks": "Callbacks", "loggers": "Loggers",
          "optimizers": "Optimizers and solvers", "schedulers": "Learning-rate schedules", "metrics": "Metrics",
          "transforms": "Transforms", "compressions": "Gradient compression", "averagings": "Model averaging"}
SETTING = re.compile(r"^  (\S+): (.+?) = (.*)$")


def output_of(levin, *arguments):
    return subprocess.run([levin, *arguments], check=True, capture_output=True, text=True).stdout


def cell(text):
    """As the cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_").strip()


def code(text):
    return "`" + text.replace("|", "&#124;") + "`" if text and "|" not in text else (cell(text) if text else "")


def listed(levin):
    """The classes of each kind: {kind: [(name, meaning)]}."""
    kinds, kind = {}, None
    for line in output_of(levin, "list").splitlines():
        if line and not line.startswith(" "):
            kind = kinds.setdefault(line, [])
        elif line:
            name, _, meaning = line.strip().partition("  ")
            kind.append((name, meaning.strip()))
    return kinds


def settings_of(lines):
    """The rows (name, type, default, meaning) of a table of settings, and the lines that are none."""
    rows, rest, column = [], [], 0
    for line in lines:
        match = SETTING.match(line)
        if match:
            value, _, meaning = match[3].partition("  ") if "  " in match[3] else (match[3], "", "")
            if meaning:
                column = len(line) - len(meaning.lstrip())
            rows.append([match[1], match[2], value.strip(), meaning.strip()])
        elif rows and re.match(r"^ {8,}\S", line):
            rows[-1][3] = f"{rows[-1][3]} {line.strip()}".strip()
        else:
            rest.append(line)
    return rows, rest


def settings_table(rows):
    lines = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {cell(kind)} | {code(value)} | {cell(meaning)} |" for name, kind, value, meaning in rows]
    return "\n".join(lines) + "\n"


def class_section(name, text, level="##"):
    """The section of a class from what `levin help CLASS` prints."""
    head, _, body = text.partition("\n\n")
    meaning = head.partition(": ")[2].strip()
    rows, rest = settings_of(body.splitlines())
    section = f"{level} {name}\n\n{cell(meaning[:1].upper() + meaning[1:])}.\n\n"
    if rows:
        section += settings_table(rows)
    notes = "\n".join(line.strip() for line in rest if line.strip())
    if notes and rows:
        section += f"\n{cell(notes[:1].upper() + notes[1:])}.\n"
    return section + ("" if rows else "It has no settings.\n")


def command_section(name, text):
    """The section of a command from what `levin COMMAND --help` prints."""
    usage, _, body = text.partition("\n\n")
    meaning, _, body = body.partition("\n\n")
    section = f"## levin {name}\n\n{cell(meaning[:1].upper() + meaning[1:])}.\n\n```text\n{usage}\n```\n\n"
    rows, rest = settings_of(body.splitlines())
    if rows:
        section += settings_table([[f"--{row[0].lstrip('-')}", *row[1:]] for row in rows])
    notes = "\n".join(rest).replace("options:\n", "" if rows else "options:\n", 1).strip("\n")
    return section + (f"\n```text\n{notes}\n```\n" if notes.strip() else "")


def commands(levin):
    """The names of the commands."""
    text = output_of(levin, "--help")
    names = re.findall(r"(?m)^  ([a-z-]+) +\S", text.split("commands:")[1].split("\n\n")[0])
    return sorted(names)


def reference(levin):
    """The pages of the reference: {path: text}, and the titles of the pages in their order."""
    pages, titles = {}, []
    names = commands(levin)
    kinds = listed(levin)
    classes = [name for entries in kinds.values() for name, _ in entries]
    # One process prints everything; each text begins with its name.
    printed = output_of(levin, "help", "trainer", *classes, *names)
    starts = [("trainer", "trainer: ")] + [(name, f"{name}: ") for name in classes]
    starts += [(name, f"usage: levin {name}") for name in names]
    texts, at = {}, 0
    for i, (name, start) in enumerate(starts):
        following = "\n\n" + starts[i + 1][1] if i + 1 < len(starts) else None
        end = printed.index(following, at) if following else len(printed)
        key = ("command " if start.startswith("usage") else "") + name
        texts.setdefault(key, printed[at:end])
        if not printed[at:].startswith(start):
            raise ValueError(f"levin help {name} doesn't begin with '{start}'")
        at = end + 2
    page = "# Commands\n\nWhat `levin COMMAND --help` prints, for every command.\n\n"
    pages["reference/commands.md"] = page + "\n".join(command_section(name, texts["command " + name]) for name in names)
    titles.append(("Commands", "reference/commands.md"))
    trainer = class_section("Settings", texts["trainer"])
    pages["reference/trainer.md"] = ("# Trainer\n\nThe settings of `trainer` in a configuration, `--trainer.NAME=VALUE` on the "
                                     "command line, and, in C++, of `TrainerOptions`.\n\n" + trainer)
    titles.append(("Trainer", "reference/trainer.md"))
    for kind, entries in kinds.items():
        title = TITLES.get(kind, kind.capitalize())
        text = f"# {title}\n\nWhat `levin list {kind}` names, with the settings that `levin help CLASS` explains.\n\n"
        text += "\n".join(class_section(name, texts[name]) for name, _ in entries)
        pages[f"reference/{kind}.md"] = text
        titles.append((title, f"reference/{kind}.md"))
    return pages, titles
