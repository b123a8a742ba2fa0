#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/core/ranks.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/trainer_options.h>

// Finds a learning rate or a batch size by trying: trains for some steps, and puts back afterwards
// what these have changed: weights, buffers and gradients of the module, the state of the data
// module, and the random generators. Nothing is logged or validated. Lightning: Tuner.

namespace levin {

/// Makes the optimizers of a trial; empty: Module::configure_optimizers.
using OptimizersFactory = std::function<Optimizers(Module&)>;

/// Options of lr_find. Names and defaults are Lightning's.
struct LrFindOptions {
  /// The learning rates of the first and of the last step, above 0 and increasing.
  double min_lr = 1e-8;
  double max_lr = 1.0;
  /// The number of optimizer steps, at least 2.
  int64_t num_training = 100;
  /// Whether the rate rises by the same factor at each step ("exponential") or by the same amount
  /// ("linear").
  std::string mode = "exponential";
  /// The trial ends if the smoothed loss is more than this many times the lowest one so far;
  /// nothing: it goes on to the end.
  std::optional<double> early_stop_threshold = 4.0;
};
Fields describe(LrFindOptions& options);

/// What lr_find has seen: the learning rate of each step, and its loss, smoothed by a running mean
/// with the decay 0.98 and corrected for its beginning.
struct LearningRates {
  std::vector<double> rates;
  std::vector<double> losses;

  /// The rate at which the loss falls fastest from one step to the next, so with mode = exponential
  /// as a function of the rate's logarithm. The first `skip_begin` and the last `skip_end` steps
  /// don't count. Nothing if fewer than two finite losses are left. Lightning: suggestion.
  std::optional<double> suggestion(size_t skip_begin = 10, size_t skip_end = 1) const;
};

/// Trains with a learning rate that rises from step to step, and returns what happened to the loss:
///
///     const auto found = levin::lr_find({.accelerator = "cpu"}, model, data);
///     if (const auto rate = found.suggestion()) model.set_learning_rate(*rate);
///
/// `options` are those of the fit that is to come; its limits and validation don't count. Groups of
/// parameters keep the ratios of their rates to the first group's. With several ranks, which must
/// all call it, losses are those of the rows of all ranks, and every rank returns the same. Throws
/// ConfigError for options out of range, for a solver, which has no learning rate, for a module
/// that optimizes by hand, and for a pipeline. Lightning: Tuner.lr_find.
LearningRates lr_find(const TrainerOptions& options, Module& module, DataModule& data,
                      const LrFindOptions& find = {}, const OptimizersFactory& optimizers = {});

/// Options of scale_batch_size. Names and defaults are Lightning's.
struct ScaleBatchSizeOptions {
  /// "power": doubles the size until it fails. "binsearch": goes on by bisection between the last
  /// size that worked and the one that failed.
  std::string mode = "power";
  /// The optimizer steps of each trial, at least 1.
  int64_t steps_per_trial = 3;
  /// The first size, at least 1; halved until it works.
  int64_t init_val = 2;
  /// The most trials, at least 1.
  int64_t max_trials = 25;
  /// The share of the size that is left free at the end if a larger one has failed, in [0, 1); only
  /// for "binsearch".
  double margin = 0.05;
  /// The largest size to try, at least 1. Sizes of more rows than there are aren't tried either.
  int64_t max_val = 8192;
};
Fields describe(ScaleBatchSizeOptions& options);

/// Returns the largest batch size, in rows on each device, with which a few steps of training don't
/// run out of memory. The loaders of `data` are used with another batch size; nothing is set in the
/// data module or the module.
///
///     const int64_t rows = levin::scale_batch_size({.accelerator = "cuda"}, model, data);
///
/// Running out of memory is an std::bad_alloc or an error of LibTorch that says so; everything else
/// that is thrown passes through. Throws ConfigError for options out of range and for a pipeline,
/// and the last error if even one row doesn't fit. Lightning: Tuner.scale_batch_size.
///
/// Several ranks, which must all call it, find the largest size that fits on each of them. A trial
/// is one of each rank by itself, which holds memory for the sums of gradients besides; its hooks
/// see no other ranks. A rank whose memory suffices throws DistributedError if that of another one
/// doesn't for a single row.
int64_t scale_batch_size(const TrainerOptions& options, Module& module, DataModule& data,
                         const ScaleBatchSizeOptions& scale = {},
                         const OptimizersFactory& optimizers = {});
/// The same among the ranks of a run that is about to begin, and has prepared the data.
int64_t scale_batch_size(const TrainerOptions& options, Module& module, DataModule& data,
                         Ranks& ranks, const ScaleBatchSizeOptions& scale,
                         const OptimizersFactory& optimizers);

}  // namespace levin
