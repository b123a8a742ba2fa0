#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace levin {

/// The order in which an epoch visits the rows of a data set. Derive from it for an order of your
/// own and pass it as `DataLoaderOptions::sampler`:
///
///     auto rare = std::make_shared<levin::WeightedSampler>(weights, 10'000, seed);
///     levin::DataLoader loader(dataset, {.batch_size = 64, .sampler = rare});
///
/// An order has to be a function of the seed and the epoch alone, so that it is the same for any
/// number of workers and ranks and after a resume. It is the order of all ranks together; the
/// loader gives each rank its share of it (RankShare), so no distributed sampler is needed. It can
/// be read from any position, some rows at a time.
///
/// Each reader works on a clone of its own. It calls `set_epoch` before the first `rows`, and never
/// while another thread is in `rows`. PyTorch: torch.utils.data.Sampler.
class Sampler {
 public:
  virtual ~Sampler() = default;
  /// How many positions an epoch has. This may differ from the number of rows of the data set: rows
  /// may be left out or repeated.
  virtual int64_t size() const = 0;
  /// Chooses the epoch, from 0, whose order later calls of `rows` give.
  virtual void set_epoch(int64_t epoch) = 0;
  /// Writes the row numbers at positions first, first + 1, ... into all of `out`. The positions
  /// must lie in [0, size), which isn't checked here. Called from several threads at once.
  virtual void rows(int64_t first, std::span<int64_t> out) const = 0;
  /// Returns a copy that gives the same order and shares no state with this one.
  virtual std::unique_ptr<Sampler> clone() const = 0;
};

/// The rows in their own order, 0, 1, 2, ... in every epoch; what a loader without shuffling uses.
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

/// A uniformly random permutation of the rows, another one in each epoch; what a loader with
/// `shuffle = true` uses. The order depends on (seed, epoch) alone and is the same on every
/// machine.
///
/// `set_epoch` makes the permutation by the algorithm of Fisher and Yates on a KeyedGenerator, in
/// time proportional to `size`. It takes 4 bytes of memory a row, or 8 from 2^32 rows on. Calling
/// `rows` before `set_epoch` isn't allowed.
class RandomSampler : public Sampler {
 public:
  /// Throws ConfigError if `size` is negative.
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

/// Rows drawn with replacement, row i with probability weights[i] / sum. Use it for data sets that
/// have few rows of some classes: give each row 1 / (number of rows of its class).
///
/// The draw at each position depends on (seed, epoch, position) alone. It costs a binary search in
/// the weights, which take 8 bytes a row. PyTorch: torch.utils.data.WeightedRandomSampler.
class WeightedSampler : public Sampler {
 public:
  /// Draws `size` rows in each epoch. `weights` has one number for each row of the data set. Throws
  /// DataError if a weight is negative, infinite or NaN or if their sum is 0 or infinite, and
  /// ConfigError if `size` is negative.
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
