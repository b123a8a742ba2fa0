"""The tables of docs/sklearn.md name tests that there are, and pictures have commands that make them."""

import re
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from page_blocks import read_page  # noqa: E402
from run_page import ROOT, has_test  # noqa: E402


def rows_with_tests(page):
    """The rows of the tables whose last column is called `test`."""
    rows, is_tested = [], False
    for line in page.split("\n"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            is_tested = False
        elif cells[-1] == "test":
            is_tested = True
        elif is_tested and not set(cells[0]) <= set("-"):
            rows.append(cells)
    return rows


def pictures_without_commands(name, text):
    """The pictures of a page that no command on it makes by their names."""
    commands = "".join(block.text for block in read_page(name, text).blocks if block.language == "sh")
    pictures = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text)
    return [picture for picture in pictures if picture.rsplit("/", 1)[-1] not in commands]


class Pictures(unittest.TestCase):
    def test_every_picture_is_made_by_a_command_of_its_page(self):
        for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
            self.assertEqual(pictures_without_commands(page.name, page.read_text()), [], page)

    def test_a_picture_without_a_command_is_found(self):
        page = "![x](pictures/a.svg)\n\n```sh\nlevin plot RUN --output b.svg\n```\n\n![y](pictures/b.svg)\n"
        self.assertEqual(pictures_without_commands("page.md", page), ["pictures/a.svg"])


class Tables(unittest.TestCase):
    def test_every_row_names_tests_that_there_are(self):
        rows = rows_with_tests((ROOT / "docs/sklearn.md").read_text())
        self.assertGreater(len(rows), 25)
        for cells in rows:
            self.assertEqual(len(cells), 3, cells)
            names = re.findall(r"`(\w+\.\w+)`", cells[2])
            self.assertTrue(names, cells)
            for name in names:
                self.assertTrue(has_test(name), name)

    def test_rows_are_found_by_the_name_of_the_last_column(self):
        page = "| a | test |\n|---|---|\n| x | `A.b` |\n\n| a | b |\n|---|---|\n| y | z |\n"
        self.assertEqual(rows_with_tests(page), [["x", "`A.b`"]])


if __name__ == "__main__":
    unittest.main()
