"""What `conan create` does with the package that it has made: a program of somebody else is compiled against it and trains, and the
package's own program trains too.
"""

import os
import shutil
import tempfile

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout


class Consumer(ConanFile):
    settings = "os", "arch", "compiler", "build_type"

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        cmake_layout(self, build_folder="../../build/conan")  # git ignores it

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False  # no file of presets beside the sources
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def test(self):
        if not can_run(self):
            return
        consumer = os.path.join(self.build_folder, "consumer")
        self.run(f'"{consumer}"')
        package = self.dependencies[self.tested_reference_str].package_folder
        configuration = os.path.join(package, "share", "levin", "examples", "configs", "iris.yaml")
        work = tempfile.mkdtemp()  # for what the program writes
        try:
            self.run(f'"{package}/bin/levin" fit --config "{configuration}" --trainer.max_epochs=2', cwd=work)
        finally:
            shutil.rmtree(work)
