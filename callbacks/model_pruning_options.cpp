#include <levin/callbacks/model_pruning.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

void check_pruning_fn(const ModelPruningOptions& o) {
  const std::vector<std::string> known{"l1_unstructured", "random_unstructured", "ln_structured",
                                       "random_structured"};
  if (std::find(known.begin(), known.end(), o.pruning_fn) == known.end()) {
    throw ConfigError::unknown_name("pruning_fn", o.pruning_fn, known, "ModelPruning");
  }
  if (!o.pruning_fn.ends_with("_structured")) return;
  if (o.use_global_unstructured) {
    throw ConfigError::conflict(
        fmt::format("ModelPruning: pruning_fn = {} with use_global_unstructured", o.pruning_fn),
        "slices of different layers can't be compared; set use_global_unstructured to false");
  }
  if (!o.pruning_dim) {
    throw ConfigError::conflict(
        fmt::format("ModelPruning: pruning_fn = {} without pruning_dim", o.pruning_fn),
        "set it to the dimension whose slices are pruned, such as 0 for the outputs of a layer");
  }
  if (o.pruning_fn == "ln_structured" && !o.pruning_norm) {
    throw ConfigError::conflict("ModelPruning: pruning_fn = ln_structured without pruning_norm",
                                "set it to the order of the norm, such as 2");
  }
}

}  // namespace

void validate(const ModelPruningOptions& o) {
  const auto& amount = o.amount;
  if (amount.is_count() ? amount.count() < 1
                        : !(amount.fraction() > 0.0 && amount.fraction() <= 1.0)) {
    throw ConfigError::invalid_value(
        "ModelPruning.amount",
        amount.is_count() ? fmt::to_string(amount.count()) : fmt::to_string(amount.fraction()),
        "must be a share above 0.0 and up to 1.0, or a number of weights from 1 on");
  }
  if (o.every_n_epochs < 1) {
    throw ConfigError::invalid_value("ModelPruning.every_n_epochs",
                                     fmt::to_string(o.every_n_epochs), "must be at least 1");
  }
  check_pruning_fn(o);
}

Fields describe(ModelPruningOptions& o) {
  return fields_of<ModelPruningOptions>({
      {"pruning_fn", &o.pruning_fn,
       "l1_unstructured, random_unstructured, ln_structured or random_structured"},
      {"amount", &o.amount, "what is pruned each time: a share (float) or number (int) of weights"},
      {"use_global_unstructured", &o.use_global_unstructured,
       "prune the smallest of all layers together, instead of those of each"},
      {"pruning_dim", &o.pruning_dim, "the dimension whose slices structured functions prune"},
      {"pruning_norm", &o.pruning_norm, "the order of the norm by which ln_structured goes"},
      {"use_lottery_ticket_hypothesis", &o.use_lottery_ticket_hypothesis,
       "put what is left back to its first values after each pruning"},
      {"parameters", &o.parameters, "the parameters to prune; empty: all weights of layers"},
      {"every_n_epochs", &o.every_n_epochs, "prune at the end of every n-th epoch"},
      {"last_epoch", &o.last_epoch, "the last epoch, from 0, at whose end anything is pruned"},
  });
}

}  // namespace levin
