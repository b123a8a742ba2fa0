#include <levin/cli/plugins/plugin_file.h>

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::plugin_file_test {
namespace {

namespace fs = std::filesystem;

constexpr PluginBuild kOwn = make_plugin_build("0.1.0", "2.9.0", {1, 2, 3});

std::string bytes_of(const PluginBuild& build) {
  std::string bytes(sizeof build, '\0');
  std::memcpy(bytes.data(), &build, sizeof build);
  return bytes;
}

/// The first bytes of this program's file, as those of a file of another type or machine.
std::string elf_bytes(unsigned type = ET_DYN, int machine = -1) {
  std::string bytes(EI_NIDENT + 4, '\0');
  std::ifstream("/proc/self/exe", std::ios::binary)
      .read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  const bool is_little = bytes[EI_DATA] == ELFDATA2LSB;
  const auto put = [&](size_t at, unsigned number) {
    bytes[at] = static_cast<char>(is_little ? number % 256 : number / 256);
    bytes[at + 1] = static_cast<char>(is_little ? number / 256 : number % 256);
  };
  put(EI_NIDENT, type);
  if (machine >= 0) put(EI_NIDENT + 2, static_cast<unsigned>(machine));
  return bytes;
}

class PluginFile : public ::testing::Test {
 protected:
  fs::path write(const std::string& bytes) const {
    const fs::path path = folder_ / "libmine.so";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  void expect_refused(const std::string& bytes, const std::string& problem) const {
    const fs::path path = write(bytes);
    const std::string message =
        test::message_of<ConfigError>([&] { load_plugin_function(path, kOwn); });
    EXPECT_TRUE(message.starts_with("--plugin " + path.string() + ": ")) << message;
    EXPECT_NE(message.find(problem), std::string::npos) << message << "\nlacks: " << problem;
  }

  test::TemporaryFolder folder_;
};

TEST_F(PluginFile, of_the_same_build_passes) {
  const fs::path path = write(elf_bytes() + "code" + bytes_of(kOwn) + "more");
  EXPECT_NO_THROW(check_plugin_file(path, kOwn));
}

TEST_F(PluginFile, that_is_missing_is_named_with_the_nearest_one) {
  write("");
  const std::string message =
      test::message_of<ConfigError>([&] { check_plugin_file(folder_ / "libmin.so", kOwn); });
  EXPECT_NE(message.find("there is no such file; did you mean"), std::string::npos) << message;
  EXPECT_NE(message.find("libmine.so'?"), std::string::npos) << message;
  EXPECT_NE(test::message_of<ConfigError>([&] {
              check_plugin_file(folder_.path(), kOwn);
            }).find("it is a folder; give the path of the library in it"),
            std::string::npos);
}

TEST_F(PluginFile, that_is_no_library_for_this_machine_is_refused) {
  expect_refused("", "it isn't a shared library; give the .so file");
  expect_refused("#!/bin/sh\necho no library, but a script\n", "it isn't a shared library");
  const int other = elf_bytes() == elf_bytes(ET_DYN, EM_AARCH64) ? EM_X86_64 : EM_AARCH64;
  expect_refused(elf_bytes(ET_DYN, other) + bytes_of(kOwn), "it was built for ");
  expect_refused(elf_bytes(ET_REL) + bytes_of(kOwn), "it is an object file or a program");
}

TEST_F(PluginFile, of_another_build_is_refused_with_both_versions) {
  expect_refused(elf_bytes(), "it isn't a plugin of Levin; include <levin/cli/plugin.h>");
  const std::string library(kStandardLibrary);
  expect_refused(elf_bytes() + bytes_of(make_plugin_build("0.2.0", "2.9.0", {1, 2, 3})),
                 "it was built with Levin 0.2.0, LibTorch 2.9.0, " + library +
                     ", but this program is Levin 0.1.0, LibTorch 2.9.0, " + library +
                     "; build it again");
  expect_refused(elf_bytes() + bytes_of(make_plugin_build("0.1.0", "2.9.0", {1, 2, 4})),
                 "whose classes have other sizes");
  expect_refused(elf_bytes() + bytes_of(kOwn).substr(0, 40), "it isn't a plugin of Levin");
}

TEST_F(PluginFile, that_the_system_cannot_load_is_refused_with_its_reason) {
  expect_refused(elf_bytes() + bytes_of(kOwn), "it can't be loaded: ");
}

}  // namespace
}  // namespace levin::plugin_file_test
