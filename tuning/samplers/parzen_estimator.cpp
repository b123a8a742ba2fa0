#include <levin/tuning/samplers/parzen_estimator.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include <levin/tuning/samplers/truncated_normal.h>

namespace levin {
namespace {

constexpr size_t kFullWeights = 25;
const double kHalfLogTwoPi = 0.5 * std::log(2.0 * 3.14159265358979323846);

std::vector<double> weights_by_age(size_t count) {
  std::vector<double> weights(count, 1.0);
  if (count < kFullWeights) return weights;
  const size_t ramp = count - kFullWeights;
  const double least = 1.0 / static_cast<double>(count);
  for (size_t i = 0; i < ramp; ++i) {
    const double place = ramp == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(ramp - 1);
    weights[i] = least + place * (1.0 - least);
  }
  return weights;
}

double scaled(const Distribution& range, double value) {
  return range.is_log() ? std::log(value) : value;
}

/// The ends of a range, half a step beyond its values, in the scale of the kernels.
std::pair<double, double> ends_of(const Distribution& range) {
  const double half = range.step() / 2.0;
  return {scaled(range, range.low() - half), scaled(range, range.high() + half)};
}

/// The widths of kernels at these centres: the distance to the farther neighbour, for the outermost
/// ones to the only one. The ends of the range are the neighbours of a single centre.
std::vector<double> widths_of(const std::vector<double>& centres, double low, double high) {
  const size_t count = centres.size();
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return centres[a] < centres[b]; });
  const double least = (high - low) / std::min(100.0, 2.0 + static_cast<double>(count));
  std::vector<double> widths(count);
  for (size_t i = 0; i < count; ++i) {
    const double own = centres[order[i]];
    const double left = own - (i == 0 ? low : centres[order[i - 1]]);
    const double right = (i + 1 == count ? high : centres[order[i + 1]]) - own;
    double width = std::max(left, right);
    if (count > 1 && i == 0) width = right;
    if (count > 1 && i + 1 == count) width = left;
    widths[order[i]] = std::clamp(width, least, high - low);
  }
  return widths;
}

}  // namespace

ParzenEstimator::ParzenEstimator(std::vector<Distribution> parameters,
                                 const std::vector<std::vector<double>>& observations,
                                 bool uniform_weights)
    : parameters_(std::move(parameters)) {
  const size_t count = observations.size();
  weights_ = uniform_weights ? std::vector<double>(count, 1.0) : weights_by_age(count);
  weights_.push_back(1.0);
  const double sum = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  for (double& weight : weights_) weight /= sum;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    std::vector<double> observed;
    for (const auto& observation : observations) observed.push_back(observation[i]);
    if (parameters_[i].is_categorical()) {
      add_choices(parameters_[i], observed);
    } else {
      add_range(parameters_[i], std::move(observed));
    }
  }
}

void ParzenEstimator::add_range(const Distribution& range, std::vector<double> centres) {
  const auto [low, high] = ends_of(range);
  for (double& centre : centres) centre = scaled(range, centre);
  Kernels kernels;
  kernels.sigma = widths_of(centres, low, high);
  kernels.mu = std::move(centres);
  kernels.mu.push_back(0.5 * (low + high));
  kernels.sigma.push_back(high - low);
  std::vector<double> masses;
  for (size_t k = 0; k < kernels.mu.size(); ++k) {
    masses.push_back(log_normal_mass((low - kernels.mu[k]) / kernels.sigma[k],
                                     (high - kernels.mu[k]) / kernels.sigma[k]));
  }
  kernels_.push_back(std::move(kernels));
  log_masses_.push_back(std::move(masses));
}

void ParzenEstimator::add_choices(const Distribution& choices,
                                  const std::vector<double>& observed) {
  const size_t count = choices.choices().size();
  const double kernels = static_cast<double>(observed.size() + 1);
  Kernels tables;
  for (size_t k = 0; k <= observed.size(); ++k) {
    std::vector<double> table(count, 1.0 / kernels);
    if (k < observed.size()) table[static_cast<size_t>(observed[k])] += 1.0;
    const double sum = std::accumulate(table.begin(), table.end(), 0.0);
    for (double& probability : table) probability /= sum;
    tables.choices.push_back(std::move(table));
  }
  kernels_.push_back(std::move(tables));
  log_masses_.emplace_back();
}

std::vector<std::vector<double>> ParzenEstimator::sample(RandomSource& random, size_t count) const {
  std::vector<double> sums(weights_.size());
  std::partial_sum(weights_.begin(), weights_.end(), sums.begin());
  std::vector<size_t> active(count);
  for (size_t& kernel : active) {
    const double place = random.uniform() * sums.back();
    kernel =
        static_cast<size_t>(std::upper_bound(sums.begin(), sums.end() - 1, place) - sums.begin());
  }
  std::vector<std::vector<double>> points(count, std::vector<double>(parameters_.size()));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].is_categorical()) continue;
    for (size_t row = 0; row < count; ++row) {
      const auto& table = kernels_[i].choices[active[row]];
      const double place = random.uniform();
      double sum = table[0];
      size_t choice = 0;
      while (choice + 1 < table.size() && sum < place) sum += table[++choice];
      points[row][i] = static_cast<double>(choice);
    }
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Distribution& range = parameters_[i];
    if (range.is_categorical()) continue;
    const auto [low, high] = ends_of(range);
    for (size_t row = 0; row < count; ++row) {
      const double mu = kernels_[i].mu[active[row]];
      const double sigma = kernels_[i].sigma[active[row]];
      const double normal =
          truncated_normal_quantile(random.uniform(), (low - mu) / sigma, (high - mu) / sigma);
      const double value = normal * sigma + mu;
      points[row][i] = range.nearest(range.is_log() ? std::exp(value) : value);
    }
  }
  return points;
}

void ParzenEstimator::add_log_density(size_t parameter, double value,
                                      std::vector<double>& sums) const {
  const Distribution& range = parameters_[parameter];
  const Kernels& kernels = kernels_[parameter];
  if (range.is_categorical()) {
    for (size_t k = 0; k < sums.size(); ++k) {
      sums[k] += std::log(kernels.choices[k][static_cast<size_t>(value)]);
    }
    return;
  }
  const std::vector<double>& masses = log_masses_[parameter];
  if (range.step() != 0.0) {
    const double left = scaled(range, value - range.step() / 2.0);
    const double right = scaled(range, value + range.step() / 2.0);
    for (size_t k = 0; k < sums.size(); ++k) {
      sums[k] += log_normal_mass((left - kernels.mu[k]) / kernels.sigma[k],
                                 (right - kernels.mu[k]) / kernels.sigma[k]) -
                 masses[k];
    }
    return;
  }
  const double x = scaled(range, value);
  for (size_t k = 0; k < sums.size(); ++k) {
    const double z = (x - kernels.mu[k]) / kernels.sigma[k];
    sums[k] += -0.5 * z * z - kHalfLogTwoPi - std::log(kernels.sigma[k]) - masses[k];
  }
}

double ParzenEstimator::log_density(const std::vector<double>& point) const {
  std::vector<double> sums(weights_.size());
  for (size_t k = 0; k < sums.size(); ++k) sums[k] = std::log(weights_[k]);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].contains(point[i])) return -std::numeric_limits<double>::infinity();
    add_log_density(i, point[i], sums);
  }
  const double largest = *std::max_element(sums.begin(), sums.end());
  if (std::isinf(largest)) return largest;
  double total = 0.0;
  for (const double sum : sums) total += std::exp(sum - largest);
  return std::log(total) + largest;
}

}  // namespace levin
