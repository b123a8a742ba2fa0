#include <levin/callbacks/metric_source.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>

namespace levin {
namespace {

// In the order of MetricSource.
constexpr std::array<std::string_view, 3> kMetricSources{"unknown", "training", "validation"};

}  // namespace

std::string_view name_of(MetricSource source) {
  return kMetricSources[static_cast<size_t>(source)];
}

MetricSource metric_source(std::string_view name) {
  const auto found = std::find(kMetricSources.begin(), kMetricSources.end(), name);
  if (found == kMetricSources.end()) return MetricSource::unknown;
  return static_cast<MetricSource>(std::distance(kMetricSources.begin(), found));
}

}  // namespace levin
