#include <levin/framework/trainer/tuner.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <string_view>

#include <c10/util/Exception.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>
#include <levin/framework/strategies/strategy.h>
#include <levin/framework/trainer/adapted_loaders.h>
#include <levin/framework/trainer/starting_point.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/framework/trainer/trial.h>
#include <levin/framework/trainer/trial_data.h>

namespace levin {
namespace {

/// Another data module's training data in batches of another size.
class Resized : public TrialData {
 public:
  /// Doesn't prepare data that ranks have prepared together (`is_prepared`).
  Resized(DataModule& data, int64_t batch_size, bool is_prepared)
      : TrialData(data), batch_size_(batch_size), is_prepared_(is_prepared) {}
  void prepare_data() override {
    if (!is_prepared_) TrialData::prepare_data();
  }
  DataLoaders train_dataloader() override {
    const DataLoaders resized = with_batch_size(wrapped().train_dataloader(), batch_size_);
    for (const auto& loader : resized) {
      if (const auto own = loader.dataset().size()) rows = std::max(rows.value_or(0), *own);
    }
    return resized;
  }

  std::optional<int64_t> rows;  // of the largest loader

 private:
  int64_t batch_size_;
  bool is_prepared_;
};

bool says_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::Error*>(&error) == nullptr) return false;
  const std::string_view text = error.what();
  return text.find("out of memory") != text.npos || text.find("can't allocate") != text.npos;
}

void check_scale(const ScaleBatchSizeOptions& o) {
  if (o.mode != "power" && o.mode != "binsearch") {
    throw ConfigError::invalid_value("mode", o.mode, "must be power or binsearch");
  }
  const auto at_least_one = [](const char* name, int64_t value) {
    check_option(value >= 1, name, value, "must be at least 1");
  };
  at_least_one("steps_per_trial", o.steps_per_trial);
  at_least_one("init_val", o.init_val);
  at_least_one("max_trials", o.max_trials);
  at_least_one("max_val", o.max_val);
  check_decay("margin", o.margin);
}

/// Tries batch sizes, one after another.
class SizeTrials {
 public:
  SizeTrials(const TrainerOptions& options, Module& module, DataModule& data,
             const ScaleBatchSizeOptions& scale, const OptimizersFactory& optimizers, Ranks& ranks)
      : options_(trial_options(options, scale.steps_per_trial)),
        module_(module),
        data_(data),
        scale_(scale),
        optimizers_(optimizers),
        ranks_(ranks) {}

  int64_t run() {
    int64_t size = std::min(scale_.init_val, most());
    for (; trials_ < scale_.max_trials && size > works_ && size < fails_; size = next(size)) {
      if (fits(size)) {
        works_ = size;
      } else {
        fails_ = size;
      }
    }
    if (works_ == 0 && error_) std::rethrow_exception(error_);
    if (works_ == 0 && has_failed()) {
      throw DistributedError("another rank has run out of memory with the smallest batch size");
    }
    const bool leaves_room = scale_.mode == "binsearch" && has_failed();
    if (!leaves_room) return works_;
    const auto room = static_cast<int64_t>(scale_.margin * static_cast<double>(works_));
    return std::max<int64_t>(1, works_ - room);
  }

 private:
  /// The largest size to try: all rows, or each rank's share of them.
  int64_t most() const {
    if (!rows_) return scale_.max_val;
    return std::min(scale_.max_val, (*rows_ + ranks_.size() - 1) / ranks_.size());
  }
  bool has_failed() const { return fails_ != std::numeric_limits<int64_t>::max(); }

  /// The size to try after `size`; one that can't be if there is none.
  int64_t next(int64_t size) const {
    if (works_ == 0) return size / 2;
    if (!has_failed()) return std::min(2 * size, most());
    return scale_.mode == "power" ? works_ : works_ + (fails_ - works_) / 2;
  }

  /// Whether each rank can train with that size. Ranks try by themselves, since one that runs out
  /// of memory could not go on to the sums that others wait for.
  bool fits(int64_t size) {
    const auto rows = rows_of_trial(size);
    if (ranks_.any(!rows)) return false;
    rows_ = *rows;
    return true;
  }

  /// Trains with that size. Returns the rows that there are, as far as that is known, or nothing if
  /// the memory doesn't suffice.
  std::optional<std::optional<int64_t>> rows_of_trial(int64_t size) {
    ++trials_;
    Resized resized(data_, size, ranks_.size() > 1);
    BeforeTrial before(module_, data_);
    try {
      Trainer trainer(options_);
      if (optimizers_) trainer.set_optimizers(optimizers_);
      trainer.add(std::make_unique<TakesWeights>(before), overridden_hooks<TakesWeights>());
      if (ranks_.size() > 1) {
        trainer.add(std::make_unique<TrialOfThisRank>(options_),
                    overridden_hooks<TrialOfThisRank>());
      }
      trainer.fit(module_, resized);
    } catch (const std::exception& error) {
      if (!says_out_of_memory(error)) throw;
      error_ = std::current_exception();
      return {};
    }
    return resized.rows;
  }

  TrainerOptions options_;
  Module& module_;
  DataModule& data_;
  const ScaleBatchSizeOptions& scale_;
  const OptimizersFactory& optimizers_;
  Ranks& ranks_;
  int64_t trials_ = 0;
  int64_t works_ = 0;  // the largest size that did
  int64_t fails_ = std::numeric_limits<int64_t>::max();
  std::optional<int64_t> rows_;
  std::exception_ptr error_;  // of the last size that failed on this rank
};

}  // namespace

Fields describe(ScaleBatchSizeOptions& o) {
  return fields_of<ScaleBatchSizeOptions>({
      {"mode", &o.mode, "\"power\" (doubles the size) or \"binsearch\" (and bisects)"},
      {"steps_per_trial", &o.steps_per_trial, "optimizer steps of each trial"},
      {"init_val", &o.init_val, "the first size"},
      {"max_trials", &o.max_trials, "the most trials"},
      {"margin", &o.margin, "of binsearch: the share of the size that is left free at the end"},
      {"max_val", &o.max_val, "the largest size"},
  });
}

int64_t scale_batch_size(const TrainerOptions& options, Module& module, DataModule& data,
                         const ScaleBatchSizeOptions& scale, const OptimizersFactory& optimizers) {
  refuse_shared_models(options, "scale_batch_size");
  const auto strategy = make_strategy(options);
  try {
    if (strategy->ranks().size() > 1) {
      prepare_data(*strategy, data, options.prepare_data_per_node);
    }
    return scale_batch_size(options, module, data, strategy->ranks(), scale, optimizers);
  } catch (const std::exception& error) {
    strategy->fail(error);
    throw;
  }
}

int64_t scale_batch_size(const TrainerOptions& options, Module& module, DataModule& data,
                         Ranks& ranks, const ScaleBatchSizeOptions& scale,
                         const OptimizersFactory& optimizers) {
  check_scale(scale);
  refuse_shared_models(options, "scale_batch_size");
  return SizeTrials(options, module, data, scale, optimizers, ranks).run();
}

}  // namespace levin
