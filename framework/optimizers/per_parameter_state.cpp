#include <levin/framework/optimizers/per_parameter.h>

#include <set>

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <levin/framework/checkpoint/slices.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

std::string describe_shape(at::IntArrayRef shape, at::ScalarType type) {
  return fmt::format("{} {}", c10::str(shape), c10::toString(type));
}

/// The part of a whole saved tensor that belongs to a slice whose state has the shape of `like`.
torch::Tensor part_of(const torch::Tensor& whole, int64_t begin, const torch::Tensor& like) {
  return whole.reshape({-1}).narrow(0, begin, like.numel()).view(like.sizes());
}

/// Where a slice begins in the flattened real tensor: a complex entry is two real ones.
int64_t real_begin(const ParameterSlice* slice) {
  if (slice == nullptr) return 0;
  return slice->tensor.is_complex() ? 2 * slice->begin : slice->begin;
}

}  // namespace

void PerParameterOptimizer::shard(std::vector<ParameterSlice> slices,
                                  std::function<void()> after_step) {
  if (!settings_.is_elementwise) Optimizer::shard(std::move(slices), std::move(after_step));
  const StateDict state = state_dict();
  slices_ = std::move(slices);
  after_step_ = std::move(after_step);
  buckets_.clear();
  has_buckets_ = false;
  if (!state.tensors.empty()) load_state_dict(state);
}

std::vector<int64_t> PerParameterOptimizer::whole_shape(const Bucket& bucket,
                                                        const Slot& slot) const {
  auto shape = groups_[bucket.group].parameters[slot.index].sizes().vec();
  if (slot.parameter.is_complex()) shape.push_back(2);
  return shape;
}

/// The keys of a parameter's state, the steps last.
std::vector<std::string> PerParameterOptimizer::state_names(const std::string& parameter) const {
  std::vector<std::string> names;
  for (const auto& kind : settings_.states) names.push_back(parameter + "." + kind.name);
  if (settings_.counts_steps) names.push_back(parameter + ".step");
  return names;
}

StateDict PerParameterOptimizer::state_dict() const {
  StateDict result;
  result.values = groups_value();
  if (!slices_.empty()) result.values[kSlices] = Value::Object{};
  for (const auto& bucket : buckets_) {
    for (const auto& slot : bucket.slots) {
      if (slot.started) save_slot(result, bucket, slot);
    }
  }
  return result;
}

void PerParameterOptimizer::save_slot(StateDict& state, const Bucket& bucket,
                                      const Slot& slot) const {
  const auto names = state_names(groups_[bucket.group].names[slot.index]);
  const auto shape = whole_shape(bucket, slot);
  const int64_t begin = real_begin(slot.slice);
  for (size_t k = 0; k < slot.states.size(); ++k) {
    const auto& own = slot.states[k];
    state.tensors[names[k]] = own;
    if (slot.slice == nullptr) continue;
    state.values[kSlices][names[k]] = to_value(TensorSlice{shape, begin, begin + own.numel()});
  }
  if (!settings_.counts_steps) return;
  if (slot.slice != nullptr) {  // the rank with the parameter's first entry saves its count
    if (begin > 0) return;
    state.values[kSlices][names.back()] = to_value(TensorSlice{{}, 0, 1});
  }
  state.tensors[names.back()] = slot.step;
}

void PerParameterOptimizer::check_state(const StateDict& state, const Bucket& bucket,
                                        std::vector<std::string>& problems) const {
  for (const auto& slot : bucket.slots) {
    const auto names = state_names(groups_[bucket.group].names[slot.index]);
    std::vector<std::string> missing;
    for (size_t k = 0; k < names.size(); ++k) {
      const auto saved = state.tensors.find(names[k]);
      if (saved == state.tensors.end()) {
        missing.push_back("missing: " + names[k]);
        continue;
      }
      const bool is_step = k == settings_.states.size();
      const auto shape = is_step ? std::vector<int64_t>{} : whole_shape(bucket, slot);
      const auto type = is_step ? at::kFloat : slot.real.scalar_type();
      const auto& tensor = saved->second;
      if (tensor.sizes() != at::IntArrayRef(shape) || tensor.scalar_type() != type) {
        problems.push_back(fmt::format("{} is {}, here {}", names[k],
                                       describe_shape(tensor.sizes(), tensor.scalar_type()),
                                       describe_shape(shape, type)));
      }
    }
    if (missing.size() < names.size()) {
      problems.insert(problems.end(), missing.begin(), missing.end());
    }
  }
}

void PerParameterOptimizer::load_state_dict(const StateDict& state) {
  const at::NoGradGuard no_grad;
  make_buckets();
  std::vector<std::string> problems;
  check_groups(state, problems);
  for (const auto& bucket : buckets_) check_state(state, bucket, problems);
  std::set<std::string> known;  // includes the keys of other ranks' slices
  for (const auto& parameter : all_names()) {
    for (auto& key : state_names(parameter)) known.insert(std::move(key));
  }
  for (const auto& [key, tensor] : state.tensors) {
    if (!known.contains(key)) problems.push_back("unexpected: " + key);
  }
  if (!problems.empty()) throw CheckpointError::mismatch(name(), problems);

  load_groups(state);
  for (auto& bucket : buckets_) {
    for (auto& slot : bucket.slots) load_slot(state, bucket, slot);
    bucket.fused.active.clear();
    bucket.plain.active.clear();
    bucket.places.clear();
  }
}

void PerParameterOptimizer::load_slot(const StateDict& state, Bucket& bucket, Slot& slot) {
  const auto names = state_names(groups_[bucket.group].names[slot.index]);
  if (names.empty()) return;
  if (!state.tensors.contains(names.back())) {
    slot.started = false;
    return;
  }
  if (!slot.started) start(bucket, slot);
  for (size_t k = 0; k < slot.states.size(); ++k) {
    auto& own = slot.states[k];
    own.copy_(part_of(state.tensor(names[k]), real_begin(slot.slice), own));
  }
  if (settings_.counts_steps) slot.step.copy_(state.tensor(names.back()));
}

}  // namespace levin
