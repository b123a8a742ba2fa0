#include <levin/framework/optimizers/per_parameter.h>

#include <algorithm>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <levin/framework/error.h>

namespace levin {
namespace {

std::string shape_of(const torch::Tensor& tensor) {
  return fmt::format("{} {}", c10::str(tensor.sizes()), c10::toString(tensor.scalar_type()));
}

}  // namespace

StateDict PerParameterOptimizer::state_dict() const {
  StateDict result;
  result.values = groups_value();
  for (const auto& bucket : buckets_) {
    for (const auto& slot : bucket.slots) {
      if (!slot.started) continue;
      const auto& parameter = groups_[bucket.group].names[slot.index];
      for (size_t k = 0; k < slot.states.size(); ++k) {
        result.tensors[fmt::format("{}.{}", parameter, settings_.states[k].name)] = slot.states[k];
      }
      if (settings_.counts_steps) result.tensors[parameter + ".step"] = slot.step;
    }
  }
  return result;
}

void PerParameterOptimizer::check_state(const StateDict& state, const Bucket& bucket,
                                        std::vector<std::string>& known,
                                        std::vector<std::string>& problems) const {
  const auto like_step = at::zeros({}, at::kFloat);
  for (const auto& slot : bucket.slots) {
    const auto& parameter = groups_[bucket.group].names[slot.index];
    std::vector<std::string> missing;
    size_t found = 0;
    const auto check = [&](const std::string& kind, const torch::Tensor& like) {
      const std::string key = fmt::format("{}.{}", parameter, kind);
      known.push_back(key);
      const auto saved = state.tensors.find(key);
      if (saved == state.tensors.end()) {
        missing.push_back("missing: " + key);
        return;
      }
      ++found;
      if (saved->second.sizes() != like.sizes() ||
          saved->second.scalar_type() != like.scalar_type()) {
        problems.push_back(
            fmt::format("{} is {}, here {}", key, shape_of(saved->second), shape_of(like)));
      }
    };
    for (const auto& kind : settings_.states) check(kind.name, slot.real);
    if (settings_.counts_steps) check("step", like_step);
    if (found > 0) problems.insert(problems.end(), missing.begin(), missing.end());
  }
}

void PerParameterOptimizer::load_state_dict(const StateDict& state) {
  const at::NoGradGuard no_grad;
  if (buckets_.empty()) make_buckets();
  std::vector<std::string> known;
  std::vector<std::string> problems;
  check_groups(state, problems);
  for (const auto& bucket : buckets_) check_state(state, bucket, known, problems);
  std::sort(known.begin(), known.end());
  for (const auto& [key, tensor] : state.tensors) {
    if (!std::binary_search(known.begin(), known.end(), key)) {
      problems.push_back("unexpected: " + key);
    }
  }
  if (!problems.empty()) throw CheckpointError::mismatch(name(), problems);

  load_groups(state);
  for (auto& bucket : buckets_) {
    for (auto& slot : bucket.slots) load_slot(state, bucket, slot);
    bucket.fused.active.clear();
    bucket.plain.active.clear();
  }
}

void PerParameterOptimizer::load_slot(const StateDict& state, Bucket& bucket, Slot& slot) {
  if (settings_.states.empty() && !settings_.counts_steps) return;
  const auto& parameter = groups_[bucket.group].names[slot.index];
  const auto key = [&](const std::string& kind) { return fmt::format("{}.{}", parameter, kind); };
  const auto& any = settings_.counts_steps ? std::string("step") : settings_.states[0].name;
  if (state.tensors.find(key(any)) == state.tensors.end()) {
    slot.started = false;
    return;
  }
  if (!slot.started) start(bucket, slot);
  for (size_t k = 0; k < slot.states.size(); ++k) {
    slot.states[k].copy_(state.tensor(key(settings_.states[k].name)));
  }
  if (settings_.counts_steps) slot.step.copy_(state.tensor(key("step")));
}

}  // namespace levin
