#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/online_learner.h>

namespace levin {

/// Options of OnlineSGD. With w for the weights and z for a row's output, a step does
///
///     g = mean over the step's rows of (weight of the row * derivative of its loss by z * row)
///     w = (1 - 2 * rate * l2_strength) * w - rate * g
///     w = sign(w) * max(0, |w| - rate * l1_strength)
struct OnlineSGDOptions {
  /// The rate of step t, counted from 0, is learning_rate / (1 + rate_decay * t)^rate_power. Above
  /// 0. Schedulers start from it.
  double learning_rate = 0.1;
  /// At least 0; 0: the rate stays as it is. 1 is Vowpal Wabbit's --sgd.
  double rate_decay = 0.0;
  double rate_power = 0.5;
  /// Penalties of the mean loss, as those of models, for models that have none of their own.
  double l1_strength = 0.0;
  double l2_strength = 0.0;
  /// How many rows make a step, at least 1; 0: those of a batch. The last step of a batch may have
  /// fewer.
  int64_t rows_a_step = 1;
  /// After how many batches ranks average their weights; 0: when they are read, at least after each
  /// epoch.
  int64_t average_every = 0;
  /// Whether the run's threads learn from the rows of a batch at the same time, without locks
  /// (OnlineLearner). Only with rows_a_step = 1 and without penalties.
  bool hogwild = false;
};

/// Options of OnlineAdagrad. Steps are as those of OnlineSGD, but the rate of a feature's weight is
/// learning_rate / (sqrt(sum of g^2 over all steps so far) + eps). A feature without a gradient so
/// far isn't penalised.
struct OnlineAdagradOptions {
  double learning_rate = 0.1;  // above 0
  double eps = 1e-10;          // above 0
  double l1_strength = 0.0;
  double l2_strength = 0.0;
  int64_t rows_a_step = 1;
  int64_t average_every = 0;
  bool hogwild = false;  // only with rows_a_step = 1 and without penalties
};

/// Options of FTRL. With n for the sum of a feature's g^2 before a step, and g as in OnlineSGD,
///
///     sigma = (sqrt(n + g^2) - sqrt(n)) / learning_rate
///     z = z + g - sigma * w
///     w = 0 if |z| <= l1, else -(z - sign(z) * l1) / (l2 + (beta + sqrt(n + g^2)) / learning_rate)
struct FTRLOptions {
  /// alpha in the paper, above 0. It can't be changed later, so no scheduler can be used.
  double learning_rate = 0.1;
  double beta = 1.0;  // above 0
  /// Penalties of the sum of all losses, not of their mean: the more rows, the less they count.
  double l1 = 0.0;
  double l2 = 0.0;
  int64_t rows_a_step = 1;
  int64_t average_every = 0;
  bool hogwild = false;  // only with rows_a_step = 1
};

Fields describe(OnlineSGDOptions& options);
Fields describe(OnlineAdagradOptions& options);
Fields describe(FTRLOptions& options);

/// Stochastic gradient descent, row by row or in small batches, with lazy L1 (truncated gradient)
/// and L2 penalties. For batches of gradients, or momentum: SGD.
class OnlineSGD final : public OnlineLearner {
 public:
  using Options = OnlineSGDOptions;
  /// Throws ConfigError for options that are out of range.
  explicit OnlineSGD(std::vector<torch::Tensor> parameters, OnlineSGDOptions options = {});
};

/// Adagrad, row by row or in small batches, with lazy L1 and L2 penalties. It learns faster than
/// OnlineSGD where some features are rare. Duchi et al. 2011, JMLR 12, 2121.
class OnlineAdagrad final : public OnlineLearner {
 public:
  using Options = OnlineAdagradOptions;
  /// Throws ConfigError for options that are out of range.
  explicit OnlineAdagrad(std::vector<torch::Tensor> parameters, OnlineAdagradOptions options = {});
};

/// FTRL-proximal: as Adagrad, but with an L1 penalty whose weights are exactly 0 for most features.
/// McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013.
class FTRL final : public OnlineLearner {
 public:
  using Options = FTRLOptions;
  /// Throws ConfigError for options that are out of range.
  explicit FTRL(std::vector<torch::Tensor> parameters, FTRLOptions options = {});
};

}  // namespace levin
