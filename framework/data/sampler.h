#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace levin {

/// The order in which an epoch visits the rows: a function of (seed, epoch), the same for any
/// number of workers and ranks. It can be read from any position, some rows at a time.
class Sampler {
 public:
  virtual ~Sampler() = default;
  /// How many positions an epoch has.
  virtual int64_t size() const = 0;
  /// Goes to another epoch; later calls of `rows` give that epoch's order.
  virtual void set_epoch(int64_t epoch) = 0;
  /// Writes the rows at positions first, first + 1, ... into `out`. Thread-safe after `set_epoch`.
  virtual void rows(int64_t first, std::span<int64_t> out) const = 0;
  virtual std::unique_ptr<Sampler> clone() const = 0;
};

/// 0, 1, 2, ... in every epoch.
class SequentialSampler : public Sampler {
 public:
  explicit SequentialSampler(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  void set_epoch(int64_t) override {}
  void rows(int64_t first, std::span<int64_t> out) const override;
  std::unique_ptr<Sampler> clone() const override;

 private:
  int64_t size_;
};

/// A uniformly random permutation keyed by (seed, epoch), made anew when the epoch changes by the
/// algorithm of Fisher and Yates on a KeyedGenerator. Takes 4 bytes a row, or 8 above 2^32 rows.
class RandomSampler : public Sampler {
 public:
  RandomSampler(int64_t size, uint64_t seed);
  int64_t size() const override { return size_; }
  void set_epoch(int64_t epoch) override;
  void rows(int64_t first, std::span<int64_t> out) const override;
  std::unique_ptr<Sampler> clone() const override;

 private:
  int64_t size_;
  uint64_t seed_;
  int64_t epoch_ = -1;
  std::vector<uint32_t> order_;
  std::vector<int64_t> long_order_;
};

/// Rows drawn with replacement, row i with probability weights[i] / sum, for data sets that have
/// few rows of some classes.
class WeightedSampler : public Sampler {
 public:
  /// Draws `size` rows in each epoch. Throws DataError for negative weights or a sum of 0.
  WeightedSampler(std::vector<double> weights, int64_t size, uint64_t seed);
  int64_t size() const override { return size_; }
  void set_epoch(int64_t epoch) override { epoch_ = epoch; }
  void rows(int64_t first, std::span<int64_t> out) const override;
  std::unique_ptr<Sampler> clone() const override;

 private:
  std::vector<double> cumulative_;
  int64_t size_;
  uint64_t seed_;
  int64_t epoch_ = 0;
};

}  // namespace levin
