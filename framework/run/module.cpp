#include <levin/framework/run/module.h>

#include <map>
#include <set>

#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/checkpoint/matching_names.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/type_name.h>
#include <levin/framework/run/module_callbacks.h>
#include <levin/framework/run/step.h>

namespace levin {
namespace {

/// Calls `visit(name, tensor)` for each parameter and buffer; for a tied one only once.
template <class Visit>
void for_each_tensor(const torch::nn::Module& module, Visit visit) {
  std::set<const void*> seen;
  for (const auto& item : module.named_parameters()) {
    if (seen.insert(item.value().unsafeGetTensorImpl()).second) visit(item.key(), item.value());
  }
  for (const auto& item : module.named_buffers()) {
    if (seen.insert(item.value().unsafeGetTensorImpl()).second) visit(item.key(), item.value());
  }
}

/// Returns the further names of tied tensors, each with the first name of the same tensor.
/// Checkpoints of other programs may have a tied tensor under any of its names.
std::map<std::string, std::string, std::less<>> further_names(const torch::nn::Module& module) {
  std::map<const void*, std::string> first_names;
  for_each_tensor(module, [&](const std::string& name, const torch::Tensor& tensor) {
    first_names.emplace(tensor.unsafeGetTensorImpl(), name);
  });
  std::map<std::string, std::string, std::less<>> result;
  const auto add = [&](const std::string& name, const torch::Tensor& tensor) {
    const auto& first = first_names.at(tensor.unsafeGetTensorImpl());
    if (name != first) result.emplace(name, first);
  };
  for (const auto& item : module.named_parameters()) add(item.key(), item.value());
  for (const auto& item : module.named_buffers()) add(item.key(), item.value());
  return result;
}

using NamedList = torch::OrderedDict<std::string, torch::Tensor>;

/// Returns `list` without the further names of a tensor. Tensors that aren't defined are kept.
NamedList each_once(const NamedList& list) {
  NamedList result;
  std::set<const void*> seen;
  for (const auto& item : list) {
    const torch::Tensor& tensor = item.value();
    if (tensor.defined() && !seen.insert(tensor.unsafeGetTensorImpl()).second) continue;
    result.insert(item.key(), tensor);
  }
  return result;
}

[[noreturn]] void missing(const char* step) {
  throw ModuleError::contract(step, "the module doesn't have it", "override it in your module");
}

std::string describe_tensor(const torch::Tensor& tensor) {
  return fmt::format("{} [{}]", c10::toString(tensor.scalar_type()),
                     fmt::join(tensor.sizes().begin(), tensor.sizes().end(), ", "));
}

}  // namespace

torch::Tensor Module::training_step(const Batch&, Step&) { missing("training_step"); }
void Module::validation_step(const Batch&, Step&) { missing("validation_step"); }
void Module::test_step(const Batch&, Step&) { missing("test_step"); }
NamedTensors Module::predict_step(const Batch& batch, Step&) { return predict(batch); }

NamedTensors Module::predict(const Batch&) {
  throw ModuleError::contract("predict", "the module doesn't have it",
                              "override predict(batch) in your module; predict_step calls it "
                              "unless you override that as well");
}

Optimizers Module::configure_optimizers() { return {}; }

void Module::backward(const torch::Tensor& loss) { loss.backward(); }

void Module::optimizer_step(Optimizer& optimizer, const Closure& closure) {
  optimizer.step(closure);
}

void Module::configure_gradient_clipping(Optimizer&, Step& step) { step.clip_by_options(); }

void Module::lr_scheduler_step(ScheduleStep& schedule) { schedule.step(); }

ModuleCallbacks Module::configure_callbacks() { return {}; }

std::string Module::class_name() const {
  return registered_name_.empty() ? without_namespaces(name()) : registered_name_;
}

void Module::set_registered(std::string name, Value settings) {
  registered_name_ = std::move(name);
  registered_settings_ = std::move(settings);
}

StateDict Module::state_dict() const {
  StateDict state;
  for_each_tensor(*this, [&](const std::string& name, const torch::Tensor& tensor) {
    state.tensors.emplace(name, tensor.detach());
  });
  return state;
}

std::vector<std::string> Module::load_state_dict(const StateDict& state, bool strict) {
  if (is_whole_checkpoint(state)) {
    StateDict fitted = fitted_state(state).clone();
    prepare_like_checkpoint(*this, state);
    auto problems = load_state_dict(state.child("model"), strict);
    set_data_state(std::move(fitted));
    return problems;
  }
  std::vector<std::string> problems;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;
  std::set<std::string, std::less<>> known;
  const auto tied = further_names(*this);
  for_each_tensor(*this, [&](const std::string& name, const torch::Tensor& own) {
    known.insert(name);
    auto found = state.tensors.find(name);
    for (const auto& [other, first] : tied) {
      if (found == state.tensors.end() && first == name) found = state.tensors.find(other);
    }
    if (found == state.tensors.end()) {
      problems.push_back(fmt::format("'{}' {} is missing", name, describe_tensor(own)));
    } else if (found->second.sizes() != own.sizes() ||
               found->second.scalar_type() != own.scalar_type()) {
      problems.push_back(fmt::format("'{}' is {}, the module's is {}", name,
                                     describe_tensor(found->second), describe_tensor(own)));
    } else if (found->second.is_meta() && !own.is_meta()) {
      problems.push_back(fmt::format(
          "'{}' has no data; read them with load_checkpoint, not load_checkpoint_outline", name));
    } else {
      copies.emplace_back(own, found->second);
    }
  });
  if (known.empty() && !state.tensors.empty()) {
    problems.push_back(
        "the module has no parameters; if its layers are made when their sizes are known, set "
        "these "
        "(in_features, num_classes ...)");
  }
  for (const auto& [name, tensor] : state.tensors) {
    if (!known.contains(name) && !tied.contains(name)) {
      problems.push_back(fmt::format("'{}' isn't in the module", name));
    }
  }
  if (strict && !problems.empty()) {
    throw CheckpointError::mismatch("the state for this module", problems);
  }
  const at::NoGradGuard no_grad;
  for (auto& [own, saved] : copies) own.copy_(saved);
  if (!copies.empty()) set_trained();
  return problems;
}

void prepare_like_checkpoint(Module& module, const StateDict& checkpoint) {
  const auto description = module_description(checkpoint);
  const Value settings = description ? description->init_args : foreign_settings(checkpoint);
  if (settings.is_object()) module.prepare_like(settings);
}

StateDict weights_for(const Module& module, const StateDict& loaded, std::string* note) {
  StateDict weights = module_weights(loaded);
  if (is_whole_checkpoint(loaded)) return weights;
  auto matched = match_names(module.state_dict(), weights);
  if (note != nullptr && !matched.others.empty()) {
    *note = fmt::format("the module has no use for what is called {} there",
                        shortened(fmt::format("{}", fmt::join(matched.others, ", "))));
  }
  return std::move(matched.weights);
}

std::vector<torch::Tensor> Module::parameters(bool recurse) const {
  return named_parameters(recurse).values();
}

NamedList Module::named_parameters(bool recurse) const {
  return each_once(torch::nn::Module::named_parameters(recurse));
}

std::vector<torch::Tensor> Module::buffers(bool recurse) const {
  return named_buffers(recurse).values();
}

NamedList Module::named_buffers(bool recurse) const {
  return each_once(torch::nn::Module::named_buffers(recurse));
}

at::Device Module::device() const {
  for (const auto& tensor : parameters()) return tensor.device();
  for (const auto& tensor : buffers()) return tensor.device();
  return at::kCPU;
}

at::ScalarType Module::dtype() const {
  for (const auto& list : {parameters(), buffers()}) {
    for (const auto& tensor : list) {
      if (tensor.is_floating_point()) return tensor.scalar_type();
    }
  }
  return at::kFloat;
}

int64_t Module::num_parameters(bool trainable_only) const {
  int64_t total = 0;
  for (const auto& parameter : parameters()) {
    if (parameter.requires_grad() || !trainable_only) total += parameter.numel();
  }
  return total;
}

}  // namespace levin
