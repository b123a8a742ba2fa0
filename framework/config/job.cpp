#include <levin/framework/config/job.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/types.h>

#include <levin/framework/config/class_with_setting.h>
#include <levin/framework/config/schedule_settings.h>
#include <levin/framework/config/unknown_class.h>
#include <levin/framework/config/yaml.h>

namespace levin {
namespace {

const std::vector<std::string> kTrainerLists = {"callbacks", "logger"};
// The libraries of classes, which only a file can name, because they are loaded before the rest is
// read.
constexpr const char* kPlugins = "plugins";

/// Fills a Job from the root of a configuration, part by part.
class JobReader {
 public:
  JobReader(const Registry& registry, const ConfigNode& root) : registry_(registry), root_(root) {}

  Job read() {
    refuse_unknown_parts();
    job_.seed = read_seed();
    read_trainer();
    read_callbacks();
    read_loggers();
    if (const auto* node = part("model")) job_.model = choose_model(*node);
    if (const auto* node = part("data")) job_.data = choose(registry_.datamodules, *node, "data");
    read_optimizers();
    if (const auto* node = part("ckpt_path")) {
      if (!node->is_scalar() && node->text.empty()) {
        throw ConfigError::invalid_value(fmt::format("{}: ckpt_path", node->origin.to_string()),
                                         node->plain().to_json(),
                                         "expected a file, \"last\" or \"best\"");
      }
      job_.ckpt_path = node->text;
    }
    return std::move(job_);
  }

 private:
  /// The member of that name, unless it is null.
  const ConfigNode* part(std::string_view name) const {
    const ConfigNode* node = root_.find(name);
    return node == nullptr || node->plain().is_null() ? nullptr : node;
  }

  const ConfigNode* trainer_part(std::string_view name) const {
    const ConfigNode* trainer = part("trainer");
    const ConfigNode* node = trainer == nullptr ? nullptr : trainer->find(name);
    return node == nullptr || node->plain().is_null() ? nullptr : node;
  }

  void refuse_unknown_parts() const {
    auto known = configuration_parts();
    known.emplace_back(kPlugins);
    for (const auto& member : root_.members) {
      if (std::find(known.begin(), known.end(), member.key) != known.end()) continue;
      if (is_trainer_key(registry_, member.key)) {
        throw ConfigError(fmt::format("{}: unknown key '{}'; it belongs under 'trainer'",
                                      member.origin.to_string(), member.key));
      }
      throw ConfigError::unknown_name("key", member.key, known, member.origin.to_string());
    }
  }

  std::optional<int64_t> read_seed() const {
    const ConfigNode* node = root_.find("seed_everything");
    if (node == nullptr) return 0;
    const Value seed = node->plain();
    if (seed.is_null() || seed == Value(false)) return std::nullopt;
    if (seed == Value(true)) return 0;
    if (seed.is_int() && seed.as_int() >= 0) return seed.as_int();
    throw ConfigError::invalid_value(fmt::format("{}: seed_everything", node->origin.to_string()),
                                     seed.to_json(),
                                     "expected a whole number of at least 0, true (which means "
                                     "0), or false (don't seed)");
  }

  void read_trainer() {
    Chosen& trainer = job_.trainer_settings;
    trainer.place = "trainer";
    trainer.options = job_.trainer;
    trainer.fields = describe(*job_.trainer);
    if (const auto* node = part("trainer")) trainer.settings = *node;
    Fields fields = trainer.fields;
    for (const auto& each : registry_.default_callbacks) {
      job_.switches.emplace_back(each, std::make_shared<bool>(true));
      fields.push_back({each.option, job_.switches.back().second.get(), each.help});
    }
    read_settings(fields, trainer.settings, "trainer",
                  {.other_keys = kTrainerLists, .null_keeps_default = true});
    try {
      validate(*job_.trainer);
    } catch (const ConfigError& error) {
      throw_at(error, trainer.settings, "trainer");
    }
  }

  void read_callbacks() {
    if (const auto* list = trainer_part("callbacks")) {
      for (size_t i = 0; i < list->items.size(); ++i) {
        job_.callbacks.push_back(with_hooks(
            choose(registry_.callbacks, list->items[i], fmt::format("trainer.callbacks[{}]", i))));
      }
    }
    for (const auto& [option, on] : job_.switches) {
      if (option.class_name.empty()) continue;
      const auto& listed = job_.callbacks;
      const auto same = std::find_if(
          listed.begin(), listed.end(),
          [&, name = option.class_name](const auto& each) { return each.name == name; });
      if (same != listed.end() && !*on) {
        throw ConfigError::conflict(fmt::format("{}: trainer.{} is false, but {} is a {}",
                                                same->settings.origin.to_string(), option.option,
                                                same->place, option.class_name),
                                    "remove one of the two");
      }
      if (same == listed.end() && *on) {
        job_.default_callbacks.push_back(
            with_hooks(choose_default(registry_.callbacks, option.class_name)));
      }
    }
  }

  void read_loggers() {
    const ConfigNode* node = trainer_part("logger");
    job_.default_loggers = node == nullptr || node->plain() == Value(true);
    if (job_.default_loggers) {
      for (const auto& name : registry_.default_loggers) {
        job_.loggers.push_back(choose_default(registry_.loggers, name));
      }
    } else if (node->is_list()) {
      for (size_t i = 0; i < node->items.size(); ++i) {
        job_.loggers.push_back(
            choose(registry_.loggers, node->items[i], fmt::format("trainer.logger[{}]", i)));
      }
    } else if (node->plain() != Value(false)) {
      job_.loggers.push_back(choose(registry_.loggers, *node, "trainer.logger"));
    }
  }

  void read_optimizers() {
    if (const auto* node = part("optimizer")) {
      job_.optimizer = choose(registry_.optimizers, *node, "optimizer");
      if (const auto* groups = node->find("groups")) read_groups(*groups);
    }
    if (const auto* node = part("lr_scheduler")) {
      if (!job_.optimizer) {
        throw ConfigError::conflict(
            fmt::format("{}: lr_scheduler needs an optimizer", node->origin.to_string()),
            "add `optimizer:`, or leave both to the model");
      }
      job_.lr_scheduler = choose_scheduler(*node);
      read_schedule(*node);
    }
    if (job_.optimizer) try_optimizers();
  }

  void try_optimizers() const {
    Optimizers optimizers(job_.optimizer->make({torch::zeros({1}, torch::requires_grad())}));
    if (!job_.parameter_groups.empty() && !optimizers.entries()[0].optimizer->is_divisible()) {
      throw ConfigError::conflict(
          fmt::format(
              "{}: optimizer.groups with {}, which has the same settings for all parameters",
              part("optimizer")->find("groups")->origin.to_string(), job_.optimizer->name),
          "leave out the groups, or use SGD, Adam, AdamW, RMSprop or Adagrad");
    }
    if (!job_.lr_scheduler) return;
    auto scheduler = job_.lr_scheduler->make();
    try {
      optimizers.add_scheduler(std::move(scheduler), job_.schedule);
    } catch (const ConfigError& error) {
      throw_at(error, *part("lr_scheduler"), "lr_scheduler");
    }
  }

  void read_groups(const ConfigNode& node) {
    if (node.is_null()) return;
    if (!node.is_list()) {
      throw ConfigError(
          fmt::format("{}: optimizer.groups = {}: expected a list, such as [{{names: [\"*.bias\"], "
                      "weight_decay: 0}}]",
                      node.origin.to_string(), shortened(node.plain().to_json())));
    }
    for (size_t i = 0; i < node.items.size(); ++i) {
      const std::string place = fmt::format("optimizer.groups[{}]", i);
      ConfigNode item = node.items[i];
      if (ConfigNode* names = item.find("names"); names != nullptr && names->is_scalar()) {
        ConfigNode list = ConfigNode::list(names->origin);  // names: "*.bias"
        list.items.push_back(std::move(*names));
        *names = std::move(list);
      }
      ParameterRule rule;
      read_settings(describe(rule), item, place);
      try {
        validate(rule);
      } catch (const ConfigError& error) {
        throw_at(error, item, place);
      }
      job_.parameter_groups.push_back(std::move(rule));
    }
  }

  void read_schedule(const ConfigNode& node) {
    ScheduleSettings settings;
    read_settings(describe(settings), node, "lr_scheduler",
                  {.other_keys = {"class_path", "init_args"}});
    const std::string& interval = settings.interval;
    if (interval != "epoch" && interval != "step") {
      throw_at(ConfigError::invalid_value("interval", interval, "expected epoch or step"), node,
               "lr_scheduler");
    }
    job_.schedule = settings.schedule;
    job_.schedule.interval = interval == "step" ? Interval::step : Interval::epoch;
  }

  /// The schedule, which finds those that it is made of in the registry's list.
  ChosenClass<Scheduler> choose_scheduler(const ConfigNode& node) {
    auto chosen = choose(registry_.schedulers, node, "lr_scheduler");
    ChosenClass<Scheduler> scheduler{std::move(static_cast<Chosen&>(chosen))};
    scheduler.maker = [make = std::move(chosen.maker), schedulers = registry_.schedulers] {
      return make(schedulers);
    };
    return scheduler;
  }

  /// The model, which makes the optimizer that its settings may name from the registry's list.
  ChosenClass<Module> choose_model(const ConfigNode& node) {
    auto chosen = choose(registry_.models, node, "model");
    ChosenClass<Module> model{std::move(static_cast<Chosen&>(chosen))};
    model.maker = [make = std::move(chosen.maker), optimizers = registry_.optimizers] {
      return make(optimizers);
    };
    return model;
  }

  ChosenCallback with_hooks(ChosenClass<Callback> callback) const {
    const HookSet hooks = registry_.callbacks.hooks(registry_.callbacks.at(callback.name));
    return {std::move(callback), hooks};
  }

  template <class Base, class... Args>
  ChosenClass<Base, Args...> choose(const ClassList<Base, Args...>& list, const ConfigNode& node,
                                    const std::string& place) {
    if (node.find("class_path") == nullptr) refuse_class_as_key(list, node, place);
    const std::string& path = class_path(node, place, list.names());
    const auto* entry = list.find(path);
    if (entry == nullptr) {
      throw unknown_class(
          short_class_name(path), list.names(),
          fmt::format("{}: {}", node.find("class_path")->origin.to_string(), place));
    }
    refuse_class_as_key(list, node, place);
    auto chosen = start(*entry, place);
    const ConfigNode* args = node.find("init_args");
    chosen.settings = args == nullptr ? ConfigNode::null(node.origin) : *args;
    const auto ignored = read_settings(
        chosen.fields, chosen.settings, place,
        {.keys_around = {"class_path", "init_args"},
         .other_class_with = [&](std::string_view key) { return class_with_setting(list, key); }});
    if (!ignored.empty()) {
      job_.warnings.push_back(
          fmt::format("{}: {} doesn't have these settings, which are ignored: {}", place,
                      chosen.name, fmt::join(ignored, ", ")));
    }
    chosen.settings.origin = node.origin;
    return chosen;
  }

  /// Says how a class is written to somebody who wrote `model: {MLP: {...}}`.
  template <class List>
  static void refuse_class_as_key(const List& list, const ConfigNode& node,
                                  const std::string& place) {
    const ConfigNode* args = node.find("init_args");
    if (args == nullptr) return;
    for (const auto& member : args->members) {
      if (list.find(member.key) == nullptr) continue;
      throw ConfigError(fmt::format(
          "{0}: {1}: '{2}' is a class, not a setting; write class_path: {2}, and its settings "
          "beside that",
          member.origin.to_string(), place, member.key));
    }
  }

  template <class Base>
  static ChosenClass<Base> choose_default(const ClassList<Base>& list, const std::string& name) {
    return start(list.at(name), name);
  }

  template <class Entry>
  static auto start(const Entry& entry, const std::string& place) {
    return begin(entry.draft(), entry.name, place);
  }
  template <class Base, class... Args>
  static ChosenClass<Base, Args...> begin(Draft<Base, Args...> draft, const std::string& name,
                                          const std::string& place) {
    ChosenClass<Base, Args...> chosen;
    chosen.name = name;
    chosen.place = place;
    chosen.options = std::move(draft.options);
    chosen.fields = std::move(draft.fields);
    chosen.maker = std::move(draft.make);
    return chosen;
  }

  static const std::string& class_path(const ConfigNode& node, const std::string& place,
                                       const std::vector<std::string>& known) {
    const ConfigNode* path = node.find("class_path");
    if (path != nullptr) {  // trainer.callbacks[0] is given as --trainer.callbacks
      require_value(*path, place.substr(0, place.find('[')), "the name of a class");
    }
    if (path != nullptr && path->is_scalar() && !path->text.empty()) return path->text;
    throw ConfigError(fmt::format("{}: {}: class_path is missing; it is one of: {}",
                                  node.origin.to_string(), place, fmt::join(known, ", ")));
  }

  const Registry& registry_;
  const ConfigNode& root_;
  Job job_;
};

}  // namespace

Optimizers Job::make_optimizers(const NamedTensors& named_parameters) const {
  std::vector<torch::Tensor> parameters;
  for (const auto& [name, parameter] : named_parameters) parameters.push_back(parameter);
  Optimizers optimizers(optimizer->make(std::move(parameters)));
  if (!parameter_groups.empty()) {
    auto& made = *optimizers.entries().front().optimizer;
    made.set_names(named_parameters);
    try {
      made.divide(parameter_groups);
    } catch (const ConfigError& error) {
      throw ConfigError(fmt::format("{}.groups: {}", optimizer->place, error.what()));
    }
  }
  if (lr_scheduler) optimizers.add_scheduler(lr_scheduler->make(), schedule);
  return optimizers;
}

const std::vector<std::string>& configuration_parts() {
  static const std::vector<std::string> kParts = {
      "seed_everything", "trainer",      "model",     "data",
      "optimizer",       "lr_scheduler", "ckpt_path", "links"};
  return kParts;
}

bool is_trainer_key(const Registry& registry, std::string_view key) {
  TrainerOptions options;
  const Fields fields = describe(options);
  const auto& switches = registry.default_callbacks;
  return std::find(kTrainerLists.begin(), kTrainerLists.end(), key) != kTrainerLists.end() ||
         std::any_of(fields.begin(), fields.end(),
                     [&](const Field& field) { return field.name == key; }) ||
         std::any_of(switches.begin(), switches.end(),
                     [&](const DefaultCallback& each) { return each.option == key; });
}

ConfigNode read_configuration(const std::vector<std::string>& files,
                              const std::vector<Override>& overrides, ConfigNode base) {
  ConfigNode root = std::move(base);
  if (root.is_null()) root.origin = {"command line", 0};
  for (const auto& file : files) {
    ConfigNode layer = read_yaml(file);
    require_object(layer, "the configuration");
    const ConfigNode* const plugins = layer.find(kPlugins);
    std::error_code ignored;
    if (plugins != nullptr && std::filesystem::is_other(file, ignored)) {
      throw ConfigError(fmt::format(
          "{}: plugins are loaded before '{}', which isn't a file on a disk, is read; give them by "
          "--plugin",
          plugins->origin.to_string(), file));
    }
    normalise(layer);
    if (!layer.is_null()) merge(root, std::move(layer));
  }
  for (const auto& override : overrides) apply(root, override);
  normalise(root);
  return root;
}

Job read_job(const Registry& registry, const ConfigNode& root) {
  ConfigNode linked = root;
  auto links = apply_links(registry, linked);
  Job job = JobReader(registry, linked).read();
  job.links = std::move(links);
  return job;
}

}  // namespace levin
