#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/ranks.h>
#include <levin/framework/logged/log_options.h>
#include <levin/framework/metrics/metric.h>

namespace levin {

/// The metrics with a state (framework/metrics/) that are logged during a pass over the data. They
/// belong to modules and callbacks; this remembers which they are, computes them from the rows of
/// all ranks, and has their states in checkpoints. LoggedValues owns it and logs what it computes.
///
/// A metric may be logged under one name and in one pass at a time, so that no rows of another pass
/// get into it. When this object is destroyed, the metrics forget their rows and are free again.
class LoggedMetrics {
 public:
  /// The values of a metric and the options by which they are logged.
  struct Values {
    std::string name;
    LogOptions options;
    std::vector<MetricValue> values;
  };

  LoggedMetrics() = default;
  LoggedMetrics(LoggedMetrics&&) = default;
  LoggedMetrics& operator=(LoggedMetrics&& other) noexcept;
  ~LoggedMetrics() { release(); }

  bool is_empty() const { return entries_ == nullptr || entries_->empty(); }
  /// Whether the metric is known under that name, so that `add` does nothing.
  bool has(std::string_view name, const Metric& metric) const;
  /// Notes that `metric` is logged. The rows that a checkpoint has of it are added to it. `options`
  /// have on_step and on_epoch. Throws ModuleError if it is logged elsewhere, or another one is
  /// logged under the name.
  void add(std::string_view name, Metric& metric, const LogOptions& options);
  /// Forgets the rows of all metrics, and what a checkpoint has of metrics that weren't logged
  /// again.
  void begin_epoch();
  /// Returns the values of the epoch, for metrics that are logged on_epoch. A collective. A metric
  /// that this rank hasn't logged is left out if its class isn't one of `known_metrics`.
  std::vector<Values> compute(Ranks& ranks) const;

  /// The states. After `load_state_dict`, a metric gets its rows when it is logged again.
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
  /// Adds the rows that another rank's state has.
  void merge(const StateDict& state);

 private:
  struct Entry {
    std::string name;
    LogOptions options;
    std::shared_ptr<Metric*> place;  // of the metric; null if only a checkpoint has told of it
    Value description;               // class, settings and names of classes
    std::vector<StateDict> parts;    // of checkpoints, which the metric hasn't got yet

    Metric* metric() const { return place != nullptr ? *place : nullptr; }
  };
  void release();
  Entry* find(std::string_view name) const;
  static void describe(Entry& entry);
  static Entry entry_of(const StateDict& state, size_t number);
  static std::vector<MetricValue> values_of(const Entry& entry);

  std::unique_ptr<std::vector<Entry>> entries_;  // its address is the name of the owner
};

}  // namespace levin
