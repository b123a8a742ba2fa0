#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// All disk writes and clock reads of the library. Tests inject faults here.
namespace levin::files {

/// Writes `parts`, one after another, under a temporary name in the same folder, syncs, and renames
/// over `path`: a reader sees the old file or the whole new one, never a part.
/// Throws CheckpointError (the temporary file is removed).
void write_atomically(const std::filesystem::path& path,
                      std::span<const std::span<const std::byte>> parts);
/// The same for text.
void write_atomically(const std::filesystem::path& path, std::string_view text);

/// Syncs the finished file `from` and renames it over `to`, in the same folder. Throws
/// CheckpointError.
void move_into_place(const std::filesystem::path& from, const std::filesystem::path& to);

/// The whole file as bytes. Throws CheckpointError where it can't be read.
std::string read_text(const std::filesystem::path& path);

/// Creates the folder and its parents. Throws CheckpointError where that can't be done or the
/// folder can't be written to.
void create_folder(const std::filesystem::path& path);

/// Creates and returns `root/version_K`, K one above the highest there; safe against other
/// processes that do the same at the same time.
std::filesystem::path create_version_folder(const std::filesystem::path& root);

/// Removes one file the run itself wrote; a missing one is no error.
void remove_file(const std::filesystem::path& path);

/// Removes a folder the run itself made; one that isn't empty stays, a missing one is no error.
void remove_folder(const std::filesystem::path& path);

/// A text file that only grows, and that a resumed run cuts at the offset its checkpoint recorded.
class AppendFile {
 public:
  AppendFile() = default;
  /// Opens (creates) `path` and cuts it to `offset` bytes where it is longer; -1 keeps all. Throws
  /// CheckpointError.
  explicit AppendFile(const std::filesystem::path& path, int64_t offset = -1);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  ~AppendFile();

  bool is_open() const { return descriptor_ >= 0; }
  /// Adds to the end, in memory until `flush` or 64 KiB are waiting.
  void append(std::string_view text);
  /// Hands what waits to the system. Throws CheckpointError.
  void flush();
  /// Bytes written and waiting: what a checkpoint records.
  int64_t offset() const { return offset_; }
  /// Flushes and closes. Throws CheckpointError.
  void close();

 private:
  int write_waiting();

  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t offset_ = 0;
  std::string waiting_;
};

/// Seconds on a clock that never goes back, from an arbitrary start.
double monotonic_seconds();
/// Seconds since 1970-01-01 UTC.
double wall_seconds();

/// What a fault injector is told before each operation: "open", "write", "sync", "rename".
struct Operation {
  std::string_view name;
  const std::filesystem::path& path;
};
/// Calls `injector` before each operation; what it returns (an errno value, 0 for none) is taken as
/// the operation's failure. An empty function ends it. For tests.
void inject_faults(std::function<int(const Operation&)> injector);
/// Takes the time of both clocks from `clock`. An empty function ends it. For tests.
void inject_clock(std::function<double()> clock);

}  // namespace levin::files
