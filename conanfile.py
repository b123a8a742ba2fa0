"""Builds Levin from a clone with conan 2: `conan create . -c tools.cmake.cmaketoolchain:generator=Ninja`.

LibTorch isn't a package of conan: LEVIN_TORCH_DIR, an environment variable, names the folder of one, such
as the torch folder of a Python installation with torch 2.11. The other libraries are those of the
system; if `tools.system.package_manager:mode` is `install`, apt installs them.
"""

import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load
from conan.tools.system.package_manager import Apt


class Levin(ConanFile):
    name = "levin"
    description = "A training framework on LibTorch"
    license = "Apache-2.0"
    package_type = "shared-library"
    settings = "os", "arch", "compiler", "build_type"
    test_package_folder = "tests/install"
    exports = "run"  # names the packages of the system
    exports_sources = ("CMakeLists.txt", "ARCHITECTURE.md", "LICENSE", "levin.h", "cmake/*", "packaging/*",
                       "framework/*", "models/*", "datamodules/*", "callbacks/*", "cli/*", "serving/*",
                       "tuning/*", "program/*", "examples/*", "benchmarks/*", "scripts/*")

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, "framework", "core", "version.h"))
        self.version = re.search(r'kVersion = "([0-9.]+)"', text).group(1)

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("Levin runs on Linux")
        torch = os.environ.get("LEVIN_TORCH_DIR", "")
        if not os.path.exists(os.path.join(torch, "lib", "libtorch_cpu.so")):
            raise ConanInvalidConfiguration(
                f"LEVIN_TORCH_DIR = '{torch}' has no lib/libtorch_cpu.so; set it to the torch folder of a Python "
                "installation with torch 2.11 (pip install torch==2.11.0)")

    def system_requirements(self):
        # The packages of ./run, but for those of the tests.
        packages = re.search(r'^packages="([^"]+)"', load(self, os.path.join(self.recipe_folder, "run")), re.MULTILINE)
        Apt(self).install([name for name in packages.group(1).split() if name != "libgtest-dev"])

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["LEVIN_TORCH_DIR"] = os.environ["LEVIN_TORCH_DIR"]
        toolchain.cache_variables["LEVIN_TESTS"] = False
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        # Levin's own CMake package knows how to find LibTorch.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs.append(os.path.join("lib", "cmake", "levin"))
        self.cpp_info.libs = ["levin"]
