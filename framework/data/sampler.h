#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace levin {

/// The order in which an epoch visits the rows of a data set. Derive from it for an order of your
/// own and pass it as `DataLoaderOptions::sampler`:
///
///     auto rare = std::make_shared<levin::WeightedSampler>(weights, 10'000);
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
  /// Gives the seed of the reader, that of the loader or `global_seed()`, to a sampler that has
  /// none of its own. Called once, before `set_epoch`.
  virtual void set_default_seed(uint64_t /*seed*/) {}
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
  /// Draws `size` rows in each epoch. `weights` has one number for each row of the data set.
  /// Without a seed, that of the reader is taken. Throws DataError if a weight is negative,
  /// infinite or NaN or if their sum is 0 or infinite, and ConfigError if `size` is negative.
  WeightedSampler(std::vector<double> weights, int64_t size, std::optional<uint64_t> seed = {});
  /// The weights that make every class equally likely: 1 / (number of rows of its class) for each
  /// row. `labels` has one number for each row, which may be any.
  static std::vector<double> balancing(std::span<const int64_t> labels);
  int64_t size() const override { return size_; }
  void set_epoch(int64_t epoch) override { epoch_ = epoch; }
  void rows(int64_t first, std::span<int64_t> out) const override;
  std::unique_ptr<Sampler> clone() const override;
  void set_default_seed(uint64_t seed) override { seed_ = seed_.value_or(seed); }

 private:
  std::vector<double> cumulative_;
  int64_t size_;
  std::optional<uint64_t> seed_;
  int64_t epoch_ = 0;
};

/// A random permutation of the rows, another one in each epoch, in which the classes are spread
/// evenly: any stretch of it, such as a batch of any size, has each class in the share that all
/// rows have it, up to a row or two. Use it if batches are small and some classes are rare.
///
/// The j-th row of a class of n rows, in a random order, lies at about (j + u) / n of the epoch,
/// with u from [0, 1) at random. The order depends on (seed, epoch) alone.
class StratifiedSampler : public Sampler {
 public:
  /// `labels` has the class of each row of the data set, which may be any number. Without a seed,
  /// that of the reader is taken.
  explicit StratifiedSampler(std::span<const int64_t> labels, std::optional<uint64_t> seed = {});
  int64_t size() const override { return size_; }
  void set_epoch(int64_t epoch) override;
  void rows(int64_t first, std::span<int64_t> out) const override;
  std::unique_ptr<Sampler> clone() const override;
  void set_default_seed(uint64_t seed) override { seed_ = seed_.value_or(seed); }

 private:
  std::vector<std::vector<int64_t>> classes_;  // their rows
  int64_t size_ = 0;
  std::optional<uint64_t> seed_;
  int64_t epoch_ = -1;
  std::vector<int64_t> order_;
};

}  // namespace levin
