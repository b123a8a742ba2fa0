#include <algorithm>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/SmallVector.h>

#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/optimizers/per_parameter.h>
#include <levin/framework/threads/shared_work.h>

// How several threads share a step of an optimizer.

namespace levin {
namespace {

// The entries of a part: about 25 us of a core with Adam. A multiple of any vector's length, so
// that the kernels put the same entries into vectors as without parts, and the bits are the same.
constexpr int64_t kPart = 32'768;

torch::Tensor piece_of(const torch::Tensor& tensor, int64_t begin, int64_t end) {
  return begin == 0 && end == tensor.numel() ? tensor
                                             : tensor.view(-1).narrow(0, begin, end - begin);
}

// Without the check of the type, which is known.
float* floats_of(const torch::Tensor& tensor) {
  return static_cast<float*>(tensor.mutable_data_ptr());
}

}  // namespace

void PerParameterOptimizer::call_fused(const Bucket& bucket) {
  const auto& route = bucket.fused;
  if (!bucket.device.is_cpu()) return fused(route.lists);
  share_out(static_cast<int64_t>(route.parts.size()), [&](int64_t part) {
    const at::AutoDispatchBelowAutograd no_autograd_kernels;
    // The means of a gradient that has become 0 decay to denormal numbers, and stay there.
    const kernels::DenormalsAreZero scope;
    if (route.parts.size() == 1) return call_fused(bucket, route.lists);
    call_fused(bucket, take(route.lists, route.parts[static_cast<size_t>(part)]));
  });
}

void PerParameterOptimizer::call_fused(const Bucket& bucket, const Lists& lists) {
  if (!bucket.is_for_host_kernel || lists.grad_scale || lists.found_inf) return fused(lists);
  c10::SmallVector<HostParameter, 8> parameters;
  for (size_t i = 0; i < lists.parameters.size(); ++i) parameters.push_back(on_host(lists, i));
  step_on_host({parameters.data(), parameters.size()});
}

auto PerParameterOptimizer::on_host(const Lists& lists, size_t index) -> HostParameter {
  HostParameter one{.parameter = floats_of(lists.parameters[index]),
                    .gradient = static_cast<const float*>(lists.gradients[index].const_data_ptr()),
                    .count = lists.parameters[index].numel(),
                    .learning_rate = lists.learning_rate,
                    .weight_decay = lists.weight_decay};
  for (size_t k = 0; k < lists.states.size(); ++k) {
    one.states[k] = floats_of(lists.states[k][index]);
  }
  if (!lists.steps.empty()) one.steps = *lists.steps[index].const_data_ptr<float>();
  return one;
}

void PerParameterOptimizer::step_small_buckets(size_t begin, size_t end) {
  const at::NoGradGuard no_grad;
  const at::AutoDispatchBelowAutograd no_autograd_kernels;
  // Its memory is kept from step to step, since getting it takes as long as filling it.
  static thread_local std::vector<HostParameter> ready;
  std::vector<Bucket*> others;
  ready.clear();
  for (size_t i = begin; i < end; ++i) {
    if (!gather_on_host(buckets_[i], ready)) others.push_back(&buckets_[i]);
  }
  if (!ready.empty()) {
    const kernels::DenormalsAreZero scope;
    step_on_host(ready);
  }
  for (Bucket* const bucket : others) step_bucket(*bucket);
}

bool PerParameterOptimizer::gather_on_host(Bucket& bucket,
                                           std::vector<HostParameter>& ready) const {
  if (!bucket.is_for_host_kernel || grad_scale_.defined()) return false;
  if (!knows_places(bucket) && !find_places(bucket)) return false;
  const auto& group = groups_[bucket.group];
  float* const counts =
      settings_.counts_steps ? bucket.step_counts.mutable_data_ptr<float>() : nullptr;
  for (const Place& place : bucket.places) {
    ready.push_back(place.on_host);
    HostParameter& one = ready.back();
    one.learning_rate = group.learning_rate;
    one.weight_decay = group.weight_decay;
    if (counts != nullptr) one.steps = counts[place.slot] += 1.0F;
    bucket.slots[place.slot].parameter.unsafeGetTensorImpl()->bump_version();
  }
  if (!keeps_gradients_) bucket.places.clear();
  return true;
}

bool PerParameterOptimizer::knows_places(const Bucket& bucket) const {
  if (bucket.places.empty()) return false;
  auto place = bucket.places.begin();
  for (size_t i = 0; i < bucket.slots.size(); ++i) {
    const auto& parameter = bucket.slots[i].parameter;
    const auto& gradient = parameter.grad();
    if (!gradient.defined()) continue;
    const bool is_there = place != bucket.places.end() && place->slot == i &&
                          gradient.is_same(place->gradient) &&
                          parameter.const_data_ptr() == place->on_host.parameter;
    if (!is_there) return false;
    ++place;
  }
  return place == bucket.places.end();
}

bool PerParameterOptimizer::find_places(Bucket& bucket) const {
  bucket.places.clear();
  for (size_t i = 0; i < bucket.slots.size(); ++i) {
    const Slot& slot = bucket.slots[i];
    const auto& gradient = slot.parameter.grad();
    if (!gradient.defined()) continue;
    const bool is_as_usual =
        slot.started && !slot.parameter.is_complex() && is_fusable(bucket, slot, gradient);
    if (!is_as_usual) {
      bucket.places.clear();
      return false;
    }
    HostParameter one{.parameter = floats_of(slot.parameter),
                      .gradient = static_cast<const float*>(gradient.const_data_ptr()),
                      .count = slot.parameter.numel()};
    for (size_t k = 0; k < slot.states.size(); ++k) {
      one.states[k] = floats_of(slot.states[k]);
    }
    // References kept until the next step would double the memory that other gradients need.
    bucket.places.push_back({i, keeps_gradients_ ? gradient : torch::Tensor(), one});
  }
  return true;
}

/// Cuts the lists into parts of about kPart entries. Only contiguous parameters are cut.
auto PerParameterOptimizer::cut(const Lists& lists) const -> std::vector<std::vector<Piece>> {
  std::vector<std::vector<Piece>> parts(1);
  int64_t room = kPart;
  for (size_t i = 0; i < lists.parameters.size(); ++i) {
    const int64_t size = lists.parameters[i].numel();
    const bool is_cut = settings_.is_elementwise && lists.parameters[i].is_contiguous();
    for (int64_t begin = 0; begin < size;) {
      if (room <= 0 && settings_.is_elementwise) {
        parts.emplace_back();
        room = kPart;
      }
      const int64_t end = is_cut ? std::min(size, begin + kPart) : size;
      parts.back().push_back({i, begin, end});
      room -= end - begin;
      begin = end;
    }
  }
  return parts;
}

auto PerParameterOptimizer::take(const Lists& lists, const std::vector<Piece>& part) -> Lists {
  Lists result;
  result.learning_rate = lists.learning_rate;
  result.learning_rate_tensor = lists.learning_rate_tensor;
  result.weight_decay = lists.weight_decay;
  result.grad_scale = lists.grad_scale;
  result.found_inf = lists.found_inf;
  result.first = lists.first;
  result.states.resize(lists.states.size());
  for (const auto& [index, begin, end] : part) {
    result.parameters.push_back(piece_of(lists.parameters[index], begin, end));
    result.gradients.push_back(piece_of(lists.gradients[index], begin, end));
    if (!lists.steps.empty()) result.steps.push_back(lists.steps[index]);
    for (size_t k = 0; k < lists.states.size(); ++k) {
      result.states[k].push_back(piece_of(lists.states[k][index], begin, end));
    }
  }
  return result;
}

}  // namespace levin
