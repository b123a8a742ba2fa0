#pragma once

#include <string>
#include <vector>

#include <levin/callbacks/progress_pass.h>
#include <levin/framework/core/sparkline.h>
#include <levin/framework/core/terminal.h>

namespace levin {

/// What a progress line may show, beside the pass itself.
struct ProgressLook {
  /// The most columns of the line; 0, as in a file, is a line of any length without a bar and
  /// without losses.
  int columns = 0;
  /// Says whether there are colors and whether the bar and the curve of losses may have characters
  /// outside ASCII.
  Terminal terminal{};
  /// The color of the bar.
  Color bar = Color::green;
  /// What to draw a curve of; may be null.
  const Sparkline* losses = nullptr;
};

/// Returns the line that shows a pass at the time `now`:
///
///     Epoch 3/19  64%|############      | 120/188 [00:01<00:00, 95.1 it/s] train_loss=0.432 loss
///     *=-:..
///
/// `pass.total` is the number of batches of the pass, or 0 if it isn't known. The last line of a
/// pass shows the average rate and no time left. `metrics` have the form "train_loss=0.432". What
/// has no room in `look.columns` is left out as a whole, so that no number is cut: first the curve
/// of losses, then the bar, metrics but the first, the numbers of batches, the time spent with the
/// rate, and the time left.
std::string progress_line(const ProgressPass& pass, double now, bool is_last,
                          const std::vector<std::string>& metrics, const ProgressLook& look = {});

}  // namespace levin
