#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <levin/callbacks/progress_bar_options.h>
#include <levin/callbacks/progress_line.h>
#include <levin/framework/core/live_lines.h>
#include <levin/framework/core/sparkline.h>

namespace levin {

struct Progress;
class Run;

/// Shows one pass over data after the other on a line, and one within another, such as a validation
/// within an epoch, below it. It decides when a new line is due, so that most batches cost a
/// comparison.
class ProgressDisplay {
 public:
  /// Writes to `out`, which the caller keeps open; see LiveLines.
  ProgressDisplay(const ProgressBarOptions& options, std::FILE* out, const Terminal& terminal);

  bool is_live() const { return lines_.is_live(); }
  /// Forgets when a line was written last, and the losses.
  void start_run();
  /// Starts a pass of which `done` batches are done already. It begins with the last pass's rate.
  void begin(ProgressPass& pass, std::string label, const Progress& progress, int64_t done = 0);
  /// Shows the passes that begin now below another one, which rests since `now`, if they last for
  /// some updates; null ends that. A file doesn't show the other one.
  void nest_below(const ProgressPass* outer, double now = 0.0);
  /// Call it after every batch. Returns whether a line is due, which `write` then writes.
  bool advance(ProgressPass& pass, int64_t done);
  /// Adds a loss to the curve of losses.
  void add_loss(double loss) { losses_.add(loss); }
  void write(ProgressPass& pass, Run& run);
  /// Makes the last line of a pass, which shows the average rate and no time left. A terminal shows
  /// it when an update is due, or when the line ends.
  void finish(ProgressPass& pass, Run& run);
  /// Keeps the line that was made last: the next one gets a place of its own.
  void end_line();

 private:
  void write(ProgressPass& pass, Run& run, double now, bool is_last);
  std::vector<std::string> lines_of(const ProgressPass& pass, Run& run, double now, bool is_last);

  ProgressBarOptions options_;
  LiveLines lines_;
  Sparkline losses_;
  const ProgressPass* outer_ = nullptr;
  double outer_rests_since_ = 0.0;
  int64_t batches_to_look_ = 0;
  double next_line_ = 0.0;              // when the next line may be written
  std::vector<std::string> held_back_;  // the last lines of a pass, which aren't shown yet
};

}  // namespace levin
