#include <levin/callbacks/model_pruning.h>

#include <utility>

#include <c10/core/GradMode.h>

#include <levin/callbacks/batch_optimizer.h>
#include <levin/callbacks/whole_model.h>
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

StateDict ModelPruning::state_dict() const {
  StateDict state;
  state.values["last_step"] = last_step_;
  masks_.save_to(state);
  StateDict first;
  for (size_t i = 0; i < first_weights_.size(); ++i) {
    first.tensors[masks_.names()[i]] = first_weights_[i];
  }
  if (!first.empty()) state.add(kFirstWeights, std::move(first));
  return state;
}

void ModelPruning::load_state_dict(const StateDict& state) { loaded_ = state.clone(); }

void ModelPruning::on_fit_start(Run& run) {
  require_batch_optimizer("ModelPruning", run);
  require_whole_model("ModelPruning", "it compares the weights of all layers", run);
  const at::NoGradGuard no_grad;
  masks_.begin(run.module(), options_.parameters, choice_);
  last_step_ = run.global_step();
  const StateDict loaded = std::exchange(loaded_, {});
  take_first_weights(loaded.child(kFirstWeights));
  masks_.load_from(loaded);
}

/// Keeps the weights with which training began, which `loaded` has if the fit resumes.
void ModelPruning::take_first_weights(const StateDict& loaded) {
  first_weights_.clear();
  if (!options_.use_lottery_ticket_hypothesis) return;
  for (size_t i = 0; i < masks_.names().size(); ++i) {
    first_weights_.push_back(masks_.weights()[i].detach().clone());
    const auto found = loaded.tensors.find(masks_.names()[i]);
    if (found != loaded.tensors.end() && found->second.sizes() == first_weights_[i].sizes()) {
      first_weights_[i].copy_(found->second);
    }
  }
}

void ModelPruning::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  if (std::exchange(last_step_, step.global_step()) != step.global_step()) masks_.apply();
}

void ModelPruning::on_train_epoch_end(Run& run) {
  const int64_t epoch = run.epoch();
  const bool is_due =
      (epoch + 1) % options_.every_n_epochs == 0 && epoch <= options_.last_epoch.value_or(epoch);
  if (is_due && !run.progress().has_batches_left()) {
    const at::NoGradGuard no_grad;
    masks_.prune(choice_, options_.use_global_unstructured, run);
    for (size_t i = 0; i < first_weights_.size(); ++i) masks_.weights()[i].copy_(first_weights_[i]);
    masks_.apply();
  }
  run.log("sparsity", masks_.sparsity());
}

}  // namespace levin
