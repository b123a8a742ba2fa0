#include <levin/cli/plugins/plugin_file.h>

#include <dlfcn.h>
#include <elf.h>

#include <cstring>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPluginFunction = "levin_plugin";

[[noreturn]] void refuse_plugin(const fs::path& path, std::string_view problem,
                                std::string_view hint) {
  throw ConfigError(fmt::format("--plugin {}: {}; {}", path.string(), problem, hint));
}

/// The shared libraries in the folder of `path`.
std::vector<std::string> libraries_beside(const fs::path& path) {
  std::vector<std::string> names;
  std::error_code code;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  for (fs::directory_iterator each(folder, code), end; !code && each != end; each.increment(code)) {
    if (each->path().extension() == ".so") names.push_back(each->path().filename().string());
  }
  return names;
}

[[noreturn]] void refuse_missing_plugin(const fs::path& path) {
  const std::string near = nearest_name(path.filename().string(), libraries_beside(path));
  refuse_plugin(path, "there is no such file",
                near.empty()
                    ? "give the path of the library that the build of your classes made"
                    : fmt::format("did you mean '{}'?", (path.parent_path() / near).string()));
}

std::string machine_name(unsigned machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "AArch64";
    case EM_386:
      return "32-bit x86";
    case EM_ARM:
      return "32-bit ARM";
    case EM_RISCV:
      return "RISC-V";
    case EM_PPC64:
      return "POWER";
    default:
      return fmt::format("machines of number {}", machine);
  }
}

/// What the first bytes of an ELF file say, which are the same for 32 and 64 bits.
struct ElfStart {
  unsigned type = 0;
  unsigned machine = 0;
};

ElfStart elf_start(const fs::path& path, std::string_view bytes) {
  constexpr size_t kStart = EI_NIDENT + 4;
  if (bytes.size() < kStart || !bytes.starts_with(ELFMAG)) {
    refuse_plugin(path, "it isn't a shared library",
                  "give the .so file that the build of your classes made");
  }
  const bool is_little = bytes[EI_DATA] == ELFDATA2LSB;
  const auto number = [&](size_t at) {
    const unsigned first = static_cast<unsigned char>(bytes[at]);
    const unsigned second = static_cast<unsigned char>(bytes[at + 1]);
    return is_little ? first + 256 * second : second + 256 * first;
  };
  return {number(EI_NIDENT), number(EI_NIDENT + 2)};
}

void require_same_machine(const fs::path& path, const ElfStart& start) {
  const auto own = elf_start("/proc/self/exe", files::read_text("/proc/self/exe"));
  if (start.machine != own.machine) {
    refuse_plugin(path,
                  fmt::format("it was built for {}, but this program runs on {}",
                              machine_name(start.machine), machine_name(own.machine)),
                  "build it on a machine of this kind");
  }
  if (start.type != ET_DYN) {
    refuse_plugin(path, "it is an object file or a program, not a shared library",
                  "build it by add_library(... SHARED ...)");
  }
}

/// The records of builds in the bytes of a file.
std::vector<PluginBuild> builds_in(std::string_view bytes) {
  std::vector<PluginBuild> builds;
  for (size_t at = bytes.find(kPluginMark); at != std::string_view::npos;
       at = bytes.find(kPluginMark, at + 1)) {
    if (bytes.size() - at < sizeof(PluginBuild)) break;
    PluginBuild build;
    std::memcpy(&build, bytes.data() + at, sizeof build);
    if (build.mark == plugin_text<24>(kPluginMark)) builds.push_back(build);
  }
  return builds;
}

template <size_t N>
std::string_view plugin_text_of(const std::array<char, N>& bytes) {
  return {bytes.data(), ::strnlen(bytes.data(), N)};
}

void require_same_build(const fs::path& path, std::string_view bytes, const PluginBuild& own) {
  const auto builds = builds_in(bytes);
  if (builds.empty()) {
    refuse_plugin(path, "it isn't a plugin of Levin",
                  "include <levin/cli/plugin.h> in one of its sources and define levin_plugin "
                  "there; `levin new project NAME` writes an example");
  }
  for (const auto& build : builds) {
    if (build == own) return;
  }
  const std::string theirs = to_string(builds.front());
  const std::string ours = to_string(own);
  const std::string difference =
      theirs == ours ? fmt::format("another build of {}, whose classes have other sizes", theirs)
                     : theirs;
  refuse_plugin(path, fmt::format("it was built with {}, but this program is {}", difference, ours),
                "build it again with the headers of this Levin (find_package(levin))");
}

}  // namespace

std::string to_string(const PluginBuild& build) {
  return fmt::format("Levin {}, LibTorch {}, {}", plugin_text_of(build.levin),
                     plugin_text_of(build.torch), plugin_text_of(build.standard_library));
}

void check_plugin_file(const fs::path& path, const PluginBuild& own) {
  std::error_code code;
  if (!fs::exists(path, code)) refuse_missing_plugin(path);
  if (fs::is_directory(path, code)) {
    refuse_plugin(path, "it is a folder", "give the path of the library in it");
  }
  std::string bytes;
  try {
    bytes = files::read_text(path);
  } catch (const Error& error) {
    throw ConfigError(fmt::format("--plugin {}: {}", path.string(), error.what()));
  }
  require_same_machine(path, elf_start(path, bytes));
  require_same_build(path, bytes, own);
}

void* load_plugin_function(const fs::path& path, const PluginBuild& own) {
  check_plugin_file(path, own);
  // A path without a slash would be looked for in the folders of the system.
  const std::string absolute = fs::absolute(path).string();
  void* const library = ::dlopen(absolute.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    refuse_plugin(
        path, fmt::format("it can't be loaded: {}", ::dlerror()),
        "`ldd` says which libraries are missing: link it with all libraries that it uses, "
        "and add their folders to its rpath or to LD_LIBRARY_PATH");
  }
  void* const function = ::dlsym(library, kPluginFunction);
  if (function == nullptr) {
    refuse_plugin(
        path, "it has no function levin_plugin",
        "define `void levin_plugin(levin::Registry& registry)`, outside of any namespace, "
        "in a source that includes <levin/cli/plugin.h>");
  }
  return function;
}

}  // namespace levin
