#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <torch/ordered_dict.h>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Chooses parameters of a module, by their names or by a function, and says which settings of the
/// optimizer are others for them. A list of rules makes parameter groups:
///
///     levin::Optimizers configure_optimizers() override {
///       return levin::AdamW(
///           levin::group_parameters(
///               named_parameters(),
///               {{.names = {"backbone.*"}, .learning_rate = 1e-5},
///                {.where = [](auto& name, auto& p) { return p.dim() < 2; }, .weight_decay =
///                0.0}}),
///           {.learning_rate = 1e-3, .weight_decay = 1e-2});
///     }
///
/// or in YAML, where the optimizer is named:
///
///     optimizer:
///       class_path: AdamW
///       init_args: {learning_rate: 1e-3, weight_decay: 1e-2}
///       groups:
///         - {names: ["backbone.*"], learning_rate: 1e-5}
///         - {names: ["*.bias", "norm?.*"], weight_decay: 0}
///
/// A parameter belongs to the first rule that matches it. Schedules start from each group's own
/// rate. A checkpoint has the state of each parameter by its name, and the rates of each group.
struct ParameterRule {
  /// Patterns of names, in which `*` stands for any text and `?` for any character. A parameter is
  /// chosen if one of them matches its whole name.
  std::vector<std::string> names{};
  /// Chooses the parameters for which it returns true, besides those that `names` chooses. If both
  /// are empty, nothing is chosen.
  std::function<bool(const std::string& name, const torch::Tensor& parameter)> where{};
  /// The learning rate, and the weight decay, of these parameters; nothing stands for the
  /// optimizer's.
  std::optional<double> learning_rate{};
  std::optional<double> weight_decay{};
};
/// Describes what YAML can give: all but `where`.
Fields describe(ParameterRule& rule);

/// Throws ConfigError for a rule with a negative rate or decay, and for one that chooses nothing
/// because it has neither names nor a function.
void validate(const ParameterRule& rule);

/// Returns the groups that the rules make of a module's named parameters: first a group of those
/// that no rule matches, unless there are none, and then one for each rule. Throws ConfigError for
/// a rule that no parameter is left for, with the nearest name, and what `validate` throws.
std::vector<ParameterGroup> group_parameters(const NamedTensors& named_parameters,
                                             const std::vector<ParameterRule>& rules);
std::vector<ParameterGroup> group_parameters(
    const torch::OrderedDict<std::string, torch::Tensor>& named_parameters,
    const std::vector<ParameterRule>& rules);

/// The same tensors and names as a list.
NamedTensors to_named_tensors(const torch::OrderedDict<std::string, torch::Tensor>& dict);

}  // namespace levin
