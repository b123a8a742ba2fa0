#include <levin/tuning/schedulers/halving_schedule.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

int64_t floor_log(double number, double base) {
  return static_cast<int64_t>(std::floor(std::log(number) / std::log(base)));
}

}  // namespace

std::vector<HalvingIteration> halving_schedule(const HalvingScheduleOptions& options) {
  if (options.candidates < 1) {
    throw ConfigError::invalid_value("candidates", std::to_string(options.candidates),
                                     "must be at least 1");
  }
  if (!(options.factor > 1.0)) {
    throw ConfigError::invalid_value("factor", fmt::format("{}", options.factor),
                                     "must be above 1");
  }
  if (options.min_resources < 1 || options.min_resources > options.max_resources) {
    throw ConfigError::invalid_value(
        "min_resources", std::to_string(options.min_resources),
        fmt::format("must be from 1 to max_resources = {}", options.max_resources));
  }
  const double factor = options.factor;
  const int64_t required = 1 + floor_log(static_cast<double>(options.candidates), factor);
  int64_t least = options.min_resources;
  if (options.exhaust) {
    const double last = std::pow(factor, static_cast<double>(required - 1));
    least = std::max(
        least, static_cast<int64_t>(std::floor(static_cast<double>(options.max_resources) / last)));
  }
  const int64_t possible =
      1 + floor_log(static_cast<double>(options.max_resources / least), factor);
  const int64_t count = options.aggressive_elimination ? required : std::min(possible, required);
  std::vector<HalvingIteration> iterations;
  int64_t candidates = options.candidates;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t power =
        options.aggressive_elimination ? std::max<int64_t>(0, i - required + possible) : i;
    const double resources =
        std::pow(factor, static_cast<double>(power)) * static_cast<double>(least);
    iterations.push_back(
        {candidates, std::min(static_cast<int64_t>(resources), options.max_resources)});
    candidates = static_cast<int64_t>(std::ceil(static_cast<double>(candidates) / factor));
  }
  return iterations;
}

std::vector<size_t> best_candidates(const std::vector<double>& scores, size_t count) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (std::isnan(scores[a])) return !std::isnan(scores[b]);
    return scores[a] < scores[b];
  });
  order.erase(order.begin(),
              order.end() - static_cast<std::ptrdiff_t>(std::min(count, order.size())));
  return order;
}

}  // namespace levin
