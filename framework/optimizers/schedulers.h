#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/scheduler.h>

/// Learning-rate schedules that are functions of a counter alone, under PyTorch's names. A schedule
/// is given to the Trainer with an optimizer, and counts epochs unless it is told to count steps:
///
///     levin::Optimizers configure_optimizers() override {
///       return {levin::SGD(parameters(), {.learning_rate = 0.1}),
///               levin::CosineAnnealingLR({.T_max = 1000}),
///               {.interval = levin::Interval::step}};
///     }
///
/// or in YAML:
///
///     optimizer: {class_path: SGD, init_args: {learning_rate: 0.1}}
///     lr_scheduler: {class_path: CosineAnnealingLR, init_args: {T_max: 1000}, interval: step}
///
/// In the formulas below, `base` is the optimizer's configured rate. All constructors throw
/// ConfigError, naming the option, if a value is out of range or one that must be given is missing.
/// `describe` tells YAML files and `--help` of the options. Schedules
/// that rise and fall again are in cyclic_schedulers.h, a sequence of schedules in sequential_lr.h,
/// and ReduceLROnPlateau, which watches a metric, in plateau.h.
namespace levin {

/// Options of StepLR.
struct StepLROptions {
  /// Epochs or steps between two drops, at least 1; must be given.
  int64_t step_size = 0;
  /// What a drop multiplies the rate by, at least 0.
  double gamma = 0.1;
};
Fields describe(StepLROptions& options);

/// Drops at regular intervals: base * gamma^floor(counter / step_size). PyTorch: StepLR.
class StepLR : public Scheduler {
 public:
  using Options = StepLROptions;
  explicit StepLR(StepLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  StepLROptions options_;
};

/// Options of MultiStepLR.
struct MultiStepLROptions {
  /// The counters at which the rate drops, each at least 1, in any order. One that is listed twice
  /// drops it twice. Must be given.
  std::vector<int64_t> milestones{};
  /// What a drop multiplies the rate by, at least 0.
  double gamma = 0.1;
};
Fields describe(MultiStepLROptions& options);

/// Drops at given counters: base * gamma^(number of milestones reached). PyTorch: MultiStepLR.
class MultiStepLR : public Scheduler {
 public:
  using Options = MultiStepLROptions;
  explicit MultiStepLR(MultiStepLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  MultiStepLROptions options_;
};

/// Options of ExponentialLR.
struct ExponentialLROptions {
  /// What each epoch or step multiplies the rate by, above 0; must be given.
  double gamma = 0.0;
};
Fields describe(ExponentialLROptions& options);

/// Drops by the same factor each time: base * gamma^counter. PyTorch: ExponentialLR.
class ExponentialLR : public Scheduler {
 public:
  using Options = ExponentialLROptions;
  explicit ExponentialLR(ExponentialLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  ExponentialLROptions options_;
};

/// Options of CosineAnnealingLR.
struct CosineAnnealingLROptions {
  /// Epochs or steps from the base rate down to eta_min, at least 1; must be given. After that the
  /// rate goes up again, as the cosine does.
  int64_t T_max = 0;
  /// The lowest rate, at least 0.
  double eta_min = 0.0;
};
Fields describe(CosineAnnealingLROptions& options);

/// Falls along half a cosine:
///
///     eta_min + (base - eta_min) * (1 + cos(pi * counter / T_max)) / 2
///
/// PyTorch: CosineAnnealingLR; doi:10.48550/arXiv.1608.03983.
class CosineAnnealingLR : public Scheduler {
 public:
  using Options = CosineAnnealingLROptions;
  explicit CosineAnnealingLR(CosineAnnealingLROptions options = {});
  /// The cosine's part of the formula, (1 + cos(pi * counter / T_max)) / 2.
  double factor(int64_t counter) const override;
  /// Overridden because the formula isn't a multiple of the base rate.
  double learning_rate(double base_learning_rate, int64_t counter) const override;

 private:
  CosineAnnealingLROptions options_;
};

/// Options of LinearLR.
struct LinearLROptions {
  /// What the rate is multiplied by at first, in (0, 1].
  double start_factor = 1.0 / 3.0;
  /// What it is multiplied by in the end, in [0, 1].
  double end_factor = 1.0;
  /// Epochs or steps from the first factor to the last, at least 1. After that the last factor
  /// stays.
  int64_t total_iters = 5;
};
Fields describe(LinearLROptions& options);

/// Multiplies base by a factor that moves linearly from start_factor to end_factor, the usual
/// warm-up:
///
///     base * (start_factor + (end_factor - start_factor) * min(counter / total_iters, 1))
///
/// PyTorch: LinearLR.
class LinearLR : public Scheduler {
 public:
  using Options = LinearLROptions;
  explicit LinearLR(LinearLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  LinearLROptions options_;
};
/// Another name of LinearLR.
using WarmupLROptions = LinearLROptions;
using WarmupLR = LinearLR;

/// Options of ConstantLR.
struct ConstantLROptions {
  /// What the rate is multiplied by at first, in [0, 1].
  double factor = 1.0 / 3.0;
  /// For how many epochs or steps, at least 1.
  int64_t total_iters = 5;
};
Fields describe(ConstantLROptions& options);

/// Holds the rate at base * factor for total_iters epochs or steps, and then at base: the simplest
/// warm-up. PyTorch: ConstantLR.
class ConstantLR : public Scheduler {
 public:
  using Options = ConstantLROptions;
  explicit ConstantLR(ConstantLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  ConstantLROptions options_;
};

/// Options of PolynomialLR.
struct PolynomialLROptions {
  /// Epochs or steps from the base rate to 0, where it stays; at least 1.
  int64_t total_iters = 5;
  /// The exponent of the polynomial, above 0; 1 makes a straight line.
  double power = 1.0;
};
Fields describe(PolynomialLROptions& options);

/// Falls to 0 along a polynomial: base * (1 - min(counter / total_iters, 1))^power. PyTorch:
/// PolynomialLR.
class PolynomialLR : public Scheduler {
 public:
  using Options = PolynomialLROptions;
  explicit PolynomialLR(PolynomialLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  PolynomialLROptions options_;
};

/// Multiplies base by what a function returns for the counter. A checkpoint keeps the counter only,
/// so a resumed run needs the same function, and YAML can't name one.
///
///     levin::LambdaLR([](int64_t epoch) { return 1.0 / (1.0 + 0.1 * double(epoch)); })
///
/// PyTorch: LambdaLR with one function.
class LambdaLR : public Scheduler {
 public:
  /// Throws ConfigError for an empty function.
  explicit LambdaLR(std::function<double(int64_t counter)> factor);
  double factor(int64_t counter) const override { return factor_(counter); }

 private:
  std::function<double(int64_t)> factor_;
};

}  // namespace levin
