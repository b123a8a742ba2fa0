#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace levin {

/// Remembers the last checkpoint of a job whose launcher may start its ranks again, so that each
/// fit can go on from there: a small JSON file in the folder of the job's runs. Only rank 0 uses
/// it. A program may fit several times; its fits are numbered from 0 in the order in which they
/// begin.
///
///     RestartRecord record(runs_folder, "job-17", /*is_restart=*/true);
///     const auto last = record.checkpoint(0);     // empty on the first start
///     record.saved(0, "version_0/last.ckpt");     // after each checkpoint of fit 0
///     record.ended(0);                            // when fit 0 has come to its end
///
/// Each call reads the file anew, and a change replaces it as a whole, so a crash leaves either the
/// old or the new record. All functions throw CheckpointError if the file can't be read or written.
class RestartRecord {
 public:
  /// `job` is a name that is the same for all starts of a job. Pass `is_restart` = true if it is
  /// known that this job wrote the record: its ranks have been started again, or this isn't the
  /// first fit of the program. If it is false, a record that is there is removed if all of its fits
  /// came to their end, because an earlier job of the same name wrote it. It is also removed if
  /// `is_own_name` is false, which says that other jobs may have the same name. `further` are
  /// folders outside of `folder` to which the job saves checkpoints. Throws CheckpointError if
  /// a record that has to be read for that is damaged.
  RestartRecord(const std::filesystem::path& folder, const std::string& job, bool is_restart,
                bool is_own_name = true, std::vector<std::filesystem::path> further = {});

  /// Returns the absolute path of the checkpoint that fit number `fit` saved last. Empty if it
  /// saved none or if that checkpoint is gone. Throws CheckpointError if the record names a file
  /// that, links followed, is in none of the folders, since the job hasn't written that.
  std::filesystem::path checkpoint(int64_t fit) const;
  /// Records that fit number `fit` has saved a checkpoint, whose path is made absolute. Returns
  /// false, and records nothing, if the checkpoint is in none of the folders.
  bool saved(int64_t fit, const std::filesystem::path& checkpoint);
  /// Records that fit number `fit` has come to its end. Does nothing if it has saved no checkpoint.
  void ended(int64_t fit);
  /// The file that holds the record: `.restart-JOB.json` in the folder.
  const std::filesystem::path& path() const { return path_; }

 private:
  bool is_own(const std::filesystem::path& checkpoint) const;

  std::filesystem::path path_;
  std::vector<std::filesystem::path> folders_;
};

}  // namespace levin
