#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace levin {

/// One pass over data, which a progress bar shows: a training epoch, or an evaluation. Times are in
/// files::monotonic_seconds().
struct ProgressPass {
  std::string label;
  int64_t total = 0;  // the number of its batches; 0 if it isn't known
  int64_t first = 0;  // the batches done before it began; above 0 after a resume
  int64_t done = 0;
  double start = 0.0;  // moved forward by the length of validations
  double rate = 0.0;   // batches per second, smoothed
  double drawn_at = 0.0;
  int64_t drawn_done = 0;

  /// Smooths the number of batches per second with what was done since the last call. The newest
  /// rate has a weight of 0.3, as in tqdm.
  void update_rate(double now);
};

/// Returns what a progress line says of a pass at the time `now` beside its share: " 120/188
/// [00:01<00:00, 95.1 it/s]", and the same with less and less in it, for lines without room. The
/// last line of a pass shows the average rate and no time left.
std::vector<std::string> progress_details(const ProgressPass& pass, double now, bool is_last);

}  // namespace levin
