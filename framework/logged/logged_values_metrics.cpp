#include <levin/framework/logged/logged_values.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

// The part of LoggedValues that works with metrics that have a state.

namespace levin {

void LoggedValues::log(std::string_view name, Metric& metric, const LogOptions& options) {
  LogOptions chosen = options;
  chosen.on_step = options.on_step.value_or(false);
  chosen.on_epoch = options.on_epoch.value_or(true);
  const bool is_known = metrics_.has(name, metric);
  if (is_recording_ && (*chosen.on_step || !metric.is_capturable() || !is_known)) {
    throw ModuleError::contract(
        fmt::format("log(\"{}\", {})", name, metric.name()),
        "the step is captured in a CUDA graph, but this needs the host in each step",
        "set cuda_graph = off, or log a metric whose state has a fixed size, from the first step "
        "on and not on_step");
  }
  std::vector<MetricValue> of_batch;
  if (*chosen.on_step) {
    // Until the first call, the metric has the rows of this batch only.
    of_batch = metric.keeps_batches() ? metric.compute_batch() : metric.compute();
    metric.keep_batches();
  }
  if (!is_known) metrics_.add(name, metric, chosen);
  for (const auto& [suffix, value, missing] : of_batch) {
    if (missing.empty()) set_value(fmt::format("{}{}", name, suffix), value, chosen, false);
  }
}

void LoggedValues::set_value(std::string_view name, double value, const LogOptions& options,
                             bool of_epoch) {
  LogOptions whole = options;
  whole.add_dataloader_idx = false;
  Slot& target = slot(name, whole, false, true, /*is_whole=*/true);
  if (of_epoch) {
    target.epoch = value;
    target.epoch_weight = 1.0;
    target.in_epoch = true;
  } else {
    open_window(target);
    target.window = value;
    target.window_weight = 1.0;
  }
}

void LoggedValues::finish_metrics(Ranks& ranks) {
  notes_.clear();
  for (const auto& [name, options, values] : metrics_.compute(ranks)) {
    for (const auto& [suffix, value, missing] : values) {
      if (missing.empty()) {
        set_value(name + suffix, value, options, /*of_epoch=*/true);
      } else {
        notes_.push_back(
            fmt::format("{}{} isn't logged: {}; evaluate more rows, or if there are classes, rows "
                        "of all, chosen with stratify",
                        name, suffix, missing));
      }
    }
  }
  metrics_are_done_ = true;
}

}  // namespace levin
