#include <levin/callbacks/progressive_schedule.h>

#include <algorithm>
#include <cmath>

namespace levin {

ProgressiveSchedule::ProgressiveSchedule(int64_t every_n_rows)
    : every_n_rows_(every_n_rows), next_line_(next_after(0.0)) {}

double ProgressiveSchedule::next_after(double rows) const {
  if (every_n_rows_ > 0) {
    const auto every = static_cast<double>(every_n_rows_);
    return (std::floor(rows / every) + 1.0) * every;
  }
  return rows < 1.0 ? 1.0 : std::exp2(std::floor(std::log2(rows)) + 1.0);
}

void ProgressiveSchedule::rows_were_counted(double rows, double largest) {
  // No batch has been larger, so the next line isn't due before these batches.
  const double batches = std::ceil((next_line_ - rows) / std::max(largest, 1.0));
  next_count_ = batches_ + std::max<int64_t>(1, static_cast<int64_t>(batches));
}

}  // namespace levin
