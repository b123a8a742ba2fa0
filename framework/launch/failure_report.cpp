#include <levin/framework/launch/failure_report.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <sstream>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

constexpr std::string_view kTitle = "levin-failure";

/// Returns the text as a JSON string in quotes. Characters beyond ASCII become '?', so that every
/// reader accepts the file whatever encoding the message has.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      result += '\\';
      result += letter;
    } else if (code < 0x20) {
      result += fmt::format("\\u{:04x}", code);
    } else {
      result += code < 0x80 ? letter : '?';
    }
  }
  return result + "\"";
}

/// Returns the report in torchelastic's format. torchrun names the failure with the smallest
/// timestamp, and the timestamp of a killed rank is the time when torchrun noticed. A rank that
/// failed because of another one therefore gives a later time than the true one.
std::string torchelastic_json(std::string_view message, bool because_of_another_rank) {
  constexpr int64_t kLater = 60;
  const auto now = static_cast<int64_t>(files::wall_seconds());
  const auto timestamp = now + (because_of_another_rank ? kLater : 0);
  return fmt::format(R"({{"message": {{"message": {0}, )"
                     R"("extraInfo": {{"py_callstack": {0}, "timestamp": "{1}"}}}}}})",
                     quoted(message), timestamp);
}

void write_once(const char* variable, std::string_view text) noexcept {
  const char* path = std::getenv(variable);
  if (path == nullptr || *path == '\0') return;
  try {
    if (!files::exists(path)) files::write_atomically(path, text);
  } catch (const std::exception&) {  // the caller reports the failure itself in any case
  }
}

}  // namespace

std::string in_one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

void report_failure(std::string_view message, bool because_of_another_rank) noexcept {
  try {
    write_once("LEVIN_ERROR_FILE",
               fmt::format("{} {} {:.6f}\n{}", kTitle, because_of_another_rank ? "later" : "first",
                           files::monotonic_seconds(), message));
    write_once("TORCHELASTIC_ERROR_FILE", torchelastic_json(message, because_of_another_rank));
  } catch (const std::exception&) {  // memory ran out
  }
}

std::optional<FailureReport> read_failure_report(const std::filesystem::path& path) {
  std::string text;
  try {
    text = files::read_text(path);
  } catch (const Error&) {
    return std::nullopt;
  }
  const size_t end = text.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::istringstream head(text.substr(0, end));
  std::string title, order;
  FailureReport report;
  if (!(head >> title >> order >> report.seconds) || title != kTitle) return std::nullopt;
  report.because_of_another_rank = order == "later";
  report.message = text.substr(end + 1);
  return report;
}

}  // namespace levin
