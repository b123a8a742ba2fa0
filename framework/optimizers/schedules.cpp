#include <levin/framework/optimizers/schedules.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

const char* interval_name(Interval interval) {
  return interval == Interval::step ? "step" : "epoch";
}

}  // namespace

Schedules::Schedules(Optimizers& optimizers) : optimizers_(optimizers) {
  for (auto& entry : optimizers_.entries()) {
    for (auto& config : entry.schedulers) items_.push_back({entry.optimizer.get(), &config});
  }
}

void Schedules::apply() {
  for (const auto& entry : optimizers_.entries()) {
    if (!entry.schedulers.empty()) apply_to(entry);
  }
}

void Schedules::apply_to(const Optimizers::Entry& entry) const {
  const auto& groups = entry.optimizer->groups();
  for (size_t i = 0; i < groups.size(); ++i) {
    double rate = groups[i].base_learning_rate;
    for (const auto& item : items_) {
      if (item.optimizer != entry.optimizer.get()) continue;
      rate = item.config->scheduler->learning_rate(rate, item.steps());
    }
    entry.optimizer->set_learning_rate(rate, i);
  }
}

bool Schedules::count(Item& item) {
  if (++item.counter % item.config->frequency != 0) return false;
  step(item);
  return true;
}

void Schedules::step(Item& item, std::optional<double> metric) {
  ScheduleStep due(*item.config, *item.optimizer, item.steps(), metric);
  if (!stepper_) return due.step();
  stepper_(due);
  item.shift += due.counter() - item.steps();
}

void Schedules::advance(Interval interval) {
  bool changed = false;
  for (auto& item : items_) {
    if (item.config->interval != interval || item.config->scheduler->needs_metric()) continue;
    changed = count(item) || changed;
  }
  if (changed) apply();
}

void Schedules::advance_step_of(const Optimizer& optimizer) {
  bool changed = false;
  for (auto& item : items_) {
    if (item.optimizer != &optimizer || item.config->interval != Interval::step) continue;
    if (item.config->scheduler->needs_metric()) continue;
    changed = count(item) || changed;
  }
  if (!changed) return;
  for (const auto& entry : optimizers_.entries()) {
    if (entry.optimizer.get() == &optimizer) apply_to(entry);
  }
}

bool Schedules::acts(Interval interval) const {
  return std::any_of(items_.begin(), items_.end(),
                     [&](const Item& item) { return item.config->interval == interval; });
}

bool Schedules::watches(Interval interval) const {
  for (const auto& item : items_) {
    if (item.config->interval == interval && item.config->scheduler->needs_metric()) return true;
  }
  return false;
}

bool Schedules::reads_next(Interval interval) const {
  for (const auto& item : items_) {
    const auto& config = *item.config;
    const bool watches = config.interval == interval && config.scheduler->needs_metric();
    const bool is_due = (item.counter + 1) % config.frequency == 0;
    if (watches && is_due && item.can_be_new()) return true;
  }
  return false;
}

std::vector<std::string> Schedules::monitors(bool never_seen) const {
  std::vector<std::string> names;
  for (const auto& item : items_) {
    const auto& config = *item.config;
    if (!config.scheduler->needs_metric()) continue;
    if (never_seen && (item.has_seen || item.counter < config.frequency)) continue;
    names.push_back(config.monitor);
  }
  return names;
}

void Schedules::note_validation(const MetricMap& metrics) {
  for (auto& item : items_) {
    if (!item.config->scheduler->needs_metric() || !metrics.contains(item.config->monitor))
      continue;
    ++item.validations;
    item.from_validation = true;
  }
}

void Schedules::observe(Interval interval, const MetricMap& metrics, const UpdateCounts* updates,
                        bool complete) {
  bool changed = false;
  for (auto& item : items_) {
    const auto& config = *item.config;
    if (config.interval != interval || !config.scheduler->needs_metric()) continue;
    if (++item.counter % config.frequency != 0) continue;
    const auto found = metrics.find(config.monitor);
    if (found != metrics.end()) {
      if (updates != nullptr) {
        const auto number = updates->find(config.monitor);
        const int64_t count = number == updates->end() ? 0 : number->second;
        const int64_t passes = std::exchange(item.validations, 0);
        item.from_training = item.from_training || count - item.updates > passes;
        if (count == item.updates) continue;
        item.updates = count;
      }
      item.has_seen = true;
      step(item, found->second);
      changed = true;
    } else if (config.strict && complete) {
      std::vector<std::string> logged;
      for (const auto& [name, value] : metrics) logged.push_back(name);
      throw ModuleError::metric_not_logged(kWho, config.monitor, logged);
    }
  }
  if (changed) apply();
}

StateDict Schedules::state_dict() const {
  StateDict state;
  for (size_t i = 0; i < items_.size(); ++i) {
    StateDict item;
    item.values["counter"] = items_[i].counter;
    item.values["shift"] = items_[i].shift;
    item.values["updates"] = items_[i].updates;
    item.values["has_seen"] = items_[i].has_seen;
    item.values["monitor"] = items_[i].config->monitor;
    item.values["interval"] = interval_name(items_[i].config->interval);
    item.add("scheduler", items_[i].config->scheduler->state_dict());
    state.add(std::to_string(i), std::move(item));
  }
  return state;
}

void Schedules::load_state_dict(const StateDict& state, int64_t epochs, int64_t steps) {
  if (state.values.as_object().size() != items_.size()) {
    throw CheckpointError::mismatch(
        "the state of the learning rate schedulers",
        {fmt::format("the checkpoint has {}, this run has {}",
                     counted(state.values.as_object().size(), "scheduler"), items_.size())});
  }
  for (size_t i = 0; i < items_.size(); ++i) {
    const StateDict item = state.child(std::to_string(i));
    items_[i].counter = item.values.at("counter").as_int();
    const Interval interval = items_[i].config->interval;
    if (item.values.contains("interval") &&
        item.values.at("interval").as_string() != interval_name(interval)) {
      items_[i].counter = interval == Interval::step ? steps : epochs;
    }
    if (item.values.contains("shift")) items_[i].shift = item.values.at("shift").as_int();
    const auto& monitor = items_[i].config->monitor;
    if (item.values.contains("monitor") && item.values.at("monitor").as_string() != monitor) {
      continue;  // its values can't be compared with those of another metric
    }
    if (item.values.contains("updates")) {
      items_[i].updates = item.values.at("updates").as_int();
      items_[i].has_seen = item.values.at("has_seen").as_bool();
    }
    items_[i].config->scheduler->load_state_dict(item.child("scheduler"));
  }
  apply();
}

}  // namespace levin
