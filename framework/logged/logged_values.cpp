#include <levin/framework/logged/logged_values.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/unsigned_nan.h>
#include <levin/framework/logged/reduce.h>

namespace levin {
namespace {

constexpr const char* kReduceNames[] = {"mean", "sum", "min", "max"};

double finished(Reduce reduce, double sofar, double weight) {
  return unsigned_nan(reduce == Reduce::mean ? sofar / weight : sofar);
}

void require_scalar(std::string_view name, const torch::Tensor& value) {
  if (value.defined() && value.numel() == 1) return;
  throw ModuleError::contract(fmt::format("log(\"{}\")", name),
                              value.defined()
                                  ? fmt::format("a tensor of {} elements", value.numel())
                                  : std::string("an undefined tensor"),
                              "log a tensor with one element: take the mean or the sum first");
}

/// Reads a one-element CPU tensor directly, without the cost of LibTorch's dispatcher.
double read_scalar(const torch::Tensor& value) {
  switch (value.scalar_type()) {
    case at::kFloat:
      return static_cast<double>(*value.const_data_ptr<float>());
    case at::kDouble:
      return *value.const_data_ptr<double>();
    case at::kLong:
      return static_cast<double>(*value.const_data_ptr<int64_t>());
    default:
      return value.item().toDouble();
  }
}

}  // namespace

void LoggedValues::begin_epoch() {
  for (auto& slot : slots_) {
    slot.in_epoch = false;
    slot.epoch = start_of(slot.reduce);
    slot.epoch_weight = 0.0;
    slot.epoch_there.is_current = false;
  }
  epoch_rows_ = 0;
  metrics_.begin_epoch();
  metrics_are_done_ = false;
  notes_.clear();
  forget_step_values();
}

void LoggedValues::begin_batch(int64_t rows, int64_t loader_index, int64_t loader_count) {
  cursor_ = 0;
  rows_ = rows;
  epoch_rows_ += rows;
  loader_index_ = loader_index;
  loader_count_ = loader_count;
}

void LoggedValues::begin_window() {
  for (auto& slot : slots_) slot.in_window = false;
}

void LoggedValues::forget_step_values() {
  for (auto& slot : slots_) {
    slot.in_window = false;
    for (const For whom : {For::callbacks, For::progress_bar}) {
      slot.unread[static_cast<size_t>(whom)] = false;
    }
  }
}

void LoggedValues::forget_rows() {
  for (auto& slot : slots_) slot.unread[static_cast<size_t>(For::logger)] = false;
}

void LoggedValues::open_window(Slot& slot) {
  slot.unread.fill(true);
  if (slot.in_window) return;
  slot.in_window = true;
  slot.window = start_of(slot.reduce);
  slot.window_weight = 0.0;
  slot.window_there.is_current = false;
}

void LoggedValues::log(std::string_view name, const torch::Tensor& value, const LogOptions& options,
                       bool on_step, bool on_epoch) {
  require_scalar(name, value);
  Slot& target = slot(name, options, on_step, on_epoch);
  const double weight = static_cast<double>(options.batch_size.value_or(rows_));
  if (value.is_cpu() && !is_recording_) {
    add(target, read_scalar(value), weight);
  } else {
    add_on_device(target, value, weight);
  }
}

void LoggedValues::log(std::string_view name, double value, const LogOptions& options, bool on_step,
                       bool on_epoch) {
  add(slot(name, options, on_step, on_epoch), value,
      static_cast<double>(options.batch_size.value_or(rows_)));
}

LoggedValues::Slot& LoggedValues::epoch_slot(std::string_view name, const LogOptions& options) {
  LogOptions whole = options;
  whole.add_dataloader_idx = false;
  const bool is_whole = options.reduce == Reduce::mean && !options.batch_size;
  return slot(name, whole, false, true, is_whole);
}

void LoggedValues::log_epoch(std::string_view name, double value, const LogOptions& options) {
  add(epoch_slot(name, options), value, static_cast<double>(options.batch_size.value_or(1)));
}

void LoggedValues::log_epoch(std::string_view name, const torch::Tensor& value,
                             const LogOptions& options) {
  require_scalar(name, value);
  if (value.is_cpu()) return log_epoch(name, read_scalar(value), options);
  add_on_device(epoch_slot(name, options), value,
                static_cast<double>(options.batch_size.value_or(1)));
}

size_t LoggedValues::find_slot(std::string_view name, int64_t loader_index) const {
  const auto found = std::find_if(slots_.begin(), slots_.end(),
                                  [&](const Slot& slot) { return slot.is_of(name, loader_index); });
  return static_cast<size_t>(found - slots_.begin());
}

LoggedValues::Slot& LoggedValues::slot(std::string_view name, const LogOptions& options,
                                       bool on_step, bool on_epoch, bool is_whole) {
  const int64_t loader =
      options.add_dataloader_idx && loader_count_ > 1 ? loader_index_ : kAnyLoader;
  if (cursor_ >= slots_.size() || !slots_[cursor_].is_of(name, loader)) {
    cursor_ = find_slot(name, loader);
    if (cursor_ == slots_.size()) {
      slots_.push_back(make_slot(name, options, on_step, on_epoch, is_whole));
    }
  }
  Slot& result = slots_[cursor_++];
  const bool is_other = result.reduce != options.reduce ||
                        result.on_step != options.on_step.value_or(on_step) ||
                        result.on_epoch != options.on_epoch.value_or(on_epoch) ||
                        result.prog_bar != options.prog_bar || result.logger != options.logger;
  if (is_other && result.is_loaded) {
    result = make_slot(name, options, on_step, on_epoch, is_whole);
  } else if (is_other) {
    throw ModuleError::contract(
        fmt::format("log(\"{}\")", name),
        fmt::format("it was logged before with other options: on_step={}, on_epoch={}, reduce={}, "
                    "prog_bar={}, logger={}",
                    result.on_step, result.on_epoch, kReduceNames[static_cast<int>(result.reduce)],
                    result.prog_bar, result.logger),
        "use another name, or the same options in every hook that logs it");
  }
  result.is_loaded = false;
  return result;
}

LoggedValues::Slot LoggedValues::make_slot(std::string_view name, const LogOptions& options,
                                           bool on_step, bool on_epoch, bool is_whole) const {
  Slot slot;
  slot.name = name;
  slot.key = name;
  slot.reduce = options.reduce;
  slot.on_step = options.on_step.value_or(on_step);
  slot.on_epoch = options.on_epoch.value_or(on_epoch);
  slot.prog_bar = options.prog_bar;
  slot.logger = options.logger;
  slot.is_whole = is_whole;
  slot.window = slot.epoch = start_of(slot.reduce);
  if (options.add_dataloader_idx && loader_count_ > 1) {
    slot.loader_index = loader_index_;
    slot.key = fmt::format("{}/dataloader_idx_{}", name, loader_index_);
  }
  const bool both = slot.on_step && slot.on_epoch;
  slot.step_key = both ? slot.key + "_step" : slot.key;
  slot.epoch_key = both ? slot.key + "_epoch" : slot.key;
  return slot;
}

void LoggedValues::add(Slot& slot, double value, double weight) {
  if (is_recording_) {
    throw ModuleError::contract(
        fmt::format("log(\"{}\")", slot.name),
        "the step is captured in a CUDA graph, but the value is a number of the host, which every "
        "replay would repeat",
        "log a tensor on the GPU, or set cuda_graph = off");
  }
  if (weight == 0.0) return;  // a rank without rows has nothing to log
  if (slot.on_step) open_window(slot);
  if (slot.window_there.is_current || slot.epoch_there.is_current) bring_to_host();
  if (slot.on_step) {
    slot.window = combine(slot.reduce, slot.window, value, weight);
    slot.window_weight += weight;
  }
  if (slot.on_epoch) {
    slot.epoch = combine(slot.reduce, slot.epoch, value, weight);
    slot.epoch_weight += weight;
    slot.in_epoch = true;
  }
}

bool LoggedValues::wanted(const Slot& slot, For whom) {
  return whom == For::callbacks || (whom == For::logger && slot.logger) ||
         (whom == For::progress_bar && slot.prog_bar);
}

bool LoggedValues::has_step_values() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.in_window; });
}

MetricMap LoggedValues::step_values(For whom, std::vector<std::string>* fresh) {
  bring_to_host();
  MetricMap values;
  for (auto& slot : slots_) {
    bool& is_unread = slot.unread[static_cast<size_t>(whom)];
    if ((!slot.in_window && !is_unread) || !wanted(slot, whom)) continue;
    const double value = finished(slot.reduce, slot.window, slot.window_weight);
    values[slot.step_key] = value;
    if (whom == For::callbacks) values[slot.key] = value;
    if (whom == For::logger) slot.had_row = true;
    if (is_unread && fresh != nullptr) {
      fresh->push_back(slot.step_key);
      if (whom == For::callbacks && slot.key != slot.step_key) fresh->push_back(slot.key);
    }
    is_unread = false;
  }
  return values;
}

std::vector<std::string> LoggedValues::without_row() const {
  std::vector<std::string> keys;
  for (const auto& slot : slots_) {
    const bool waits = slot.unread[static_cast<size_t>(For::logger)];
    if (waits && slot.logger && !slot.on_epoch && !slot.had_row) keys.push_back(slot.step_key);
  }
  return keys;
}

MetricMap LoggedValues::epoch_values(For whom) {
  bring_to_host();
  if (has_unfinished_metrics()) {  // nobody has combined ranks, so these are the rank's own values
    finish_metrics(single_rank());
    metrics_are_done_ = false;
  }
  MetricMap values;
  for (const auto& slot : slots_) {
    if (!slot.in_epoch || !wanted(slot, whom)) continue;
    const double value = finished(slot.reduce, slot.epoch, slot.epoch_weight);
    values[slot.epoch_key] = value;
    if (whom == For::callbacks) values[slot.key] = value;
  }
  return values;
}

}  // namespace levin
