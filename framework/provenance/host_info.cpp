#include <levin/framework/provenance/host_info.h>

#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include <levin/framework/core/cores.h>
#include <levin/framework/core/memory.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

std::string without_blanks(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\"");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t\"") + 1 - first));
}

/// What follows `separator` in the first line of the file that begins with `key`; empty if there is
/// none.
std::string value_after(const fs::path& path, std::string_view key, char separator) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t at = line.find(separator);
    if (at != std::string::npos) return without_blanks(std::string_view(line).substr(at + 1));
  }
  return {};
}

std::string system_of_host() {
  struct ::utsname names {};
  if (::uname(&names) != 0) return "unknown";
  const std::string kernel = fmt::format("{} {}, {}", names.sysname, names.release, names.machine);
  const std::string release = value_after("/etc/os-release", "PRETTY_NAME", '=');
  return release.empty() ? kernel : fmt::format("{}, {}", release, kernel);
}

std::vector<std::string> gpus_of_host() {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator each("/proc/driver/nvidia/gpus", error), end; !error && each != end;
       each.increment(error)) {
    folders.push_back(each->path());
  }
  std::sort(folders.begin(), folders.end());
  std::vector<std::string> models;
  for (const auto& folder : folders) {
    const std::string model = value_after(folder / "information", "Model", ':');
    if (!model.empty()) models.push_back(model);
  }
  return models;
}

}  // namespace

HostInfo host_info() {
  const uint64_t memory = physical_memory();
  return {.system = system_of_host(),
          .processor = value_after("/proc/cpuinfo", "model name", ':'),
          .cores = usable_cores(),
          .memory = memory == std::numeric_limits<uint64_t>::max() ? 0 : memory,
          .gpus = gpus_of_host()};
}

Value to_value(const HostInfo& host) {
  return Value::Object{{"system", host.system},
                       {"processor", host.processor},
                       {"cores", host.cores},
                       {"memory", static_cast<int64_t>(host.memory)},
                       {"gpus", Value::Array(host.gpus.begin(), host.gpus.end())}};
}

}  // namespace levin
