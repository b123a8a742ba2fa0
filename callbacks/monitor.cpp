#include <levin/callbacks/monitor.h>

#include <levin/framework/core/error.h>
#include <levin/framework/logged/missing_monitor.h>

#include <limits>
#include <vector>

namespace levin {

Monitor::Monitor(std::string who, std::string name, std::string_view mode)
    : who_(std::move(who)), name_(std::move(name)), is_max_(mode == "max") {
  if (name_.empty()) {
    throw ConfigError::invalid_value(
        who_ + ".monitor", "\"\"", "must be the name of the metric to watch, for example val_loss");
  }
  if (mode != "min" && mode != "max") {
    throw ConfigError::invalid_value(who_ + ".mode", mode, "must be min or max");
  }
}

double Monitor::worst() const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return is_max_ ? -kInfinity : kInfinity;
}

std::optional<double> Monitor::value(Run& run) {
  const auto& metrics = run.metrics();
  const auto found = metrics.find(name_);
  if (found == metrics.end()) return std::nullopt;
  if (source_ == Source::unknown) source_ = Source::training;
  return found->second;
}

std::optional<double> Monitor::agreed_value(Run& run) { return agreed(run).value; }

std::optional<double> Monitor::new_value(Run& run) {
  const Latest latest = agreed(run);
  if (!latest.value || latest.updates == seen_) return std::nullopt;
  seen_ = latest.updates;
  return latest.value;
}

void Monitor::reset() {
  source_ = Source::unknown;
  seen_ = 0;
}

Monitor::Latest Monitor::agreed(Run& run) {
  const auto own = value(run);
  const int64_t updates = run.updates_of(name_);
  if (run.ranks().size() == 1) return {own, updates};
  const auto shared = run.ranks().from_rank_zero(who_ + "/" + name_, [&] {
    Value answer;
    answer["source"] = name_of(source_);
    answer["updates"] = updates;
    if (own) answer["value"] = *own;
    return answer.to_json();
  });
  const Value answer = Value::from_json(shared);
  source_ = metric_source(answer.at("source").as_string());
  Latest latest{.value = {}, .updates = answer.at("updates").as_int()};
  if (answer.contains("value")) latest.value = answer.at("value").as_double();
  return latest;
}

void Monitor::on_validation_start(Run& run) {
  if (source_ == Source::unknown) value(run);
}

void Monitor::on_validation_end(Run& run) {
  if (source_ == Source::unknown && run.metrics().contains(name_)) source_ = Source::validation;
  if (!run.progress().sanity_checking()) {
    validated_ = true;
  } else if (const auto warning = missing_monitor(who_, name_, run.metrics()); !warning.empty()) {
    run.warn(warning, monitor_fact(who_, name_));
  }
}

void Monitor::on_train_epoch_end(Run& run, bool strict) {
  epoch_ended_ = true;
  if (!value(run) && strict && (validated_ || !run.progress().has_validation)) refuse(run);
}

void Monitor::on_train_end(Run& run, bool strict) {
  if (value(run) || !epoch_ended_) return;
  if (strict) refuse(run);
  run.warn(unused_monitor(who_, name_), monitor_fact(who_, name_));
}

void Monitor::refuse(Run& run) const {
  std::vector<std::string> logged;
  for (const auto& [name, value] : run.metrics()) logged.push_back(name);
  throw ModuleError::metric_not_logged(who_, name_, logged);
}

void Monitor::save_to(Value& values) const {
  values["monitor_source"] = name_of(source_);
  values["monitor_seen"] = seen_;
}

void Monitor::load_from(const Value& values) {
  source_ = metric_source(values.at("monitor_source").as_string());
  // Checkpoints of earlier versions don't say which value was seen.
  if (values.contains("monitor_seen")) seen_ = values.at("monitor_seen").as_int();
}

}  // namespace levin
