#include <levin/framework/optimizers/factory.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/adagrad.h>
#include <levin/framework/optimizers/adam.h>
#include <levin/framework/optimizers/adamw.h>
#include <levin/framework/optimizers/lbfgs.h>
#include <levin/framework/optimizers/plateau.h>
#include <levin/framework/optimizers/rmsprop.h>
#include <levin/framework/optimizers/schedulers.h>
#include <levin/framework/optimizers/sgd.h>

namespace levin {
namespace {

// A class by name: its settings, and an object from them and what its constructor takes before.
template <class Base, class... Args>
struct Entry {
  std::string name;
  NamedSettings (*settings)();
  std::unique_ptr<Base> (*make)(const void* options, Args... args);
};

template <class T, class Base, class... Args>
Entry<Base, Args...> entry(std::string name) {
  using Options = typename T::Options;
  return {std::move(name),
          [] {
            auto options = std::make_shared<Options>();
            Fields fields = describe(*options);
            return NamedSettings{std::move(options), std::move(fields)};
          },
          [](const void* options, Args... args) -> std::unique_ptr<Base> {
            return std::make_unique<T>(std::move(args)..., *static_cast<const Options*>(options));
          }};
}

using OptimizerEntry = Entry<Optimizer, std::vector<torch::Tensor>>;
using SchedulerEntry = Entry<Scheduler>;

template <class T>
OptimizerEntry optimizer(std::string name) {
  return entry<T, Optimizer, std::vector<torch::Tensor>>(std::move(name));
}

template <class T>
SchedulerEntry scheduler(std::string name) {
  return entry<T, Scheduler>(std::move(name));
}

const std::vector<OptimizerEntry>& optimizers() {
  static const std::vector<OptimizerEntry> entries = {
      optimizer<SGD>("SGD"),         optimizer<Adam>("Adam"),       optimizer<AdamW>("AdamW"),
      optimizer<Adagrad>("Adagrad"), optimizer<RMSprop>("RMSprop"), optimizer<LBFGS>("LBFGS"),
  };
  return entries;
}

const std::vector<SchedulerEntry>& schedulers() {
  static const std::vector<SchedulerEntry> entries = {
      scheduler<StepLR>("StepLR"),
      scheduler<MultiStepLR>("MultiStepLR"),
      scheduler<ExponentialLR>("ExponentialLR"),
      scheduler<CosineAnnealingLR>("CosineAnnealingLR"),
      scheduler<LinearLR>("LinearLR"),
      scheduler<WarmupLR>("WarmupLR"),
      scheduler<OneCycleLR>("OneCycleLR"),
      scheduler<ReduceLROnPlateau>("ReduceLROnPlateau"),
  };
  return entries;
}

template <class E>
std::vector<std::string> names_of(const std::vector<E>& entries) {
  std::vector<std::string> names;
  for (const auto& each : entries) names.push_back(each.name);
  return names;
}

template <class E>
const E& find(const std::vector<E>& entries, std::string_view kind, std::string_view name) {
  for (const auto& each : entries) {
    if (each.name == name) return each;
  }
  throw ConfigError::unknown_name(kind, name, names_of(entries));
}

// Names the class in what its constructor or its settings find wrong.
template <class E, class... Args>
auto make(const E& entry, const Value& init_args, Args... args) {
  const auto settings = entry.settings();
  if (!init_args.is_null() && !init_args.is_object()) {
    throw ConfigError::invalid_value(entry.name, init_args.to_json(), "expected settings by name");
  }
  if (init_args.is_object()) from_value(settings.fields, init_args, entry.name);
  try {
    return entry.make(settings.options.get(), std::move(args)...);
  } catch (const ConfigError& error) {
    throw ConfigError(entry.name + ": " + error.what());
  }
}

}  // namespace

const std::vector<std::string>& optimizer_names() {
  static const std::vector<std::string> names = names_of(optimizers());
  return names;
}

std::unique_ptr<Optimizer> make_optimizer(std::string_view name,
                                          std::vector<torch::Tensor> parameters,
                                          const Value& init_args) {
  return make(find(optimizers(), "optimizer", name), init_args, std::move(parameters));
}

NamedSettings optimizer_settings(std::string_view name) {
  return find(optimizers(), "optimizer", name).settings();
}

const std::vector<std::string>& scheduler_names() {
  static const std::vector<std::string> names = names_of(schedulers());
  return names;
}

std::unique_ptr<Scheduler> make_scheduler(std::string_view name, const Value& init_args) {
  return make(find(schedulers(), "scheduler", name), init_args);
}

NamedSettings scheduler_settings(std::string_view name) {
  return find(schedulers(), "scheduler", name).settings();
}

}  // namespace levin
