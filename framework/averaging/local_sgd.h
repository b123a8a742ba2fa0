#pragma once

#include <cstdint>

#include <levin/framework/averaging/model_averaging.h>
#include <levin/framework/core/options.h>

namespace levin {

/// Settings of LocalSgd.
struct LocalSgdOptions {
  /// The number of steps that a rank takes by itself before the ranks average their weights.
  int64_t period = 8;
  /// After how many steps at most the ranks exchange flags, such as that a signal has arrived.
  int64_t flags_every = 16;
};
Fields describe(LocalSgdOptions& options);

/// Local SGD: ranks train by themselves, with any optimizer, and go on from the mean of their
/// weights after each `period` steps. The optimizers' states stay their own. Stich 2019,
/// https://arxiv.org/abs/1805.09767. PyTorch: PeriodicModelAverager.
///
/// With `period: 1` and plain SGD, this is what summed gradients give.
class LocalSgd : public ModelAveraging {
 public:
  using Options = LocalSgdOptions;
  /// Throws ConfigError if `period` or `flags_every` is less than 1.
  explicit LocalSgd(LocalSgdOptions options = {});
};

/// Settings of PostLocalSgd.
struct PostLocalSgdOptions {
  /// The number of steps at the beginning of training in which gradients are summed over ranks.
  /// PyTorch: start_localSGD_iter.
  int64_t start = 100;
  /// See LocalSgdOptions.
  int64_t period = 8;
  int64_t flags_every = 16;
};
Fields describe(PostLocalSgdOptions& options);

/// Post-local SGD: data parallelism at first, when weights change most, and then local SGD. Lin et
/// al. 2020, https://arxiv.org/abs/1808.07217. PyTorch: PostLocalSGDState without its sums within
/// a host. Lightning: DDPStrategy(model_averaging_period).
class PostLocalSgd : public ModelAveraging {
 public:
  using Options = PostLocalSgdOptions;
  /// Throws ConfigError if `start` is negative, or `period` or `flags_every` less than 1.
  explicit PostLocalSgd(PostLocalSgdOptions options = {});

  int64_t start() const override { return start_; }

 private:
  int64_t start_;
};

}  // namespace levin
