#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include <levin/framework/logged/logged_values.h>
#include <torch/torch.h>

namespace levin::logged_values_test {

using For = LoggedValues::For;

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr int64_t kSizes[] = {32, 32, 7, 1, 32, 19};  // of uneven batches

/// One value a row, the same each time.
inline torch::Tensor rows_of(int64_t batch, int64_t rows) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(batch) + 1);
  return torch::randn({rows}, generator, torch::kDouble);
}

/// An epoch with one `log` a batch of what `value` makes of its rows.
template <class Value>
inline LoggedValues epoch(const LogOptions& options, Value value, bool on_step = false) {
  LoggedValues metrics;
  metrics.begin_epoch();
  int64_t batch = 0;
  for (const int64_t rows : kSizes) {
    metrics.begin_window();
    metrics.begin_batch(rows, 0, 1);
    metrics.log("x", value(rows_of(batch++, rows)), options, on_step, !on_step);
  }
  return metrics;
}

inline torch::Tensor all_rows() {
  std::vector<torch::Tensor> all;
  int64_t batch = 0;
  for (const int64_t rows : kSizes) all.push_back(rows_of(batch++, rows));
  return torch::cat(all);
}

inline void step(LoggedValues& metrics, int64_t rows) {
  metrics.begin_window();
  metrics.begin_batch(rows, 0, 1);
}

inline bool same_bits(const MetricMap& a, const MetricMap& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first &&
           std::bit_cast<uint64_t>(x.second) == std::bit_cast<uint64_t>(y.second);
  });
}

}  // namespace levin::logged_values_test
