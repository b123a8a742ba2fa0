#include <levin/framework/optimizers/optimizer.h>

#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>

namespace levin {
namespace {

void check_parameter(const torch::Tensor& parameter, const std::string& name) {
  const auto refuse = [&](std::string_view problem, std::string_view requirement) {
    throw ConfigError::invalid_value("parameter " + name, problem, requirement);
  };
  if (!parameter.defined()) refuse("undefined tensor", "every parameter must be a defined tensor");
  if (!at::isFloatingType(parameter.scalar_type()) && !parameter.is_complex()) {
    refuse(c10::toString(parameter.scalar_type()), "a parameter must be of a floating-point type");
  }
  if (!parameter.is_leaf()) {
    refuse("result of a computation", "a parameter must be a leaf tensor, as a module's are");
  }
}

}  // namespace

Optimizer::Optimizer(std::vector<ParameterGroup> groups, double learning_rate, double weight_decay)
    : groups_(std::move(groups)) {
  std::unordered_set<const void*> seen;
  size_t number = 0;
  for (auto& group : groups_) {
    if (std::isnan(group.learning_rate)) group.learning_rate = learning_rate;
    if (std::isnan(group.base_learning_rate)) group.base_learning_rate = group.learning_rate;
    if (std::isnan(group.weight_decay)) group.weight_decay = weight_decay;
    check_at_least_zero("learning_rate", group.learning_rate);
    check_at_least_zero("weight_decay", group.weight_decay);
    group.names.clear();
    group.parameters = each_parameter_once(std::move(group.parameters));
    for (const auto& parameter : group.parameters) {
      group.names.push_back(std::to_string(number++));
      check_parameter(parameter, group.names.back());
      if (!seen.insert(parameter.unsafeGetTensorImpl()).second) {
        throw ConfigError::conflict(
            fmt::format("parameter {} is in two of the optimizer's groups", group.names.back()),
            "put each parameter into one group");
      }
    }
  }
  if (number == 0) {
    throw ConfigError::invalid_value("parameters", "[]",
                                     "an optimizer needs at least one parameter");
  }
}

void Optimizer::zero_grad() {
  if (keeps_gradients_) return;
  for (auto& group : groups_) {
    for (auto& parameter : group.parameters) parameter.mutable_grad().reset();
  }
  for (auto& slice : slices_) {
    if (slice.tensor.defined()) slice.tensor.mutable_grad().reset();
  }
}

void Optimizer::shard(std::vector<ParameterSlice> /*slices*/,
                      std::function<void()> /*after_step*/) {
  throw ConfigError::conflict(
      fmt::format("the strategy shards the optimizer's state, which {} can't do", name()),
      "use Levin's SGD, Adam, AdamW, RMSprop or Adagrad, or strategy = ddp");
}

std::vector<torch::Tensor> Optimizer::stepped() const {
  std::vector<torch::Tensor> tensors;
  for (const auto& slice : slices_) {
    if (slice.tensor.defined()) tensors.push_back(slice.tensor);
  }
  if (!slices_.empty()) return tensors;
  for (const auto& group : groups_) {
    tensors.insert(tensors.end(), group.parameters.begin(), group.parameters.end());
  }
  return tensors;
}

void Optimizer::set_learning_rate(double learning_rate, size_t group) {
  groups_.at(group).learning_rate = learning_rate;
}

void Optimizer::set_names(const NamedTensors& named_parameters) {
  std::unordered_map<const void*, const std::string*> names;
  for (const auto& [name, parameter] : named_parameters) {
    names.emplace(parameter.unsafeGetTensorImpl(), &name);
  }
  for (auto& group : groups_) {
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      const auto found = names.find(group.parameters[i].unsafeGetTensorImpl());
      if (found != names.end()) group.names[i] = *found->second;
    }
  }
}

bool Optimizer::evaluate(const Closure& closure, torch::Tensor& loss) {
  if (!closure) return true;
  const at::AutoGradMode record(true);
  loss = closure();
  return loss.defined();
}

bool Optimizer::found_inf_on_host() const {
  return found_inf_.defined() && found_inf_.item<double>() != 0.0;
}

std::vector<std::string> Optimizer::all_names() const {
  std::vector<std::string> names;
  for (const auto& group : groups_) {
    names.insert(names.end(), group.names.begin(), group.names.end());
  }
  return names;
}

Value Optimizer::groups_value() const {
  Value::Array groups;
  for (const auto& group : groups_) {
    groups.push_back(Value::Object{{"learning_rate", group.learning_rate},
                                   {"base_learning_rate", group.base_learning_rate}});
  }
  return Value::Object{{"name", name()}, {"groups", std::move(groups)}};
}

void Optimizer::check_groups(const StateDict& state, std::vector<std::string>& problems) const {
  if (is_whole_checkpoint(state)) {
    throw CheckpointError::mismatch(
        "the state for this optimizer",
        {"it is a whole checkpoint; give child(\"optimizer\").child(\"0\") of it, the state of "
         "the first optimizer"});
  }
  const auto& saved_name = state.values.at("name").as_string();
  if (saved_name != name()) {
    problems.push_back(fmt::format("it is the state of {}, this is {}", saved_name, name()));
  }
  const auto& saved = state.values.at("groups").as_array();
  if (saved.size() != groups_.size()) {
    problems.push_back(
        fmt::format("{} parameter groups, this has {}", saved.size(), groups_.size()));
  }
  for (const auto& group : saved) {
    group.at("learning_rate").as_double();
    group.at("base_learning_rate").as_double();
  }
}

void Optimizer::load_groups(const StateDict& state) {
  const auto& saved = state.values.at("groups").as_array();
  for (size_t i = 0; i < groups_.size(); ++i) {
    groups_[i].base_learning_rate = saved.at(i).at("base_learning_rate").as_double();
    set_learning_rate(saved.at(i).at("learning_rate").as_double(), i);
  }
}

std::vector<torch::Tensor> each_parameter_once(std::vector<torch::Tensor> parameters) {
  std::unordered_set<const void*> seen;
  std::erase_if(parameters, [&](const torch::Tensor& parameter) {
    return parameter.defined() && !seen.insert(parameter.unsafeGetTensorImpl()).second;
  });
  return parameters;
}

std::vector<ParameterGroup> single_group(std::vector<torch::Tensor> parameters) {
  std::vector<ParameterGroup> groups(1);
  groups[0].parameters = std::move(parameters);
  return groups;
}

}  // namespace levin
