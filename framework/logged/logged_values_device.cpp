#include <levin/framework/logged/logged_values.h>

#include <algorithm>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/DeviceGuard.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/unsigned_nan.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/logged/reduce.h>
#include <levin/framework/tensor/device_graph.h>

// The part of LoggedValues that works with values on a device.

namespace levin {
namespace {

/// Combines `sofar` with `value` on the device, both float64 [].
void combine_on_device(Reduce reduce, torch::Tensor& sofar, const torch::Tensor& value,
                       double weight) {
  switch (reduce) {
    case Reduce::mean:
      sofar.add_(value, weight);
      break;
    case Reduce::sum:
      sofar.add_(value);
      break;
    case Reduce::min:
      at::minimum_out(sofar, sofar, value);
      break;
    case Reduce::max:
      at::maximum_out(sofar, sofar, value);
      break;
  }
}

/// Whether one kernel can do for the value what `combine_on_device` does for the window, which it
/// opens, and for the epoch.
bool has_kernel(Reduce reduce, const torch::Tensor& value) {
  return reduce == Reduce::mean && value.is_cuda() && value.scalar_type() == at::kFloat &&
         kernels::cuda::are_built();
}

double* memory_of(const torch::Tensor& sum) {
  return sum.defined() ? sum.mutable_data_ptr<double>() : nullptr;
}

/// Adds the values to their sums, unless an optimizer has done so, and forgets them.
void add_deferred(std::vector<DeferredValue>& deferred) {
  if (deferred.empty()) return;
  kernels::cuda::log_deferred(current_stream(deferred.front().value.device()));
  for (const auto& [name, value, version] : deferred) {
    if (value._version() == version) continue;
    throw ModuleError::contract(
        fmt::format("log(\"{}\")", name),
        "the tensor was changed in place after it was logged, in a step that is captured in a CUDA "
        "graph",
        "log a clone() of it, or set cuda_graph = off");
  }
  deferred.clear();
}

}  // namespace

void LoggedValues::add_on_device(Slot& slot, const torch::Tensor& value, double weight) {
  if (weight == 0.0) return;
  make_sums(slot, value.device());
  const auto place = static_cast<size_t>(&slot - slots_.data());
  if (is_recording_) {
    const bool is_first = std::none_of(recorded_.begin(), recorded_.end(),
                                       [&](const Recorded& one) { return one.slot == place; });
    recorded_.push_back({place, weight});
    if (!is_first) add_deferred(deferred_);  // a value to which this one is added may be among them
    combine_there(slot, value, weight, /*opens_window=*/slot.on_step && is_first, &deferred_);
    return;
  }
  const bool opens_window = slot.on_step && !slot.in_window;
  if (slot.on_step) open_window(slot);
  if (slot.on_step && !opens_window && !slot.window_there.is_current) {
    slot.window_there.value.fill_(slot.window);
  }
  if (slot.on_epoch && !slot.epoch_there.is_current) slot.epoch_there.value.fill_(slot.epoch);
  combine_there(slot, value, weight, opens_window, /*deferred=*/nullptr);
  note(slot, weight);
  any_on_device_ = true;
}

void LoggedValues::note(Slot& slot, double weight) {
  if (slot.on_step) {
    slot.window_there.is_current = true;
    slot.window_weight += weight;
  }
  if (slot.on_epoch) {
    slot.epoch_there.is_current = true;
    slot.epoch_weight += weight;
    slot.in_epoch = true;
  }
}

void LoggedValues::combine_there(Slot& slot, const torch::Tensor& value, double weight,
                                 bool opens_window, std::vector<DeferredValue>* deferred) {
  const at::NoGradGuard no_grad;
  auto& window = slot.window_there.value;
  auto& epoch = slot.epoch_there.value;
  if (has_kernel(slot.reduce, value) && (!slot.on_step || opens_window)) {
    const c10::DeviceGuard on_device(value.device());
    const kernels::cuda::LogValue log{value.const_data_ptr<float>(), weight,
                                      slot.on_step ? memory_of(window) : nullptr,
                                      slot.on_epoch ? memory_of(epoch) : nullptr};
    void* const stream = current_stream(value.device());
    if (deferred == nullptr) {
      kernels::cuda::log_value(log, stream);
    } else {
      kernels::cuda::defer_log_value(log, stream);
      deferred->push_back({slot.name, value, value._version()});
    }
    return;
  }
  const auto plain = value.detach().to(at::kDouble).reshape({});
  if (opens_window) window.fill_(start_of(slot.reduce));
  if (slot.on_step) combine_on_device(slot.reduce, window, plain, weight);
  if (slot.on_epoch) combine_on_device(slot.reduce, epoch, plain, weight);
}

void LoggedValues::make_sums(Slot& slot, at::Device device) {
  const auto make = [device](torch::Tensor& sum) {
    if (!sum.defined()) sum = at::empty({}, at::TensorOptions(at::kDouble).device(device));
  };
  if (slot.on_step) make(slot.window_there.value);
  if (slot.on_epoch) make(slot.epoch_there.value);
}

void LoggedValues::begin_recording(at::Device device) {
  for (auto& slot : slots_) make_sums(slot, device);
}

void LoggedValues::begin_recorded(int64_t rows, bool is_first) {
  cursor_ = 0;
  rows_ = rows;
  is_recording_ = true;
  if (!is_first) return;
  recorded_.clear();
  deferred_.clear();
}

void LoggedValues::end_recorded() {
  is_recording_ = false;
  add_deferred(deferred_);
}

void LoggedValues::drop_recorded() {
  is_recording_ = false;
  deferred_.clear();
  kernels::cuda::drop_deferred();
}

void LoggedValues::prepare_recorded() {
  for (auto& slot : slots_) {
    auto& sum = slot.epoch_there;
    if (sum.is_current || !sum.value.defined()) continue;
    sum.value.fill_(slot.epoch);
    sum.is_current = true;
    any_on_device_ = true;
  }
}

void LoggedValues::repeat_recorded() {
  for (const auto& [place, weight] : recorded_) {
    Slot& slot = slots_[place];
    if (slot.on_step) open_window(slot);
    note(slot, weight);
  }
  any_on_device_ = any_on_device_ || !recorded_.empty();
}

void LoggedValues::bring_to_host() {
  if (!any_on_device_) return;
  any_on_device_ = false;
  std::vector<torch::Tensor> waiting;
  for (const auto& slot : slots_) {
    if (slot.window_there.is_current) waiting.push_back(slot.window_there.value);
    if (slot.epoch_there.is_current) waiting.push_back(slot.epoch_there.value);
  }
  if (waiting.empty()) return;
  const auto host = at::stack(waiting).cpu();  // one copy, one wait
  const double* next = host.const_data_ptr<double>();
  for (auto& slot : slots_) {
    for (auto [there, sofar] :
         {std::pair(&slot.window_there, &slot.window), std::pair(&slot.epoch_there, &slot.epoch)}) {
      if (!there->is_current) continue;
      *sofar = *next++;
      there->is_current = false;
    }
  }
}

StepReading LoggedValues::begin_reading(For whom) {
  StepReading reading;
  std::vector<torch::Tensor> waiting;
  for (auto& slot : slots_) {
    bool& is_unread = slot.unread[static_cast<size_t>(whom)];
    if ((!slot.in_window && !is_unread) || !wanted(slot, whom)) continue;
    is_unread = false;
    if (whom == For::logger) slot.had_row = true;
    const bool is_there = slot.window_there.is_current;
    const int64_t place = is_there ? static_cast<int64_t>(waiting.size()) : -1;
    if (is_there) waiting.push_back(slot.window_there.value);
    reading.values_.push_back(
        {slot.step_key, slot.reduce == Reduce::mean, slot.window_weight, slot.window, place});
    if (whom == For::callbacks && slot.key != slot.step_key) {
      reading.values_.push_back(
          {slot.key, slot.reduce == Reduce::mean, slot.window_weight, slot.window, place});
    }
  }
  if (waiting.empty()) return reading;
  const auto there = at::stack(waiting);
  reading.copies_ =
      at::empty(there.sizes(), at::TensorOptions(at::kDouble).pinned_memory(there.is_cuda()));
  reading.copies_.copy_(there, /*non_blocking=*/there.is_cuda());
  return reading;
}

MetricMap StepReading::finish() const {
  MetricMap result;
  for (const auto& value : values_) {
    const double sum =
        value.place < 0 ? value.on_host : copies_.const_data_ptr<double>()[value.place];
    result[value.key] = unsigned_nan(value.is_mean ? sum / value.weight : sum);
  }
  return result;
}

}  // namespace levin
