#include <levin/callbacks/model_pruning.h>

#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <levin/callbacks/batch_optimizer.h>
#include <levin/callbacks/parameters_to_prune.h>
#include <levin/framework/run/module.h>

namespace levin {
namespace {

constexpr const char* kFirstWeights = "first weights";

}  // namespace

ModelPruning::ModelPruning(ModelPruningOptions options) : options_(std::move(options)) {
  validate(options_);
  choice_ = {.fn = options_.pruning_fn,
             .dim = options_.pruning_dim.value_or(0),
             .norm = options_.pruning_norm.value_or(2.0),
             .amount = options_.amount};
}

void ModelPruning::find_parameters(const Module& module) {
  names_.clear();
  weights_.clear();
  masks_.clear();
  for (const auto& [name, weight] : parameters_to_prune(module, options_.parameters, choice_)) {
    names_.push_back(name);
    weights_.push_back(weight);
    masks_.push_back(at::ones_like(weight.detach()));
  }
}

double ModelPruning::sparsity() const {
  double left = 0.0;
  double all = 0.0;
  for (const auto& mask : masks_) {
    left += mask.count_nonzero().item<double>();
    all += static_cast<double>(mask.numel());
  }
  return all > 0.0 ? 1.0 - left / all : 0.0;
}

StateDict ModelPruning::state_dict() const {
  StateDict state;
  state.values["last_step"] = last_step_;
  StateDict first;
  for (size_t i = 0; i < names_.size(); ++i) {
    state.tensors[names_[i]] = masks_[i].to(at::kBool);
    if (!first_weights_.empty()) first.tensors[names_[i]] = first_weights_[i];
  }
  if (!first.empty()) state.add(kFirstWeights, std::move(first));
  return state;
}

void ModelPruning::load_state_dict(const StateDict& state) { loaded_ = state.clone(); }

void ModelPruning::on_fit_start(Run& run) {
  require_batch_optimizer("ModelPruning", run);
  const at::NoGradGuard no_grad;
  find_parameters(run.module());
  last_step_ = run.global_step();
  const StateDict loaded = std::exchange(loaded_, {});
  take_first_weights(loaded.child(kFirstWeights));
  if (loaded.empty()) return;
  for (size_t i = 0; i < names_.size(); ++i) {
    const auto found = loaded.tensors.find(names_[i]);  // missing if it wasn't pruned before
    if (found != loaded.tensors.end() && found->second.sizes() == masks_[i].sizes()) {
      masks_[i].copy_(found->second);
    }
  }
}

/// Keeps the weights with which training began, which `loaded` has if the fit resumes.
void ModelPruning::take_first_weights(const StateDict& loaded) {
  first_weights_.clear();
  if (!options_.use_lottery_ticket_hypothesis) return;
  for (size_t i = 0; i < names_.size(); ++i) {
    first_weights_.push_back(weights_[i].detach().clone());
    const auto found = loaded.tensors.find(names_[i]);
    if (found != loaded.tensors.end() && found->second.sizes() == weights_[i].sizes()) {
      first_weights_[i].copy_(found->second);
    }
  }
}

void ModelPruning::apply_masks() {
  const at::NoGradGuard no_grad;
  at::_foreach_mul_(weights_, masks_);
}

void ModelPruning::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  if (std::exchange(last_step_, step.global_step()) != step.global_step()) apply_masks();
}

void ModelPruning::prune(Run& run) {
  if (options_.use_global_unstructured) return choose_pruned(choice_, weights_, masks_, run);
  for (size_t i = 0; i < weights_.size(); ++i) {
    std::vector<torch::Tensor> mask{masks_[i]};
    choose_pruned(choice_, {weights_[i]}, mask, run);
  }
}

void ModelPruning::on_train_epoch_end(Run& run) {
  const int64_t epoch = run.epoch();
  const bool is_due =
      (epoch + 1) % options_.every_n_epochs == 0 && epoch <= options_.last_epoch.value_or(epoch);
  if (is_due && !run.progress().has_batches_left()) {
    const at::NoGradGuard no_grad;
    prune(run);
    for (size_t i = 0; i < first_weights_.size(); ++i) weights_[i].copy_(first_weights_[i]);
    apply_masks();
  }
  run.log("sparsity", sparsity());
}

}  // namespace levin
