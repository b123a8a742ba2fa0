"""The parts that make the site of the documentation, and the check of its links, do what they say."""

import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "scripts/docs")]
import header_reference  # noqa: E402
import options_reference  # noqa: E402
from check_site import dead_links  # noqa: E402
from pages import Site, for_python_markdown  # noqa: E402

HELP = """MLP: a feed-forward net

  bias: bool = true                 whether each unit has a bias
  missing_values: list of str = ["", "NaN"]
                                    cells that count | as missing
  optimizer: str = Adam             name of an optimizer
  callbacks: lists of classes; see `list callbacks`
"""


class Links(unittest.TestCase):
    def problems(self, body, more=""):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "index.html").write_text(f"<html><head>{more}</head><body>{body}</body></html>")
            (Path(folder) / "other.html").write_text('<h2 id="here">x</h2>')
            return dead_links(folder)[0]

    def test_links_to_pages_and_anchors_that_there_are_are_right(self):
        self.assertEqual(self.problems('<a href="other.html#here">x</a><a href="#a"><b id="a">'), [])
        self.assertEqual(self.problems('<a href="https://example.org/x">x</a><a href="http://127.0.0.1:8000/">'), [])

    def test_dead_links_are_named(self):
        self.assertEqual(self.problems('<a href="gone.html">x</a>'), ["index.html: gone.html leads to nothing"])
        self.assertEqual(self.problems('<a href="other.html#b">x</a>'), ["index.html: other.html#b has an anchor that isn't there"])
        self.assertEqual(self.problems('<img src="a.svg">'), ["index.html: a.svg leads to nothing"])
        self.assertEqual(self.problems('<a href="../../etc/passwd">x</a>'), ["index.html: ../../etc/passwd leads to nothing"])
        self.assertEqual(self.problems('<a href="http://example.org">x</a>'), ["index.html: http://example.org is no https address"])

    def test_a_page_loads_nothing_from_elsewhere(self):
        script = '<script src="https://example.org/a.js"></script>'
        self.assertEqual(self.problems("", script), ["index.html loads https://example.org/a.js"])

    def test_a_folder_without_pages_is_no_site(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(len(dead_links(folder)[0]), 1)


class Pages(unittest.TestCase):
    def test_links_between_files_become_links_between_pages(self):
        site = Site(ROOT)
        text = site.with_links("[a](../ARCHITECTURE.md#x) [`b`](../examples/iris.cpp) `[c](d.md)`", "docs/data.md", "data.md")
        self.assertEqual(text, "[a](design.md#x) [`b`](source/examples/iris.cpp.md) `[c](d.md)`")
        self.assertIn("int main", site.files["source/examples/iris.cpp.md"])

    def test_a_link_to_nothing_is_refused(self):
        with self.assertRaisesRegex(ValueError, "docs/data.md links to gone.md: there is no docs/gone.md"):
            Site(ROOT).with_links("[a](gone.md)", "docs/data.md", "data.md")

    def test_markers_go_and_parts_of_items_are_indented_by_four(self):
        self.assertEqual(for_python_markdown("<!-- test: any output -->\n- a\n  b\n\n  ```yaml\n  x: 1\n  ```\n\nend"),
                         "- a\n  b\n\n    ```yaml\n    x: 1\n    ```\n\nend")

    def test_columns_without_a_heading_get_one_for_screen_readers(self):
        self.assertIn('| a | <span class="sr-only">remarks</span> |\n|---|---|', for_python_markdown("| a | |\n|---|---|\n| b | c |"))


class Reference(unittest.TestCase):
    def test_settings_are_read_from_the_help_of_a_class(self):
        rows, rest = options_reference.settings_of(HELP.partition("\n\n")[2].splitlines())
        self.assertEqual(rows, [["bias", "bool", "true", "whether each unit has a bias"],
                                ["missing_values", "list of str", '["", "NaN"]', "cells that count | as missing"],
                                ["optimizer", "str", "Adam", "name of an optimizer"]])
        self.assertEqual(len(rest), 1)
        section = options_reference.class_section("MLP", HELP)
        self.assertTrue(section.startswith("## MLP\n\nA feed-forward net.\n"), section)
        self.assertIn("| `missing_values` | list of str | `[\"\", \"NaN\"]` | cells that count \\| as missing |", section)

    def test_code_in_comments_reaches_the_page_as_it_is(self):
        text = header_reference.cleaned("/// See `a<b>::c` and `x\n/// y` in <z>.\nint f();\n///     code <b>\n")
        self.assertNotIn("`", text)
        self.assertIn("\\<z>", text)
        self.assertIn("///     code <b>", text)
        words = text.split("/// See ")[1].split(" and ")[0]
        self.assertEqual(header_reference.escaped(words), "`a<b>::c`")

    def test_a_member_has_its_signature_and_its_comment(self):
        member = ElementTree.fromstring(
            '<memberdef kind="function" static="no" virt="virtual" prot="public"><type>const <ref>Batch</ref> &amp;</type>'
            "<name>next</name><argsstring>(Batch &amp;batch, int n=1)=0</argsstring><briefdescription><para>Reads.</para>"
            "</briefdescription><detaileddescription><para>More of <computeroutput>it</computeroutput>:<programlisting>"
            "<codeline><highlight>a<sp/>b;</highlight></codeline></programlisting></para></detaileddescription></memberdef>")
        self.assertEqual(header_reference.member_entry(member),
                         "`virtual const Batch& next(Batch& batch, int n=1) = 0`\n:   Reads.\n\n    More of `it`:\n\n"
                         "    ```cpp\n    a b;\n    ```\n")


if __name__ == "__main__":
    unittest.main()
