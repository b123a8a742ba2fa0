#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Writes to disk and readings of the clock go through these functions, so that tests can make
/// writes fail and set the time. (The output files of launched ranks are an exception.)
namespace levin::files {

/// Writes a file so that a reader sees either the old one or the whole new one, even after a crash:
/// writes `parts`, one after another, under a temporary name in the same folder, syncs, and renames
/// the file to `path`. Throws CheckpointError if any of this fails; the temporary file is removed.
void write_atomically(const std::filesystem::path& path,
                      std::span<const std::span<const std::byte>> parts);
/// The same for text.
void write_atomically(const std::filesystem::path& path, std::string_view text);

/// Syncs the finished file `from` and renames it to `to`, which must be in the same folder; a file
/// of that name is replaced. Throws CheckpointError if that fails.
void move_into_place(const std::filesystem::path& from, const std::filesystem::path& to);

/// Reads a whole file, or a pipe to its end. Throws CheckpointError if it can't be read, holds more
/// than `most_bytes`, or doesn't fit into memory. Of what has no size, such as a pipe or a device,
/// it reads at most 256 MiB.
std::string read_text(const std::filesystem::path& path,
                      uint64_t most_bytes = std::numeric_limits<uint64_t>::max());

/// Whether there is a file or folder at `path`, or a folder, links followed. What can't be looked
/// at counts as missing; reading or writing it then says why.
bool exists(const std::filesystem::path& path) noexcept;
bool is_folder(const std::filesystem::path& path) noexcept;

/// Creates a folder and its parents, unless it exists. Throws CheckpointError if that fails or the
/// folder can't be written to.
void create_folder(const std::filesystem::path& path);

/// Creates `root/version_K` and returns its path, where K is one above the highest that is there.
/// Several processes may do that at the same time; each gets a folder of its own. Throws
/// CheckpointError if it fails.
std::filesystem::path create_version_folder(const std::filesystem::path& root);

/// Makes `link` a symbolic link to `target`, relative to the link's folder, so that both can be
/// moved together. A reader finds either what was at `link` before or the link. Throws
/// CheckpointError if that fails, for example because a folder is at `link` or the file system has
/// no links.
void make_link(const std::filesystem::path& target, const std::filesystem::path& link);

/// Removes a file that this run wrote. It is no error if the file is missing.
void remove_file(const std::filesystem::path& path);

/// Removes a folder that this run made. A folder that isn't empty stays, and it is no error if the
/// folder is missing.
void remove_folder(const std::filesystem::path& path);

/// A text file that grows at its end, such as a log. A run that resumes from a checkpoint cuts it
/// at the offset that the checkpoint recorded, and writes on from there.
class AppendFile {
 public:
  AppendFile() = default;
  /// Opens a file, which is created if it is missing, and cuts it to `offset` bytes if it is
  /// longer; -1 keeps all of it. Throws CheckpointError if that fails.
  explicit AppendFile(const std::filesystem::path& path, int64_t offset = -1);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  ~AppendFile();

  bool is_open() const { return descriptor_ >= 0; }
  /// Adds text at the end. It stays in memory until `flush` is called or 64 KiB are waiting. Throws
  /// CheckpointError if it can't be written then.
  void append(std::string_view text);
  /// Hands the waiting text to the system. Throws CheckpointError if that fails; what isn't written
  /// goes on waiting, so that a later call writes it.
  void flush();
  /// Whether the file was removed or moved away, or another one was put in its place, since it was
  /// opened. Text written after that isn't found under the path.
  bool is_removed() const;
  /// The whole content, waiting text included. It is still there if the file was removed. Throws
  /// CheckpointError if it can't be read.
  std::string text() const;
  /// Replaces the whole content. The next `flush` writes `text` to the file's path by
  /// write_atomically; a file or folder that is missing is made again.
  void replace(std::string text);
  /// The file's length in bytes, waiting text included: the offset that a checkpoint records.
  int64_t offset() const { return offset_; }
  /// Flushes and closes the file. Throws CheckpointError if that fails.
  void close();

 private:
  int write_waiting();

  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t offset_ = 0;
  std::string waiting_;
  bool replaces_ = false;  // what waits is the whole content, not its end
};

/// The time in seconds on a clock that never goes back; its start is arbitrary.
double monotonic_seconds();
/// The time in seconds since 1970-01-01 UTC.
double wall_seconds();

/// What a fault injector is told before each operation.
struct Operation {
  /// "open", "write", "sync" or "rename".
  std::string_view name;
  const std::filesystem::path& path;
};
/// For tests: calls `injector` before each operation, which then fails with the errno value that it
/// returns, if that isn't 0. An empty function ends this.
void inject_faults(std::function<int(const Operation&)> injector);
/// For tests: makes both clocks show the seconds that `clock` returns. An empty function ends this.
void inject_clock(std::function<double()> clock);

}  // namespace levin::files
