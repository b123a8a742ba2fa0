#pragma once

#include <filesystem>
#include <string>

namespace levin {

/// A small file in the run's folder, such as the run's settings, that is there as long as the run
/// goes on: if it, or the whole folder, is removed meanwhile, it is made again.
///
///     KeptFile file(run.log_dir() / "config.yaml", text);
///     file.write();  // at the start: throws if that fails
///     file.keep();   // now and then, and at the end: never throws
class KeptFile {
 public:
  /// No file; `write` and `keep` do nothing.
  KeptFile() = default;
  /// Keeps `text`, which is small, in memory. Nothing is written yet.
  KeptFile(std::filesystem::path path, std::string text);

  /// Writes the file, and replaces one that is there. Throws CheckpointError if that fails.
  void write();
  /// Writes the file if it is missing or couldn't be written before. A warning on stderr says so;
  /// if that fails, another one says so once, and the next call tries again.
  void keep();

 private:
  std::filesystem::path path_;
  std::string text_;
  bool was_written_ = false;
  bool has_warned_ = false;
};

}  // namespace levin
