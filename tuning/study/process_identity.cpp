#include <levin/tuning/study/process_identity.h>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

std::string text_of_system_file(const std::filesystem::path& path) {
  try {
    return files::read_text(path, 4096);
  } catch (const Error&) {
    return {};
  }
}

/// The boot and the name space of process numbers; empty if the system doesn't tell them.
std::string process_realm() {
  const std::string boot = text_of_system_file("/proc/sys/kernel/random/boot_id").substr(0, 8);
  std::error_code error;
  std::string space = std::filesystem::read_symlink("/proc/self/ns/pid", error).string();
  space.erase(std::remove_if(space.begin(), space.end(), [](char c) { return c < '0' || c > '9'; }),
              space.end());
  return boot.empty() || space.empty() ? std::string() : boot + "." + space;
}

/// When a process started, in ticks since the boot; 0 if it isn't there or has ended.
uint64_t start_of_process(int64_t process) {
  const std::string stat = text_of_system_file(fmt::format("/proc/{}/stat", process));
  size_t at = stat.rfind(')');  // the program's name may contain anything
  if (at == std::string::npos || stat.substr(at + 2, 1) == "Z") return 0;
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  return at == std::string::npos ? 0 : std::strtoull(stat.c_str() + at + 1, nullptr, 10);
}

}  // namespace

std::string process_identity() {
  return fmt::format("{}-{}-{}", process_realm(), ::getpid(), start_of_process(::getpid()));
}

bool is_dead_process(std::string_view identity) {
  static const std::string realm = process_realm();
  if (realm.empty() || identity.substr(0, realm.size() + 1) != realm + "-") return false;
  identity.remove_prefix(realm.size() + 1);
  const size_t hyphen = identity.find('-');
  if (hyphen == std::string_view::npos) return false;
  const auto process = number_in<int64_t>(identity.substr(0, hyphen)).value_or(0);
  const auto start = number_in<uint64_t>(identity.substr(hyphen + 1)).value_or(0);
  if (process <= 0 || start == 0) return false;
  return start_of_process(process) != start;
}

}  // namespace levin
