#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace levin {

/// Where a job whose ranks may be started again finds its last checkpoint: a small file in the
/// folder of its runs, which only rank 0 reads and writes. A program's fits are told apart by
/// their order.
class RestartRecord {
 public:
  /// `job` is the same for all starts of a job. `is_restart`: its ranks are known to have been
  /// started before; if not, a record of a job of that name which came to its end is forgotten, and
  /// any where the name isn't this job's own.
  RestartRecord(const std::filesystem::path& folder, const std::string& job, bool is_restart,
                bool is_own_name = true);

  /// What fit number `fit` saved last, in an earlier start; empty where it saved nothing or the
  /// file is gone.
  std::filesystem::path checkpoint(int64_t fit) const;
  void saved(int64_t fit, const std::filesystem::path& checkpoint);
  void ended(int64_t fit);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace levin
