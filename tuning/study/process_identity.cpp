#include <levin/tuning/study/process_identity.h>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
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

/// The realm of this process; what /proc says of it doesn't change.
const std::string& own_realm() {
  static const std::string realm = process_realm();
  return realm;
}

/// What an identity says.
struct ParsedIdentity {
  std::string_view realm{};
  int64_t process = 0;
  uint64_t start = 0;
};

/// Returns its parts; nothing if the text isn't an identity.
std::optional<ParsedIdentity> parse_identity(std::string_view text) {
  const size_t first = text.find('-');
  const size_t second = text.find('-', first + 1);
  if (first == 0 || first == std::string_view::npos || second == std::string_view::npos) {
    return std::nullopt;
  }
  const auto process = number_in<int64_t>(text.substr(first + 1, second - first - 1));
  const auto start = number_in<uint64_t>(text.substr(second + 1));
  if (process.value_or(0) <= 0 || start.value_or(0) == 0) return std::nullopt;
  return ParsedIdentity{text.substr(0, first), *process, *start};
}

}  // namespace

std::string process_identity() {
  return fmt::format("{}-{}-{}", process_realm(), ::getpid(), start_of_process(::getpid()));
}

bool is_dead_process(std::string_view identity) {
  const auto parsed = parse_identity(identity);
  return parsed && parsed->realm == own_realm() &&
         start_of_process(parsed->process) != parsed->start;
}

bool is_process_elsewhere(std::string_view identity) {
  const auto parsed = parse_identity(identity);
  return parsed && !own_realm().empty() && parsed->realm != own_realm();
}

}  // namespace levin
