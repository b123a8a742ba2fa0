#include <levin/framework/loggers/log_file.h>

#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>

namespace levin {

void LogFile::open(const std::filesystem::path& path, int64_t offset, double flush_interval) {
  path_ = path;
  file_ = files::AppendFile(path, offset);
  flush_interval_ = flush_interval;
  unsure_rows_ = 0;
  has_warned_ = false;
}

void LogFile::add(std::string_view text, int64_t rows) {
  attempt([&] { file_.append(text); });
  unsure_rows_ += rows;
}

void LogFile::warn(const CheckpointError& error) {
  if (std::exchange(has_warned_, true)) return;
  diagnostics::print(
      fmt::format("warning: {}; the run goes on, and rows are kept in memory and written as soon "
                  "as that is possible\n",
                  error.what()));
}

void LogFile::flush() {
  if (!file_.is_open()) return;
  flush_at_ = files::monotonic_seconds() + flush_interval_;
  const bool is_removed = file_.is_removed();
  const bool is_written = attempt([&] {
    if (is_removed) file_.replace(file_.text());
    file_.flush();
  });
  if (!is_written) return;
  unsure_rows_ = 0;
  if (!is_removed) return;
  diagnostics::print(
      fmt::format("warning: {} was removed or replaced during the run; it was made again with all "
                  "its rows\n",
                  path_.string()));
}

void LogFile::close() {
  if (!file_.is_open()) return;
  flush();
  if (unsure_rows_ > 0) {
    diagnostics::print(fmt::format("warning: {} lacks the last {}, which couldn't be written\n",
                                   path_.string(), counted(unsure_rows_, "row")));
  } else if (has_warned_) {
    diagnostics::print(fmt::format("{} has all its rows after all\n", path_.string()));
  }
  closed_offset_ = file_.offset();
  file_ = files::AppendFile();
}

}  // namespace levin
