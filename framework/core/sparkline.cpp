#include <levin/framework/core/sparkline.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace levin {

void Sparkline::add(double value) {
  if (!std::isfinite(value)) return;
  pending_sum_ += value;
  if (++pending_count_ < values_a_mean_) return;
  means_.push_back(pending_sum_ / static_cast<double>(pending_count_));
  pending_sum_ = 0.0;
  pending_count_ = 0;
  if (means_.size() < kMostMeans) return;
  for (size_t i = 0; i < kMostMeans / 2; ++i) {
    means_[i] = (means_[2 * i] + means_[2 * i + 1]) / 2.0;
  }
  means_.resize(kMostMeans / 2);
  values_a_mean_ *= 2;
}

std::string Sparkline::text(int cells, bool unicode) const {
  constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr const char* kAscii[] = {".", ":", "-", "=", "+", "*", "#", "@"};
  std::vector<double> values = means_;
  if (pending_count_ > 0) values.push_back(pending_sum_ / static_cast<double>(pending_count_));
  if (values.empty() || cells <= 0) return {};
  const size_t shown = std::min(values.size(), static_cast<size_t>(cells));
  for (size_t i = 0; i < shown; ++i) {
    const auto at = [&](size_t cell) {
      return values.begin() + static_cast<std::ptrdiff_t>(cell * values.size() / shown);
    };
    const auto count = static_cast<double>(at(i + 1) - at(i));
    values[i] = std::accumulate(at(i), at(i + 1), 0.0) / count;  // read before it is overwritten
  }
  values.resize(shown);
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const double low = *least;
  const double range = *most - low;
  std::string text;
  for (const double value : values) {
    const double height = range > 0.0 && std::isfinite(range) ? (value - low) / range : 0.0;
    const auto level = static_cast<size_t>(std::lround(height * 7.0));
    text += unicode ? kBlocks[level] : kAscii[level];
  }
  return text;
}

}  // namespace levin
