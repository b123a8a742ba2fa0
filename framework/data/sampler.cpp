#include <levin/framework/data/sampler.h>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/tensor/shuffle.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

namespace levin {
namespace {

// Mixed into the seed, so that orders don't use the same random numbers as transforms, whose
// generators are keyed by the same seed and epoch.
constexpr uint64_t kShuffleSalt = 0x73687566666c6530;
constexpr uint64_t kStratifiedSalt = 0x7374726174696679;
constexpr uint64_t kWeightedSalt = 0x7765696768746564;

template <class Index>
void number_and_shuffle(std::vector<Index>& order, int64_t size, KeyedGenerator generator) {
  order.resize(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), Index{0});
  shuffle(order, generator);
}

int64_t checked_size(int64_t size) {
  if (size >= 0) return size;
  throw ConfigError::invalid_value("size", std::to_string(size), "must be at least 0");
}

}  // namespace

void SequentialSampler::rows(int64_t first, std::span<int64_t> out) const {
  std::iota(out.begin(), out.end(), first);
}

std::unique_ptr<Sampler> SequentialSampler::clone() const {
  return std::make_unique<SequentialSampler>(*this);
}

RandomSampler::RandomSampler(int64_t size, uint64_t seed)
    : size_(checked_size(size)), seed_(seed) {}

void RandomSampler::set_epoch(int64_t epoch) {
  if (epoch == epoch_) return;
  const KeyedGenerator generator(seed_ ^ kShuffleSalt, static_cast<uint64_t>(epoch));
  if (size_ <= int64_t{std::numeric_limits<uint32_t>::max()}) {
    number_and_shuffle(order_, size_, generator);
  } else {
    number_and_shuffle(long_order_, size_, generator);
  }
  epoch_ = epoch;
}

void RandomSampler::rows(int64_t first, std::span<int64_t> out) const {
  if (long_order_.empty()) {
    std::copy_n(order_.begin() + first, out.size(), out.begin());
  } else {
    std::copy_n(long_order_.begin() + first, out.size(), out.begin());
  }
}

std::unique_ptr<Sampler> RandomSampler::clone() const {
  return std::make_unique<RandomSampler>(*this);
}

std::vector<double> WeightedSampler::balancing(std::span<const int64_t> labels) {
  std::unordered_map<int64_t, double> counts;
  for (const int64_t label : labels) counts[label] += 1.0;
  std::vector<double> weights;
  for (const int64_t label : labels) weights.push_back(1.0 / counts[label]);
  return weights;
}

WeightedSampler::WeightedSampler(std::vector<double> weights, int64_t size,
                                 std::optional<uint64_t> seed)
    : cumulative_(std::move(weights)), size_(checked_size(size)), seed_(seed) {
  double sum = 0;
  for (size_t i = 0; i < cumulative_.size(); ++i) {
    const double weight = cumulative_[i];
    if (!(weight >= 0) || std::isinf(weight)) {
      throw DataError::bad_value("the weight", fmt::format("{}", weight),
                                 fmt::format("WeightedSampler, row {}", i),
                                 "weights must be finite and at least 0");
    }
    cumulative_[i] = sum += weight;
  }
  if (!(sum > 0) || std::isinf(sum)) {
    throw DataError::bad_value(fmt::format("the sum of the weights of {} rows", cumulative_.size()),
                               fmt::format("{}", sum), "WeightedSampler",
                               "at least one weight must be above 0, and the sum must be finite");
  }
}

void WeightedSampler::rows(int64_t first, std::span<int64_t> out) const {
  // The search ends at the first row that reaches the sum. All rows after it have weight 0 and must
  // not be drawn.
  const auto last = std::lower_bound(cumulative_.begin(), cumulative_.end(), cumulative_.back());
  for (size_t i = 0; i < out.size(); ++i) {
    KeyedGenerator generator(seed_.value_or(0) ^ kWeightedSalt, static_cast<uint64_t>(epoch_),
                             static_cast<uint64_t>(first) + i);
    const double at = generator.uniform() * cumulative_.back();
    out[i] = std::upper_bound(cumulative_.begin(), last, at) - cumulative_.begin();
  }
}

std::unique_ptr<Sampler> WeightedSampler::clone() const {
  return std::make_unique<WeightedSampler>(*this);
}

StratifiedSampler::StratifiedSampler(std::span<const int64_t> labels, std::optional<uint64_t> seed)
    : size_(static_cast<int64_t>(labels.size())), seed_(seed) {
  std::map<int64_t, size_t> places;
  for (int64_t row = 0; row < size_; ++row) {
    const auto [found, is_new] =
        places.try_emplace(labels[static_cast<size_t>(row)], classes_.size());
    if (is_new) classes_.emplace_back();
    classes_[found->second].push_back(row);
  }
}

void StratifiedSampler::set_epoch(int64_t epoch) {
  if (epoch == epoch_) return;
  const uint64_t seed = seed_.value_or(0) ^ kStratifiedSalt;
  std::vector<std::pair<double, int64_t>> placed;
  placed.reserve(static_cast<size_t>(size_));
  for (size_t i = 0; i < classes_.size(); ++i) {
    auto own = classes_[i];
    shuffle(own, KeyedGenerator(seed, static_cast<uint64_t>(epoch), 2 * i));
    KeyedGenerator places(seed, static_cast<uint64_t>(epoch), 2 * i + 1);
    const auto count = static_cast<double>(own.size());
    for (size_t j = 0; j < own.size(); ++j) {
      placed.emplace_back((static_cast<double>(j) + places.uniform()) / count, own[j]);
    }
  }
  std::sort(placed.begin(), placed.end());
  order_.clear();
  for (const auto& [place, row] : placed) order_.push_back(row);
  epoch_ = epoch;
}

void StratifiedSampler::rows(int64_t first, std::span<int64_t> out) const {
  std::copy_n(order_.begin() + first, out.size(), out.begin());
}

std::unique_ptr<Sampler> StratifiedSampler::clone() const {
  return std::make_unique<StratifiedSampler>(*this);
}

}  // namespace levin
