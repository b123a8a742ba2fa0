#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include <levin/callbacks/live_line.h>
#include <levin/callbacks/progress_bar_options.h>
#include <levin/callbacks/progress_line.h>

namespace levin {

class Run;

/// Shows one pass over data after the other on a line. It decides when a new line is due, so that
/// most batches cost a comparison.
class ProgressDisplay {
 public:
  /// Writes to `out`, which the caller keeps open; see LiveLine for `live` and `width`.
  ProgressDisplay(const ProgressBarOptions& options, std::FILE* out, bool live, int width);

  /// Forgets when a line was written last.
  void start_run() { next_line_ = 0.0; }
  /// Starts a pass of which `done` batches are done already. It begins with the last pass's rate.
  void begin(ProgressPass& pass, std::string label, int64_t done);
  /// Call it after every batch. Writes a line if one is due.
  void advance(ProgressPass& pass, int64_t done, Run& run);
  /// Writes the last line of a pass, which shows the average rate and no time left.
  void finish(ProgressPass& pass, Run& run);
  /// Keeps the line that was written last: the next one gets a place of its own.
  void end_line() { line_.end(); }

 private:
  void write(ProgressPass& pass, Run& run, double now, bool is_last);

  ProgressBarOptions options_;
  LiveLine line_;
  int64_t batches_to_look_ = 0;
  double next_line_ = 0.0;  // when the next line may be written
};

}  // namespace levin
