#include <levin/framework/optimizers/per_parameter.h>

#include <algorithm>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ne.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/threads/shared_work.h>

namespace levin {
namespace {

// A dimension of size 1 may have any stride.
bool same_layout(const torch::Tensor& a, const torch::Tensor& b) {
  const auto sizes = a.sizes();
  if (!sizes.equals(b.sizes())) return false;
  const auto x = a.strides();
  const auto y = b.strides();
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (x[i] != y[i] && sizes[i] != 1) return false;
  }
  return true;
}

// Many groups of few entries, such as those of many small models, are shared out to threads as a
// whole. Returns the number of parts, about 20 us of a core each; 0 for other groups, whose
// parameters are cut instead.
template <class Buckets>
int64_t parts_of_many(const Buckets& buckets) {
  constexpr size_t kMany = 16;
  constexpr int64_t kEntriesOfPart = 16'384;
  if (buckets.size() < kMany) return 0;
  int64_t entries = 0;
  for (const auto& bucket : buckets) {
    if (!bucket.device.is_cpu()) return 0;
    for (const auto& slot : bucket.slots) entries += slot.parameter.numel();
  }
  return std::clamp<int64_t>(entries / kEntriesOfPart, 1, static_cast<int64_t>(kMany));
}

// Counts a new version of each tensor, by which autograd notices if a graph holds its old values.
// Neither kernels of Levin's own nor LibTorch's operations on lists do that.
void note_changes(const std::vector<torch::Tensor>& changed) {
  for (const auto& tensor : changed) tensor.unsafeGetTensorImpl()->bump_version();
}

torch::Tensor real_view(const torch::Tensor& tensor) {
  return tensor.is_complex() ? at::view_as_real(tensor.detach().resolve_conj()) : tensor;
}

}  // namespace

PerParameterOptimizer::PerParameterOptimizer(std::vector<ParameterGroup> groups,
                                             double learning_rate, double weight_decay,
                                             Settings settings)
    : Optimizer(std::move(groups), learning_rate, weight_decay), settings_(std::move(settings)) {}

void PerParameterOptimizer::fused(const Lists& lists) { plain(lists); }

bool PerParameterOptimizer::suits_cuda_kernels(const Lists& lists) {
  return kernels::cuda::are_built() && lists.learning_rate_tensor.defined() &&
         lists.parameters.front().scalar_type() == at::kFloat;
}

// --- buckets ---

void PerParameterOptimizer::make_buckets() {
  if (has_buckets_) return;
  has_buckets_ = true;
  size_t number = 0;
  for (size_t group = 0; group < groups_.size(); ++group) {
    for (size_t i = 0; i < groups_[group].parameters.size(); ++i) add_slot(group, i, number++);
  }
  for (auto& bucket : buckets_) {
    const auto options = at::TensorOptions().dtype(at::kFloat).device(bucket.device);
    if (settings_.counts_steps) {
      bucket.step_counts = at::zeros({static_cast<int64_t>(bucket.slots.size())}, options);
    }
    // Kernels read float32 rates only, which would cost float64 parameters their precision.
    if (bucket.device.is_cuda() && bucket.type != at::kDouble) {
      bucket.rate_value = groups_[bucket.group].learning_rate;
      bucket.rate = at::full({}, bucket.rate_value, options);
    }
  }
}

void PerParameterOptimizer::add_slot(size_t group, size_t index, size_t number) {
  const auto* slice = slices_.empty() ? nullptr : &slices_[number];
  const auto& parameter = slice != nullptr ? slice->tensor : groups_[group].parameters[index];
  if (!parameter.defined()) return;  // another rank's
  Slot slot;
  slot.slice = slice;
  slot.parameter = parameter;
  slot.real = real_view(parameter);
  slot.index = index;
  slot.started = settings_.states.empty() && !settings_.counts_steps;
  slot.fusable = settings_.has_fused && (parameter.is_cpu() || parameter.is_cuda()) &&
                 parameter.layout() == at::kStrided && slot.real.is_non_overlapping_and_dense();
  const auto type = slot.real.scalar_type();
  auto bucket = std::find_if(buckets_.begin(), buckets_.end(), [&](const Bucket& b) {
    return b.group == group && b.device == parameter.device() && b.type == type;
  });
  if (bucket == buckets_.end()) {
    const bool suits = parameter.is_cpu() && type == at::kFloat && has_host_kernel();
    buckets_.push_back({group, parameter.device(), type, suits, {}, {}, {}, 0.0, {}, {}});
    bucket = buckets_.end() - 1;
  }
  bucket->slots.push_back(std::move(slot));
}

void PerParameterOptimizer::start(Bucket& bucket, Slot& slot) {
  slot.started = true;
  slot.states.resize(settings_.states.size());
  for (size_t k = 0; k < slot.states.size(); ++k) {
    slot.states[k] = at::full_like(slot.real.detach(), settings_.states[k].initial);
  }
  if (settings_.counts_steps) {
    const auto i = &slot - bucket.slots.data();
    slot.step = bucket.step_counts.select(0, i);
    slot.step.zero_();
  }
}

// --- a step ---

torch::Tensor PerParameterOptimizer::step(const Closure& closure) {
  torch::Tensor loss;
  if (!evaluate(closure, loss)) return loss;
  if (found_inf_.defined() && found_inf_.is_cpu() && found_inf_on_host()) return loss;

  const at::NoGradGuard no_grad;
  const at::AutoDispatchBelowAutograd no_autograd_kernels;
  make_buckets();
  const int64_t parts = settings_.is_elementwise ? parts_of_many(buckets_) : 0;
  if (parts == 0) {
    for (auto& bucket : buckets_) step_bucket(bucket);
  } else {
    share_out(parts, [&](int64_t part) {
      const auto buckets = static_cast<int64_t>(buckets_.size());
      step_small_buckets(static_cast<size_t>(buckets * part / parts),
                         static_cast<size_t>(buckets * (part + 1) / parts));
    });
  }
  if (after_step_) after_step_();
  return loss;
}

bool PerParameterOptimizer::is_capturable() const {
  return settings_.is_capturable && has_buckets_ && !grad_scale_.defined() && !after_step_ &&
         std::all_of(buckets_.begin(), buckets_.end(), [](const Bucket& bucket) {
           return bucket.rate.defined() && bucket.plain.filled == 0 &&
                  std::all_of(bucket.slots.begin(), bucket.slots.end(), [](const Slot& slot) {
                    return slot.started || !slot.parameter.requires_grad();
                  });
         });
}

bool PerParameterOptimizer::update_captured() {
  for (auto& bucket : buckets_) {
    if (bucket.rate.defined()) store_rate(bucket);
    if (bucket.fused.lists.weight_decay != groups_[bucket.group].weight_decay) return false;
  }
  return is_capturable();
}

void PerParameterOptimizer::step_bucket(Bucket& bucket) {
  const size_t waiting = gather(bucket, /*first=*/false);
  run(bucket, /*first=*/false);
  if (waiting == 0) return;
  // A first step that is skipped must not leave state behind, so the host reads found_inf here.
  if (found_inf_on_host()) return;
  gather(bucket, /*first=*/true);
  run(bucket, /*first=*/true);
}

size_t PerParameterOptimizer::gather(Bucket& bucket, bool first) {
  for (auto* route : {&bucket.fused, &bucket.plain}) {
    route->filled = 0;
    route->changed = false;
    route->lists.gradients.clear();
  }
  size_t waiting = 0;
  std::vector<Slot*> starting;
  for (size_t i = 0; i < bucket.slots.size(); ++i) {
    auto& slot = bucket.slots[i];
    const auto& gradient = slot.parameter.grad();
    if (!gradient.defined()) continue;
    if (slot.started == first) {
      waiting += first ? 0 : 1;
      continue;
    }
    if (gradient.layout() != at::kStrided) check_sparse(bucket, slot, gradient);
    if (first) starting.push_back(&slot);
    auto& route = is_fusable(bucket, slot, gradient) ? bucket.fused : bucket.plain;
    if (route.filled >= route.active.size() || route.active[route.filled] != i) {
      route.active.resize(route.filled);
      route.active.push_back(i);
      route.changed = true;
    }
    ++route.filled;
    route.lists.gradients.push_back(slot.parameter.is_complex() ? real_view(gradient) : gradient);
  }
  for (auto* slot : starting) start(bucket, *slot);
  return waiting;
}

bool PerParameterOptimizer::is_fusable(const Bucket& bucket, const Slot& slot,
                                       const torch::Tensor& gradient) const {
  // The kernels read and write raw memory; those for the CPU check nothing.
  return slot.fusable && gradient.layout() == at::kStrided &&
         gradient.scalar_type() == slot.parameter.scalar_type() &&
         gradient.device() == bucket.device && same_layout(gradient, slot.parameter);
}

void PerParameterOptimizer::check_sparse(const Bucket& bucket, const Slot& slot,
                                         const torch::Tensor& gradient) const {
  const auto& group = groups_[bucket.group];
  if (gradient.layout() == at::kSparse && takes_sparse(group)) return;
  throw ModuleError::contract(
      name(), fmt::format("the gradient of parameter '{}' is sparse", group.names[slot.index]),
      "use SGD without momentum or Adagrad, both without weight decay, or make the gradient dense");
}

// Brings the lists that don't change from step to step up to date.
void PerParameterOptimizer::refresh(Bucket& bucket, Route& route) {
  auto& lists = route.lists;
  lists.learning_rate = groups_[bucket.group].learning_rate;
  lists.weight_decay = groups_[bucket.group].weight_decay;
  if (!route.changed && route.filled == route.active.size()) return;
  route.active.resize(route.filled);
  lists.learning_rate_tensor = bucket.rate;
  lists.parameters.clear();
  lists.steps.clear();
  lists.states.assign(settings_.states.size(), {});
  for (const size_t i : route.active) {
    const auto& slot = bucket.slots[i];
    lists.parameters.push_back(slot.real);
    if (settings_.counts_steps) lists.steps.push_back(slot.step);
    for (size_t k = 0; k < slot.states.size(); ++k) lists.states[k].push_back(slot.states[k]);
  }
  route.parts = cut(lists);
}

void PerParameterOptimizer::run(Bucket& bucket, bool first) {
  if (bucket.rate.defined()) store_rate(bucket);
  for (auto* route : {&bucket.fused, &bucket.plain}) {
    refresh(bucket, *route);
    route->lists.first = first;
  }
  if (bucket.fused.filled > 0) run_fused(bucket);
  if (bucket.plain.filled > 0) run_plain(bucket);
  for (auto* route : {&bucket.fused, &bucket.plain}) {
    if (route->filled > 0) note_changes(route->lists.parameters);
    // References kept until the next step would double the memory that gradients need.
    route->lists.gradients.clear();
  }
}

void PerParameterOptimizer::run_fused(Bucket& bucket) {
  auto& lists = bucket.fused.lists;
  lists.grad_scale.reset();
  lists.found_inf.reset();
  if (grad_scale_.defined()) lists.grad_scale = grad_scale_.to(bucket.device, at::kFloat);
  if (found_inf_.defined() && bucket.device.is_cuda()) {  // on the CPU it has been looked at
    lists.found_inf = at::ne(found_inf_, 0).to(bucket.device, at::kFloat).reshape({});
  }
  if (bucket.device.is_cuda()) {  // these kernels want equal strides in dimensions of size 1 too
    for (size_t i = 0; i < lists.gradients.size(); ++i) {
      auto& gradient = lists.gradients[i];
      const auto& parameter = lists.parameters[i];
      if (!gradient.strides().equals(parameter.strides())) {
        gradient = gradient.as_strided(parameter.sizes(), parameter.strides());
      }
    }
  }
  if (bucket.device.is_cuda() && fused_with_count(lists)) return;
  count_steps(bucket, bucket.fused);
  call_fused(bucket);
  if (lists.found_inf && settings_.counts_steps) {
    at::_foreach_add_(lists.steps, lists.found_inf->neg());
  }
}

void PerParameterOptimizer::run_plain(Bucket& bucket) {
  if (found_inf_on_host()) return;
  auto& lists = bucket.plain.lists;
  if (grad_scale_.defined()) {
    for (auto& gradient : lists.gradients) {
      gradient.div_(grad_scale_.to(gradient.device(), gradient.scalar_type()));
    }
  }
  count_steps(bucket, bucket.plain);
  plain(lists);
}

void PerParameterOptimizer::count_steps(Bucket& bucket, Route& route) {
  if (!settings_.counts_steps) return;
  if (bucket.device.is_cpu()) {
    auto* counts = bucket.step_counts.mutable_data_ptr<float>();
    for (const size_t i : route.active) counts[i] += 1.0f;
  } else if (route.active.size() == bucket.slots.size()) {
    bucket.step_counts.add_(1);
  } else {
    at::_foreach_add_(route.lists.steps, 1);
  }
}

void PerParameterOptimizer::store_rate(Bucket& bucket) {
  const double wanted = groups_[bucket.group].learning_rate;
  if (wanted == bucket.rate_value) return;
  bucket.rate.fill_(wanted);
  bucket.rate_value = wanted;
}

void PerParameterOptimizer::set_learning_rate(double learning_rate, size_t group) {
  Optimizer::set_learning_rate(learning_rate, group);
  for (auto& bucket : buckets_) {
    if (bucket.group == group && bucket.rate.defined()) store_rate(bucket);
  }
}

}  // namespace levin
