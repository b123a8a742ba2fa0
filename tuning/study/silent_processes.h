#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace levin {

/// Finds the processes of other hosts that have died, which can't be asked: those whose owner links
/// beside a journal file (see JournalLock) nobody has renewed for two minutes. That is measured by
/// the clock of this process from the time when it first looked, so that the clocks of hosts and
/// file servers don't matter.
class SilentProcesses {
 public:
  explicit SilentProcesses(const std::filesystem::path& file) : file_(file) {}

  /// Whether the process, by its identity (process_identity), is of another machine and has been
  /// silent for two minutes in which this function was called again and again.
  bool contains(std::string_view identity);

 private:
  struct Seen {
    int64_t renewed = 0;  // the time of the newest link, by the file's clock; 0: there is none
    double since = 0.0;   // when this process saw that
  };

  std::filesystem::path file_;
  std::map<std::string, int64_t, std::less<>> renewed_;
  std::map<std::string, Seen, std::less<>> seen_;
  double looked_ = -1.0;  // when the links were looked at
};

}  // namespace levin
