#include <levin/serving/load/latency_histogram.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

namespace levin {
namespace {

// Durations below 2^7 ns have buckets of 1 ns. Above, each power of two is divided into 2^7 buckets
// of equal width, which is at most 1/128 of the duration.
constexpr int kBits = 7;
constexpr int64_t kParts = int64_t{1} << kBits;
constexpr int64_t kLongest = int64_t{3600} * 1'000'000'000;

size_t bucket_of(int64_t nanoseconds) {
  if (nanoseconds < kParts) return static_cast<size_t>(nanoseconds);
  const int width = static_cast<int>(std::bit_width(static_cast<uint64_t>(nanoseconds)));
  const int shift = width - 1 - kBits;
  return static_cast<size_t>((shift + 1) * kParts + (nanoseconds >> shift) - kParts);
}

/// The middle of a bucket, in nanoseconds.
double middle_of(size_t bucket) {
  const auto index = static_cast<int64_t>(bucket);
  if (index < kParts) return static_cast<double>(index);
  const int64_t shift = index / kParts - 1;
  const int64_t low = (kParts + index % kParts) << shift;
  return static_cast<double>(low) + 0.5 * static_cast<double>((int64_t{1} << shift) - 1);
}

}  // namespace

LatencyHistogram::LatencyHistogram() : buckets_(bucket_of(kLongest) + 1) {}

void LatencyHistogram::add(int64_t nanoseconds) {
  const int64_t value = std::clamp<int64_t>(nanoseconds, 0, kLongest);
  ++buckets_[bucket_of(value)];
  ++count_;
  longest_ = std::max(longest_, value);
  sum_ += static_cast<double>(value);
}

void LatencyHistogram::add(const LatencyHistogram& other) {
  for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  longest_ = std::max(longest_, other.longest_);
  sum_ += other.sum_;
}

int64_t LatencyHistogram::count_above(double seconds) const {
  int64_t above = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    if (buckets_[i] > 0 && middle_of(i) > seconds * 1e9) above += buckets_[i];
  }
  return above;
}

double LatencyHistogram::percentile(double percent) const {
  if (count_ == 0) return 0.0;
  const double wanted = std::ceil(percent / 100.0 * static_cast<double>(count_));
  const int64_t rank = std::clamp<int64_t>(static_cast<int64_t>(wanted), 1, count_);
  if (rank == count_) return longest();
  int64_t seen = 0;
  size_t bucket = 0;
  while ((seen += buckets_[bucket]) < rank) ++bucket;
  return std::min(middle_of(bucket) * 1e-9, longest());
}

double LatencyHistogram::mean() const {
  return count_ == 0 ? 0.0 : sum_ * 1e-9 / static_cast<double>(count_);
}

}  // namespace levin
