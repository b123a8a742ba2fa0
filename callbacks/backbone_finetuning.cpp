#include <levin/callbacks/backbone_finetuning.h>

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/module.h>

namespace levin {

BackboneFinetuning::BackboneFinetuning(BackboneFinetuningOptions options)
    : options_(std::move(options)) {
  validate(options_);
}

StateDict BackboneFinetuning::state_dict() const {
  StateDict state = BaseFinetuning::state_dict();
  state.values["rate"] = rate_;
  return state;
}

void BackboneFinetuning::load_state_dict(const StateDict& state) {
  BaseFinetuning::load_state_dict(state);
  rate_ = state.values.at("rate").as_double();
  rate_resumed_ = true;
}

torch::nn::Module& BackboneFinetuning::backbone_of(Module& module) const {
  std::vector<std::string> names;
  for (const auto& item : module.named_modules(std::string(), /*include_self=*/false)) {
    if (item.key() == options_.backbone) return *item.value();
    names.push_back(item.key());
  }
  throw ConfigError::unknown_name("submodule", options_.backbone, names,
                                  "BackboneFinetuning.backbone");
}

void BackboneFinetuning::on_fit_start(Run& run) {
  if (!std::exchange(rate_resumed_, false)) rate_ = 0.0;
  BaseFinetuning::on_fit_start(run);
  find_groups(run);
}

void BackboneFinetuning::find_groups(Run& run) {
  backbone_groups_.clear();
  other_.reset();
  std::set<const void*> own;
  for (const auto& parameter : backbone_of(run.module()).parameters()) {
    own.insert(parameter.unsafeGetTensorImpl());
  }
  for (auto& entry : run.optimizers().entries()) {
    const auto& groups = entry.optimizer->groups();
    for (size_t i = 0; i < groups.size(); ++i) {
      const auto& all = groups[i].parameters;
      const Group group{entry.optimizer.get(), i};
      if (std::all_of(all.begin(), all.end(), [&](const auto& parameter) {
            return own.contains(parameter.unsafeGetTensorImpl());
          })) {
        backbone_groups_.push_back(group);
      } else if (!other_) {
        other_ = group;
      }
    }
  }
}

void BackboneFinetuning::freeze_before_training(Module& module) {
  freeze(backbone_of(module), options_.train_bn);
}

void BackboneFinetuning::finetune(Module& module, int64_t epoch, Run& run) {
  if (epoch < options_.unfreeze_backbone_at_epoch) return;
  const bool is_first = epoch == options_.unfreeze_backbone_at_epoch;
  if (is_first) unfreeze(backbone_of(module));
  if (backbone_groups_.empty() || !other_) {
    if (is_first) {
      run.warn(fmt::format(
          "BackboneFinetuning: '{}' has no parameter group of its own and is trained with the "
          "learning rate of its group. For a rate of its own, let configure_optimizers give it a "
          "group",
          options_.backbone));
    }
    return;
  }
  const double others = other_->optimizer->groups()[other_->number].learning_rate;
  rate_ = is_first
              ? options_.backbone_initial_lr.value_or(others * options_.backbone_initial_ratio_lr)
              : rate_ * options_.multiplier;
  if (options_.should_align) rate_ = std::min(rate_, others);
  set_rate();
}

void BackboneFinetuning::set_rate() {
  for (const auto& [optimizer, number] : backbone_groups_) {
    if (optimizer->groups()[number].learning_rate == rate_) continue;
    optimizer->set_learning_rate(rate_, number);
  }
}

void BackboneFinetuning::on_train_batch_start(const Batch&, Step&) {
  if (rate_ > 0.0) set_rate();  // a scheduler may have changed it
}

}  // namespace levin
