#include <levin/framework/loggers/kept_file.h>

#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {

KeptFile::KeptFile(std::filesystem::path path, std::string text)
    : path_(std::move(path)), text_(std::move(text)) {}

void KeptFile::write() {
  if (path_.empty()) return;
  files::write_atomically(path_, text_);
  was_written_ = true;
}

void KeptFile::keep() {
  std::error_code ignored;
  if (path_.empty() || (was_written_ && std::filesystem::exists(path_, ignored))) return;
  const bool is_again = was_written_;
  try {
    write();
    if (!is_again && !has_warned_) return;
    diagnostics::print(fmt::format(
        "warning: {} {}\n", path_.string(),
        is_again ? "was removed during the run; it was made again" : "could be written after all"));
  } catch (const CheckpointError& error) {
    if (std::exchange(has_warned_, true)) return;
    diagnostics::print(
        fmt::format("warning: {}; the run goes on, and this is tried again\n", error.what()));
  }
}

}  // namespace levin
