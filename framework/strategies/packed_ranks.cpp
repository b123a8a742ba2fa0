#include <levin/framework/strategies/packed_ranks.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <ATen/ops/tensor.h>

#include <levin/framework/collectives/recorded.h>

namespace levin {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

torch::Tensor packed_values(const PackedMetrics& metrics) {
  std::vector<double> values;
  for (const auto* part : {&metrics.sums, &metrics.minima, &metrics.maxima}) {
    values.insert(values.end(), part->begin(), part->end());
  }
  return at::tensor(at::ArrayRef<double>(values), at::kDouble);
}

torch::Tensor gather_metrics(ProcessGroup& group, const PackedMetrics& metrics) {
  return recorded_all_gather(group, packed_values(metrics), ExchangeKind::metrics);
}

void combine_ranks(PackedMetrics& metrics, const torch::Tensor& all) {
  const auto values = all.accessor<double, 2>();
  int64_t column = 0;
  const auto combine = [&](std::vector<double>& part, const auto& with) {
    for (double& value : part) {
      value = values[0][column];
      for (int64_t r = 1; r < values.size(0); ++r) value = with(value, values[r][column]);
      ++column;
    }
  };
  combine(metrics.sums, [](double a, double b) { return a + b; });
  // Comparisons with NaN are false, so a NaN has to be passed on explicitly.
  combine(metrics.minima, [](double a, double b) { return std::isnan(b) || b < a ? b : a; });
  combine(metrics.maxima, [](double a, double b) { return std::isnan(b) || b > a ? b : a; });
}

void take_first_logged(PackedMetrics& metrics, const torch::Tensor& all) {
  const auto values = all.accessor<double, 2>();
  const int64_t ranks = values.size(0);
  // The first rank whose `column` says that it has logged something; rank 0 if there is none.
  const auto first = [&](int64_t column, double nothing) {
    int64_t rank = 0;
    while (rank < ranks && values[rank][column] == nothing) ++rank;
    return rank < ranks ? rank : 0;
  };
  int64_t column = 0;
  for (size_t i = 0; i + 1 < metrics.sums.size(); i += 2, column += 2) {
    const int64_t rank = first(column + 1, 0.0);
    metrics.sums[i] = values[rank][column];
    metrics.sums[i + 1] = values[rank][column + 1];
  }
  for (double& value : metrics.minima) {
    value = values[first(column, kInfinity)][column];
    ++column;
  }
  for (double& value : metrics.maxima) {
    value = values[first(column, -kInfinity)][column];
    ++column;
  }
  // What the ranks still have to do before they can combine values: the most that one of them has.
  const int64_t to_do = column - static_cast<int64_t>(metrics.maxima.size());
  for (int64_t rank = 0; rank < ranks && !metrics.maxima.empty(); ++rank) {
    metrics.maxima[0] = std::max(metrics.maxima[0], values[rank][to_do]);
  }
}

}  // namespace levin
