#pragma once

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace levin {

/// A logger's file, which grows row by row and never ends the run once it is open.
///
///     LogFile file;
///     file.open(run.log_dir() / "log.jsonl", /*offset=*/0, /*flush_interval=*/1.0);
///     file.append("{}\n");
///     file.close();
///
/// If it can't be written, a warning says so once, rows are kept in memory, and each flush tries
/// again; `close` then says whether any are lost. A file that is removed during the run, also with
/// its folder, is made again with all its rows, and a warning says so.
class LogFile {
 public:
  /// Opens a file, which is created if it is missing, and cuts it to `offset` bytes. Rows stay in
  /// memory for at most `flush_interval` seconds if others follow. Throws CheckpointError.
  void open(const std::filesystem::path& path, int64_t offset, double flush_interval);
  bool is_open() const { return file_.is_open(); }
  const std::filesystem::path& path() const { return path_; }

  /// Adds a row at the end, or what isn't a row and doesn't count as one, such as a header.
  void append(std::string_view row) { add(row, 1); }
  void append_header(std::string_view header) { add(header, 0); }
  /// Whether rows have been in memory for the whole interval, so that `flush` is due.
  bool is_due() const { return files::monotonic_seconds() >= flush_at_; }
  /// Hands all rows to the operating system. Never throws.
  void flush();
  /// Flushes and closes the file. Does nothing if it isn't open.
  void close();

  /// Replaces the whole content by what `change` makes of it. Returns false, after the warning, if
  /// the content can't be read; the file then stays as it is.
  template <class Change>
  bool rewrite(Change change) {
    return attempt([&] { file_.replace(change(file_.text())); });
  }
  /// The length in bytes, rows in memory included; after `close`, the length then.
  int64_t offset() const { return file_.is_open() ? file_.offset() : closed_offset_; }

 private:
  /// Does what may fail to write or read. Returns false, after the warning, if it fails.
  template <class Work>
  bool attempt(Work work) {
    try {
      work();
      return true;
    } catch (const CheckpointError& error) {
      warn(error);
      return false;
    }
  }
  void add(std::string_view text, int64_t rows);
  void warn(const CheckpointError& error);

  std::filesystem::path path_;
  files::AppendFile file_;
  double flush_interval_ = 0.0;
  double flush_at_ = 0.0;    // on the monotonic clock
  int64_t unsure_rows_ = 0;  // rows since the last flush that succeeded
  int64_t closed_offset_ = 0;
  bool has_warned_ = false;
};

}  // namespace levin
