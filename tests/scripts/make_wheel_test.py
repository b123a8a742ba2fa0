"""scripts/make_wheel.py on a tree that is made up here; ctest runs this."""

import base64
import csv
import hashlib
import os
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts", "make_wheel.py")


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


class MakeWheel(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.TemporaryDirectory()
        self.tree = os.path.join(self.work.name, "tree")
        compiler = os.environ.get("CXX", "c++")
        write(os.path.join(self.tree, "bin", "levin"), "#!/bin/sh\necho \"called: $LEVIN_TORCH_DIR $*\"\n", 0o755)
        write(os.path.join(self.tree, "include", "levin", "levin.h"), "#pragma once\n")
        write(os.path.join(self.tree, "lib", "cmake", "levin", "levin-targets-release.cmake"),
              '"${_IMPORT_PREFIX}/lib/liblevin.so.0.1.0"\n')
        source = os.path.join(self.work.name, "a.cpp")
        write(source, "#include <sys/random.h>\nint main() { char c; return ::getrandom(&c, 1, 0) == 1 ? 0 : 1; }\n")
        library = os.path.join(self.tree, "lib", "liblevin.so.0.1.0")
        subprocess.run([compiler, "-shared", "-fPIC", "-Wl,-soname,liblevin.so.0", "-o", library, source], check=True)
        os.symlink("liblevin.so.0.1.0", os.path.join(self.tree, "lib", "liblevin.so.0"))
        os.symlink("liblevin.so.0", os.path.join(self.tree, "lib", "liblevin.so"))
        os.makedirs(os.path.join(self.tree, "libexec", "levin"))
        subprocess.run([compiler, "-o", os.path.join(self.tree, "libexec", "levin", "levin"), source], check=True)

    def tearDown(self):
        self.work.cleanup()

    def make(self, folder="out"):
        output = subprocess.run(
            [sys.executable, SCRIPT, "--tree", self.tree, "--version", "0.1.0", "--torch", "2.11",
             os.path.join(self.work.name, folder)], check=True, capture_output=True, text=True).stdout
        return output.strip()

    def test_record_has_each_file_with_its_checksum(self):
        with zipfile.ZipFile(self.make()) as wheel:
            record = list(csv.reader(wheel.read("levin-0.1.0.dist-info/RECORD").decode().splitlines()))
            self.assertEqual(sorted(row[0] for row in record), sorted(wheel.namelist()))
            for name, digest, size in record:
                if name.endswith("/RECORD"):
                    continue
                data = wheel.read(name)
                wanted = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                self.assertEqual((digest, size), (f"sha256={wanted}", str(len(data))), name)

    def test_a_library_is_there_once_by_the_name_that_programs_ask_for(self):
        with zipfile.ZipFile(self.make()) as wheel:
            libraries = [name for name in wheel.namelist() if "liblevin" in name]
            targets = wheel.read("levin/lib/cmake/levin/levin-targets-release.cmake").decode()
        self.assertEqual(libraries, ["levin/lib/liblevin.so.0"])
        self.assertEqual(targets, '"${_IMPORT_PREFIX}/lib/liblevin.so.0"\n')

    def test_the_name_states_the_glibc_that_is_needed(self):
        path = self.make()
        with zipfile.ZipFile(path) as wheel:
            metadata = wheel.read("levin-0.1.0.dist-info/METADATA").decode()
            tag = wheel.read("levin-0.1.0.dist-info/WHEEL").decode().split("Tag: ")[1].strip()
        self.assertRegex(tag, r"^py3-none-manylinux_2_\d+_")
        self.assertEqual(os.path.basename(path), f"levin-0.1.0-{tag}.whl")
        minor = int(tag.split("_")[2])
        self.assertGreaterEqual(minor, 25)  # getrandom is in glibc since 2.25
        self.assertLessEqual(minor, int(os.confstr("CS_GNU_LIBC_VERSION").split(".")[1]))
        self.assertIn(f"Requires-External: glibc (>=2.{minor})\n", metadata)
        self.assertIn("Requires-Dist: torch ==2.11.*\n", metadata)

    def test_the_installed_command_starts_the_program_with_the_torch_of_this_python(self):
        site = os.path.join(self.work.name, "site")
        with zipfile.ZipFile(self.make()) as wheel:
            wheel.extractall(site)
            for entry in wheel.infolist():  # as pip does
                if entry.external_attr >> 16 & 0o111:
                    os.chmod(os.path.join(site, entry.filename), 0o755)
        write(os.path.join(site, "torch", "__init__.py"), "raise ImportError('torch is not to be imported')\n")
        environment = {name: value for name, value in os.environ.items() if name != "LEVIN_TORCH_DIR"}
        environment["PYTHONPATH"] = site
        for given, torch in (({}, os.path.join(site, "torch")), ({"LEVIN_TORCH_DIR": "/own"}, "/own")):
            output = subprocess.run([sys.executable, "-m", "levin", "fit", "a b"], check=True, capture_output=True,
                                    text=True, cwd=self.work.name, env={**environment, **given}).stdout
            self.assertEqual(output, f"called: {torch} fit a b\n")

    def test_two_runs_make_the_same_bytes(self):
        with open(self.make("first"), "rb") as first, open(self.make("second"), "rb") as second:
            self.assertEqual(first.read(), second.read())

    def test_a_tree_of_something_else_is_refused(self):
        result = subprocess.run([sys.executable, SCRIPT, "--tree", self.work.name, "--version", "1", "--torch", "2.11",
                                 self.work.name], capture_output=True, text=True)
        self.assertEqual(result.returncode, 1)
        self.assertIn("has no libexec/levin/levin", result.stderr)


if __name__ == "__main__":
    unittest.main()
