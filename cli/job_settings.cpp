#include <levin/cli/job_settings.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/config/schedule_settings.h>

namespace levin {
namespace {

Value::Object group_of(std::string name, Value::Array settings) {
  return {{"name", std::move(name)}, {"settings", std::move(settings)}};
}

template <class List>
Value::Object group_of_class(std::string name, const Chosen& chosen, const List& list) {
  Value::Array settings;
  if (const auto* entry = list.find(chosen.name)) {
    const auto draft = entry->draft();
    settings = settings_beside_defaults(chosen.fields, draft.fields);
  }
  Value::Object group = group_of(std::move(name), std::move(settings));
  group.emplace("class", chosen.name);
  return group;
}

Value::Object group_of_trainer(const Job& job) {
  TrainerOptions defaults;
  Value::Array settings = settings_beside_defaults(job.trainer_settings.fields, describe(defaults));
  for (const auto& [option, on] : job.switches) {
    Value setting = Value::Object{{"name", option.option}, {"value", *on}};
    if (!*on) setting["default"] = true;
    settings.push_back(std::move(setting));
  }
  return group_of("trainer", std::move(settings));
}

}  // namespace

Value::Array settings_beside_defaults(const Fields& fields, const Fields& defaults) {
  Value::Array settings;
  for (const auto& field : fields) {
    Value setting = Value::Object{{"name", field.name}, {"value", field.get()}};
    const auto same = std::find_if(defaults.begin(), defaults.end(),
                                   [&](const Field& each) { return each.name == field.name; });
    if (same != defaults.end() && !(same->get() == field.get())) setting["default"] = same->get();
    settings.push_back(std::move(setting));
  }
  return settings;
}

Value job_settings(const Job& job, const Registry& registry) {
  Value::Array groups;
  groups.push_back(group_of_trainer(job));
  if (job.model) groups.push_back(group_of_class("model", *job.model, registry.models));
  if (job.data) groups.push_back(group_of_class("data", *job.data, registry.datamodules));
  if (job.optimizer) {
    groups.push_back(group_of_class("optimizer", *job.optimizer, registry.optimizers));
  }
  if (job.lr_scheduler) {
    groups.push_back(group_of_class("lr_scheduler", *job.lr_scheduler, registry.schedulers));
  }
  for (const auto* list : {&job.callbacks, &job.default_callbacks}) {
    for (const auto& each : *list) {
      groups.push_back(group_of_class("callback", each, registry.callbacks));
    }
  }
  for (const auto& each : job.loggers) {
    groups.push_back(group_of_class("logger", each, registry.loggers));
  }
  return groups;
}

}  // namespace levin
