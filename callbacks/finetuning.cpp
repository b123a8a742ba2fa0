#include <levin/callbacks/finetuning.h>

#include <set>
#include <utility>

#include <levin/callbacks/batch_norms.h>
#include <levin/callbacks/whole_model.h>
#include <levin/framework/core/type_name.h>
#include <levin/framework/run/module.h>

namespace levin {

namespace {

/// Calls `use` for the part, which may be a local variable, and for each layer in it.
template <class Use>
void each_layer(torch::nn::Module& part, Use use) {
  use(part);
  for (const auto& layer : part.modules(/*include_self=*/false)) use(*layer);
}

}  // namespace

void BaseFinetuning::freeze(torch::nn::Module& part, bool train_bn) {
  each_layer(part, [&](torch::nn::Module& layer) {
    const bool is_norm = is_batch_norm(layer);
    if (is_norm && train_bn) return;
    for (auto& parameter : layer.parameters(/*recurse=*/false)) parameter.requires_grad_(false);
    if (is_norm) layer.eval();
  });
}

void BaseFinetuning::unfreeze(torch::nn::Module& part) {
  each_layer(part, [](torch::nn::Module& layer) {
    for (auto& parameter : layer.parameters(/*recurse=*/false)) parameter.requires_grad_(true);
    if (is_batch_norm(layer)) layer.train();
  });
}

StateDict BaseFinetuning::state_dict() const {
  StateDict state;
  Value::Array frozen;
  if (module_ != nullptr) {
    for (const auto& item : module_->named_parameters()) {
      if (!item.value().requires_grad()) frozen.emplace_back(item.key());
    }
  }
  state.values["frozen"] = std::move(frozen);
  return state;
}

void BaseFinetuning::load_state_dict(const StateDict& state) {
  frozen_.clear();
  for (const Value& name : state.values.at("frozen").as_array()) {
    frozen_.push_back(name.as_string());
  }
  resumed_ = true;
}

void BaseFinetuning::on_fit_start(Run& run) {
  require_whole_model(unqualified_name(typeid(*this)),
                      "checkpoints would say what is frozen on one rank alone", run);
  module_ = &run.module();
  if (!std::exchange(resumed_, false)) return freeze_before_training(run.module());
  const std::set<std::string> frozen(frozen_.begin(), frozen_.end());
  for (auto& item : run.module().named_parameters()) {
    item.value().requires_grad_(!frozen.contains(item.key()));
  }
  for (const auto& layer : run.module().modules(/*include_self=*/false)) {
    if (!is_batch_norm(*layer)) continue;
    const auto own = layer->parameters(/*recurse=*/false);
    if (!own.empty() && !own.front().requires_grad()) layer->eval();
  }
}

void BaseFinetuning::on_train_epoch_start(Run& run) { finetune(run.module(), run.epoch(), run); }

}  // namespace levin
