#include <levin/framework/logged/logged_metrics.h>

#include <utility>

#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/metrics/class_metric.h>
#include <levin/framework/metrics/metric_list.h>

namespace levin {

LoggedMetrics& LoggedMetrics::operator=(LoggedMetrics&& other) noexcept {
  release();
  entries_ = std::move(other.entries_);
  return *this;
}

void LoggedMetrics::release() {
  if (entries_ == nullptr) return;
  for (auto& entry : *entries_) {
    Metric* const metric = entry.metric();
    if (metric == nullptr) continue;
    metric->reset();
    metric->set_logged_by(nullptr);
  }
  entries_.reset();
}

LoggedMetrics::Entry* LoggedMetrics::find(std::string_view name) const {
  if (entries_ == nullptr) return nullptr;
  for (auto& entry : *entries_) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

bool LoggedMetrics::has(std::string_view name, const Metric& metric) const {
  const Entry* const entry = find(name);
  return entry != nullptr && entry->metric() == &metric;
}

void LoggedMetrics::add(std::string_view name, Metric& metric, const LogOptions& options) {
  if (entries_ == nullptr) entries_ = std::make_unique<std::vector<Entry>>();
  Entry* entry = find(name);
  const bool is_other =
      entry != nullptr && entry->metric() != nullptr && entry->metric() != &metric;
  const bool is_known = entry != nullptr && entry->metric() == &metric;
  if (is_other || (!is_known && metric.logged_by() != nullptr)) {
    throw ModuleError::contract(
        fmt::format("log(\"{}\", {})", name, metric.name()),
        is_other ? "another metric is logged under this name"
                 : "the metric is logged under another name, or in another pass over data, too",
        "make one metric for each name, and one each for training, validation and test");
  }
  if (is_known) return;
  if (entry == nullptr) entry = &entries_->emplace_back(Entry{std::string(name), {}, {}, {}, {}});
  entry->options = options;
  entry->place = metric.place();
  describe(*entry);
  metric.set_logged_by(entries_.get());
  for (const auto& part : std::exchange(entry->parts, {})) metric.merge(part);
}

void LoggedMetrics::begin_epoch() {
  if (entries_ == nullptr) return;
  std::erase_if(*entries_, [](const Entry& entry) { return entry.metric() == nullptr; });
  for (auto& entry : *entries_) entry.metric()->reset();
}

void LoggedMetrics::describe(Entry& entry) {
  Value& value = entry.description;
  if (const Metric* const metric = entry.metric()) {
    value["class"] = metric->name();
    value["settings"] = metric->settings();
    Value::Array names;
    if (const auto* of_classes = dynamic_cast<const ClassMetric*>(metric)) {
      for (const auto& name : of_classes->class_names()) names.push_back(name);
    }
    value["class_names"] = std::move(names);
  }
  value["name"] = entry.name;
  value["on_step"] = entry.options.on_step.value_or(false);
  value["on_epoch"] = entry.options.on_epoch.value_or(true);
  value["prog_bar"] = entry.options.prog_bar;
  value["logger"] = entry.options.logger;
}

StateDict LoggedMetrics::state_dict() const {
  StateDict state;
  Value::Array descriptions;
  if (entries_ == nullptr) return state;
  for (auto& entry : *entries_) {
    std::vector<StateDict> parts = entry.parts;
    if (const Metric* const metric = entry.metric()) parts.push_back(metric->state_dict());
    describe(entry);
    Value description = entry.description;
    description["parts"] = std::ssize(parts);
    StateDict of_entry;
    for (size_t i = 0; i < parts.size(); ++i) of_entry.add(std::to_string(i), parts[i]);
    state.add(std::to_string(descriptions.size()), std::move(of_entry));
    descriptions.push_back(std::move(description));
  }
  state.values["metrics"] = std::move(descriptions);
  return state;
}

LoggedMetrics::Entry LoggedMetrics::entry_of(const StateDict& state, size_t number) {
  const Value& value = state.values.at("metrics").as_array()[number];
  Entry entry;
  entry.name = value.at("name").as_string();
  entry.options.on_step = value.at("on_step").as_bool();
  entry.options.on_epoch = value.at("on_epoch").as_bool();
  entry.options.prog_bar = value.at("prog_bar").as_bool();
  entry.options.logger = value.at("logger").as_bool();
  entry.description = value;
  const StateDict own = state.child(std::to_string(number));
  for (int64_t i = 0; i < value.at("parts").as_int(); ++i) {
    entry.parts.push_back(own.child(std::to_string(i)));
  }
  return entry;
}

void LoggedMetrics::load_state_dict(const StateDict& state) {
  begin_epoch();
  merge(state);
}

void LoggedMetrics::merge(const StateDict& state) {
  if (!state.values.contains("metrics")) return;
  if (entries_ == nullptr) entries_ = std::make_unique<std::vector<Entry>>();
  for (size_t i = 0; i < state.values.at("metrics").as_array().size(); ++i) {
    Entry other = entry_of(state, i);
    Entry* const own = find(other.name);
    if (own == nullptr) {
      entries_->push_back(std::move(other));
      continue;
    }
    for (auto& part : other.parts) {
      if (Metric* const metric = own->metric()) {
        metric->merge(part);
      } else {
        own->parts.push_back(std::move(part));
      }
    }
  }
}

/// The values of all parts together, by the metric, or by one that is made in its place.
std::vector<MetricValue> LoggedMetrics::values_of(const Entry& entry) {
  if (Metric* const metric = entry.metric()) return metric->compute_of(entry.parts);
  const MetricList classes = known_metrics();
  const auto* const known = classes.find(entry.description.at("class").as_string());
  if (known == nullptr) return {};
  const auto stand_in = known->make(entry.description.at("settings"));
  if (auto* const of_classes = dynamic_cast<ClassMetric*>(stand_in.get())) {
    std::vector<std::string> names;
    for (const auto& name : entry.description.at("class_names").as_array()) {
      names.push_back(name.as_string());
    }
    of_classes->set_class_names(std::move(names));
  }
  return stand_in->compute_of(entry.parts);
}

std::vector<LoggedMetrics::Values> LoggedMetrics::compute(Ranks& ranks) const {
  const StateDict own = state_dict();
  LoggedMetrics all;
  if (ranks.size() == 1) {
    all.merge(own);
  } else {
    for (const auto& bytes : ranks.gather(checkpoint_bytes(own))) {
      all.merge(checkpoint_from_bytes(bytes));
    }
  }
  std::vector<Values> result;
  if (all.is_empty()) return result;
  for (auto& entry : *all.entries_) {
    const Entry* const here = find(entry.name);
    if (here != nullptr) entry.place = here->place;
    if (entry.options.on_epoch.value_or(true)) {
      result.push_back({entry.name, entry.options, values_of(entry)});
    }
    entry.place.reset();  // so that the metric isn't released
  }
  return result;
}

}  // namespace levin
