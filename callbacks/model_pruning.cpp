#include <levin/callbacks/model_pruning.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/callbacks/weight_averaging.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/module.h>

namespace levin {

Fields describe(ModelPruningOptions& o) {
  return fields_of<ModelPruningOptions>({
      {"amount", &o.amount, "what is pruned each time: a share (float) or number (int) of weights"},
      {"use_global_unstructured", &o.use_global_unstructured,
       "prune the smallest of all layers together, instead of those of each"},
      {"parameters", &o.parameters, "the parameters to prune; empty: all weights of layers"},
      {"every_n_epochs", &o.every_n_epochs, "prune at the end of every n-th epoch"},
      {"last_epoch", &o.last_epoch, "the last epoch, from 0, at whose end anything is pruned"},
  });
}

ModelPruning::ModelPruning(ModelPruningOptions options) : options_(std::move(options)) {
  const auto& amount = options_.amount;
  if (amount.is_count() ? amount.count() < 1
                        : !(amount.fraction() > 0.0 && amount.fraction() <= 1.0)) {
    throw ConfigError::invalid_value(
        "ModelPruning.amount",
        amount.is_count() ? fmt::to_string(amount.count()) : fmt::to_string(amount.fraction()),
        "must be a share above 0.0 and up to 1.0, or a number of weights from 1 on");
  }
  if (options_.every_n_epochs < 1) {
    throw ConfigError::invalid_value("ModelPruning.every_n_epochs",
                                     fmt::to_string(options_.every_n_epochs), "must be at least 1");
  }
}

void ModelPruning::find_parameters(const Module& module) {
  names_.clear();
  weights_.clear();
  masks_.clear();
  std::vector<std::string> all;
  for (const auto& item : module.named_parameters()) {
    const std::string& name = item.key();
    all.push_back(name);
    const auto& chosen = options_.parameters;
    const bool is_weight = name == "weight" || name.ends_with(".weight");
    if (chosen.empty() ? is_weight && item.value().dim() >= 2
                       : std::find(chosen.begin(), chosen.end(), name) != chosen.end()) {
      names_.push_back(name);
      weights_.push_back(item.value());
      masks_.push_back(at::ones_like(item.value().detach()));
    }
  }
  for (const auto& name : options_.parameters) {
    if (std::find(all.begin(), all.end(), name) != all.end()) continue;
    throw ConfigError::unknown_name("parameter", name, all, "ModelPruning.parameters");
  }
  if (names_.empty()) {
    throw ConfigError::conflict("ModelPruning with a module that has no weights of layers",
                                "name the parameters to prune, or leave out the callback");
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
  for (size_t i = 0; i < names_.size(); ++i) state.tensors[names_[i]] = masks_[i].to(at::kBool);
  return state;
}

void ModelPruning::load_state_dict(const StateDict& state) { loaded_ = state.clone(); }

void ModelPruning::on_fit_start(Run& run) {
  require_batch_optimizer("ModelPruning", run);
  const at::NoGradGuard no_grad;
  find_parameters(run.module());
  last_step_ = run.global_step();
  const StateDict loaded = std::exchange(loaded_, {});
  if (loaded.empty()) return;
  for (size_t i = 0; i < names_.size(); ++i) {
    const auto found = loaded.tensors.find(names_[i]);  // missing if it wasn't pruned before
    if (found != loaded.tensors.end() && found->second.sizes() == masks_[i].sizes()) {
      masks_[i].copy_(found->second);
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

/// Prunes the weights from number `first` to before `end` as if they were one.
void ModelPruning::prune(size_t first, size_t end) {
  std::vector<torch::Tensor> sizes;
  for (size_t i = first; i < end; ++i) {
    const auto left = masks_[i].to(at::kBool);
    sizes.push_back(weights_[i]
                        .detach()
                        .abs()
                        .masked_fill(left.logical_not(), std::numeric_limits<double>::infinity())
                        .flatten());
  }
  const auto all = at::cat(sizes);
  const auto left = at::isfinite(all).count_nonzero().item<int64_t>();
  const auto& amount = options_.amount;
  const int64_t count =
      amount.is_count()
          ? std::min(amount.count(), left)
          : static_cast<int64_t>(std::llround(amount.fraction() * static_cast<double>(left)));
  const auto pruned = std::get<1>(all.topk(count, /*dim=*/0, /*largest=*/false));
  const auto keeps = at::ones_like(all).index_fill_(0, pruned, 0);
  int64_t begin = 0;
  for (size_t i = first; i < end; ++i) {
    masks_[i].mul_(keeps.narrow(0, begin, masks_[i].numel()).view_as(masks_[i]));
    begin += masks_[i].numel();
  }
}

void ModelPruning::on_train_epoch_end(Run& run) {
  const int64_t epoch = run.epoch();
  const bool is_due =
      (epoch + 1) % options_.every_n_epochs == 0 && epoch <= options_.last_epoch.value_or(epoch);
  if (is_due && !run.progress().has_batches_left()) {
    const at::NoGradGuard no_grad;
    const size_t together = options_.use_global_unstructured ? weights_.size() : 1;
    for (size_t i = 0; i < weights_.size(); i += together) prune(i, i + together);
    apply_masks();
  }
  run.log("sparsity", sparsity());
}

}  // namespace levin
