#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ops/empty_like.h>

#include <levin/framework/data/datamodule.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/run.h>
#include <levin/framework/run/trainer_options.h>
#include <levin/framework/tensor/random.h>

namespace levin {

/// What a trial changes, kept to be put back. The weights are taken when training is about to
/// begin, because a module may make its layers only then.
class BeforeTrial {
 public:
  BeforeTrial(Module& module, DataModule& data)
      : module_(module),
        data_(data),
        random_(random_state().clone()),
        fitted_(module.data_state().clone()),
        is_trained_(module.is_trained()),
        estimated_steps_(module.estimated_stepping_batches()) {}
  ~BeforeTrial() { restore(); }
  BeforeTrial(const BeforeTrial&) = delete;
  BeforeTrial& operator=(const BeforeTrial&) = delete;

  void take_weights() {
    weights_ = module_.state_dict().clone();
    data_state_ = data_.state_dict().clone();
    for (auto& parameter : module_.parameters()) {
      gradients_.emplace_back(parameter, std::exchange(parameter.mutable_grad(), torch::Tensor()));
    }
  }

 private:
  void restore() noexcept {
    try {
      if (weights_) {
        module_.load_state_dict(*weights_);
        data_.load_state_dict(*data_state_);
      }
      for (auto& [parameter, gradient] : gradients_) parameter.mutable_grad() = gradient;
      module_.set_data_state(std::move(fitted_));
      module_.set_trained(is_trained_);
      module_.set_estimated_stepping_batches(estimated_steps_);
      load_random_state(random_);
    } catch (...) {  // only if memory has run out altogether
    }
  }

  Module& module_;
  DataModule& data_;
  StateDict random_;
  StateDict fitted_;
  bool is_trained_;
  std::optional<int64_t> estimated_steps_;
  std::optional<StateDict> weights_;
  std::optional<StateDict> data_state_;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> gradients_;
};

/// The options of a trial of so many optimizer steps, of which nothing is seen.
inline TrainerOptions trial_options(TrainerOptions options, int64_t steps) {
  options.max_epochs = -1;
  options.max_steps = steps;
  options.min_epochs.reset();
  options.min_steps.reset();
  options.max_time.clear();
  options.limit_val_batches = 0;
  options.num_sanity_val_steps = 0;
  options.log_every_n_steps = 0;
  options.fast_dev_run = false;
  options.profiler.clear();
  return options;
}

/// Throws ConfigError if ranks are to share a model, because a trial can't put back weights that
/// other ranks have. `search` is the function that makes trials.
void refuse_shared_models(const TrainerOptions& options, const char* search);

/// Makes a trial one of this rank alone, which sums nothing with other ranks. It holds as much
/// memory as these sums take, which is that of the gradients unless gradients lie in the buckets.
class TrialOfThisRank : public Callback {
 public:
  explicit TrialOfThisRank(const TrainerOptions& options)
      : has_buckets_(!options.gradient_as_bucket_view) {}
  std::string state_key() const override { return "TrialOfThisRank"; }
  void on_fit_start(Run& run) override {
    if (!has_buckets_) return;
    for (const auto& parameter : run.module().parameters()) {
      if (parameter.requires_grad()) held_.push_back(at::empty_like(parameter.detach()));
    }
  }

 private:
  bool has_buckets_;
  std::vector<torch::Tensor> held_;
};

/// Tells BeforeTrial when training is about to begin.
class TakesWeights : public Callback {
 public:
  explicit TakesWeights(BeforeTrial& before) : before_(before) {}
  std::string state_key() const override { return "TakesWeights"; }
  void on_fit_start(Run& /*run*/) override { before_.take_weights(); }

 private:
  BeforeTrial& before_;
};

}  // namespace levin
