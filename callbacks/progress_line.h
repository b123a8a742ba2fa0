#pragma once

#include <cstdint>
#include <string>

namespace levin {

/// One pass over data, which a progress bar shows: a training epoch, or an evaluation. Times are in
/// files::monotonic_seconds().
struct ProgressPass {
  std::string label;
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

/// Returns the line that shows a pass at the time `now`, without control codes:
///
///     Epoch 3/19  64%|############        | 120/188 [00:01<00:00, 95.1 it/s] train_loss=0.432
///
/// `total` is the number of batches of the pass, or 0 if it isn't known. The last line of a pass
/// shows the average rate and no time left. `metrics` ends the line. There is a bar if `columns`,
/// the width of the terminal, has room for it; with 0 there is none.
std::string progress_line(const ProgressPass& pass, int64_t total, double now, bool is_last,
                          const std::string& metrics, int columns);

}  // namespace levin
