#include <levin/datamodules/tables/median_finder.h>

#include <algorithm>
#include <bit>

namespace levin::tables {
namespace {

constexpr int kBucketBits = 16;

/// A whole number for each number, in the same order.
uint64_t ordered_key(double number) {
  const auto bits = std::bit_cast<uint64_t>(number);
  constexpr uint64_t kSign = uint64_t{1} << 63;
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

}  // namespace

void MedianFinder::Bucket::add(double number) {
  least = count == 0 ? number : std::min(least, number);
  most = count == 0 ? number : std::max(most, number);
  ++count;
}

void MedianFinder::add(double number) {
  number += 0.0;  // -0 becomes 0
  if (is_first_pass_) ++count_;
  const uint64_t key = ordered_key(number);
  if (key < lowest_ || key > highest_) return;
  if (!buckets_.empty()) return put(number);
  kept_.push_back(number);
  if (kept_.size() <= most_kept_) return;
  buckets_.resize(size_t{1} << kBucketBits);
  for (const double each : kept_) put(each);
  kept_ = {};
}

void MedianFinder::put(double number) {
  buckets_[static_cast<size_t>((ordered_key(number) - lowest_) >> shift_)].add(number);
}

bool MedianFinder::end_pass() {
  is_first_pass_ = false;
  const int64_t first = (count_ - 1) / 2 - below_;  // the numbers in front of it in the range
  const int64_t second = count_ / 2 - below_;
  if (!buckets_.empty()) return end_counting(first, second);
  std::sort(kept_.begin(), kept_.end());
  const double a = kept_[static_cast<size_t>(first)];
  const double b = kept_[static_cast<size_t>(second)];
  median_ = first == second ? a : (a + b) / 2.0;
  kept_ = {};
  return false;
}

/// Finds the bucket of the middle, or the median if that is known already.
bool MedianFinder::end_counting(int64_t first, int64_t second) {
  size_t at = 0;
  int64_t before = 0;
  for (; before + buckets_[at].count <= first; ++at) before += buckets_[at].count;
  const Bucket found = buckets_[at];
  if (before + found.count <=
      second) {  // the other middle number is in the next bucket that isn't empty
    ++at;
    while (buckets_[at].count == 0) ++at;
    median_ = (found.most + buckets_[at].least) / 2.0;
    buckets_ = {};
    return false;
  }
  buckets_ = {};
  median_ = found.least;
  if (found.least == found.most) return false;
  below_ += before;
  lowest_ = ordered_key(found.least);
  highest_ = ordered_key(found.most);
  const int bits = static_cast<int>(std::bit_width(highest_ - lowest_));
  shift_ = std::max(0, bits - kBucketBits);
  return true;
}

}  // namespace levin::tables
