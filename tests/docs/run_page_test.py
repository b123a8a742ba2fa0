"""The runner of pages finds what is wrong with a page."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import run_page  # noqa: E402
from page_blocks import PageError, is_part_of, read_page  # noqa: E402
from shown_output import has_json, has_lines  # noqa: E402

FENCE = "```"


def block(language, text, marker=None):
    return (f"<!-- test: {marker} -->\n" if marker else "") + f"{FENCE}{language}\n{text}\n{FENCE}\n"


class Pages(unittest.TestCase):
    def check(self, text):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text(text)
            return run_page.check_page(page, os.devnull)

    def failures(self, text):
        return "\n".join(self.check(text)[0])

    def test_commands_run_in_order_in_one_folder(self):
        page = block("yaml", "a: 1", "file a.yaml") + "<!-- test: run\ncat a.yaml > b\necho 2 >> b\n-->\n"
        failures, summary = self.check(page + block("sh", "cat b") + block("text", "a: 1\n2"))
        self.assertEqual(failures, [])
        self.assertIn("3 blocks and commands run, 1 outputs compared, 0 left out, 1 others", summary)

    def test_a_command_that_fails_is_named_with_its_line_and_what_it_wrote(self):
        got = self.failures("words\n\n" + block("sh", "true") + block("sh", "echo broken >&2\nfalse\ntrue"))
        self.assertIn("page.md:6: failed (status 1)", got)
        self.assertIn("broken", got)

    def test_commands_behind_one_that_failed_are_not_run(self):
        self.assertNotIn("reached", self.failures(block("sh", "false") + block("sh", "echo reached >&2; false")))

    def test_another_output_than_shown_is_a_failure(self):
        page = block("sh", "echo '{\"a\": 0.5}'")
        self.assertEqual(self.failures(page + block("json", '{"a": 0.501}')), "")
        self.assertIn("another output than shown", self.failures(page + block("json", '{"a": 0.6}')))
        self.assertEqual(self.failures(page + block("json", '{"a": 0.6}', "any output")), "")

    def test_a_block_must_say_what_it_is(self):
        self.assertIn("has no language", self.failures(block("", "levin fit")))
        self.assertIn("nothing says how the cpp is tested", self.failures(block("cpp", "int x;")))
        self.assertIn("gives no reason", self.failures(block("sh", "ssh a", "skip because")))
        self.assertEqual(self.failures(block("sh", "exit 1", "skip because it needs a cluster")), "")

    def test_a_block_that_is_tested_elsewhere_names_a_test_that_exists(self):
        self.assertEqual(self.failures(block("cmake", "x", "by install.consumer")), "")
        self.assertIn("there is no test", self.failures(block("cmake", "x", "by Readme.no_such_case")))

    def test_code_is_that_of_the_file_that_it_names(self):
        self.assertEqual(self.failures(block("cpp", "int main() try {", "same as examples/own_model.cpp")), "")
        self.assertIn("hasn't these lines", self.failures(block("cpp", "int main(int) {", "same as examples/own_model.cpp")))
        self.assertTrue(is_part_of("a(b,\n  c);  // why\n...\ne;", "x; a(b, c);\nd;\ne;"))
        self.assertFalse(is_part_of("a;\nc;", "a; b; c;"))
        self.assertFalse(is_part_of("c;\n...\na;", "a; b; c;"))

    def test_what_is_replaced_must_be_there(self):
        page = "<!-- test: replace false => true -->\n"
        self.assertEqual(self.failures(page + block("sh", "false")), "")
        self.assertIn("nothing has 'false'", self.failures(page + block("sh", "true")))

    def test_ports_are_replaced_also_by_those_that_contain_others_of_the_page(self):
        page = read_page("page.md", "<!-- test: ports 8000 8001 -->\n")
        apply = run_page.replaced(page, ["38001", "48000"])
        self.assertEqual(apply("8000:8001 :8001/ 18000 x8000"), "38001:48000 :48000/ 18000 x38001")

    def test_wrong_markers_are_refused(self):
        for text in ("<!-- test: runn x -->", "<!-- test: file a -->\n\nwords\n" + block("sh", "true"), f"{FENCE}sh\ntrue"):
            with self.assertRaises(PageError):
                read_page("page.md", text)

    def test_what_is_not_installed_leaves_a_block_out(self):
        failures, summary = self.check(block("sh", "no-such-program-here", "needs no-such-program-here"))
        self.assertEqual(failures, [])
        self.assertIn("0 blocks and commands run, 0 outputs compared, 1 left out", summary)
        page = "<!-- test: page needs no-such-program-here -->\n" + block("sh", "false") + block("sh", "false")
        self.assertIn("0 blocks and commands run, 0 outputs compared, 2 left out", self.check(page)[1])

    def test_outputs_are_compared_by_cells_and_about_by_their_numbers(self):
        self.assertTrue(has_lines("class,p\n0,0.941\n", "class,p\n0,0.94\n"))
        self.assertFalse(has_lines("class,p\n1,0.941\n", "class,p\n0,0.94\n"))
        self.assertFalse(has_lines("class,p\n0,0.921\n", "class,p\n0,0.94\n"))
        self.assertTrue(has_lines("a\nb\nc 1 2\nd", "a\n...\nc ...\nd"))
        self.assertFalse(has_lines("a\nb\nd", "a\n...\nc\nd"))
        self.assertTrue(has_json('ok {"ready":true}{"class":0,"p":[0.941,0.059]} 7', '{"class": 0, "p": [0.94, 0.06]}'))
        self.assertFalse(has_json('{"class":0,"p":[0.951]}', '{"class": 0, "p": [0.95, 0.05]}'))
        self.assertFalse(has_json('{"class":0,"p":[0.95,0.05],"more":1}', '{"class": 0, "p": [0.95, 0.05]}'))


if __name__ == "__main__":
    unittest.main()
