#include <levin/tuning/batched/stackable.h>

#include <algorithm>
#include <array>
#include <string>
#include <typeinfo>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

namespace levin {
namespace {

constexpr std::array<std::string_view, 5> kOwnSettings = {"learning_rate", "l1_strength",
                                                          "l2_strength", "C", "l1_ratio"};
constexpr const char* kTrainAlone = "train them one after the other";

[[noreturn]] void refuse_to_stack(const std::string& why) {
  throw ConfigError::conflict(fmt::format("models can't be trained together: {}", why),
                              kTrainAlone);
}

bool is_of_stackable_class(const Module& model) {
  const auto& type = typeid(model);
  return type == typeid(LogisticRegression) || type == typeid(LinearRegression) ||
         type == typeid(MLP);
}

/// Whether the setting, if the model has it, is one of `values`.
void require_value_among(const Value& settings, std::string_view name,
                         const std::vector<Value>& values) {
  if (!settings.contains(name)) return;
  const Value& given = settings.at(name);
  if (std::find(values.begin(), values.end(), given) != values.end()) return;
  refuse_to_stack(fmt::format("{} = {}", name, given.to_json()));
}

void require_plain_settings(const Value& settings) {
  require_value_among(settings, "dropout", {Value(0.0), Value(int64_t{0})});
  require_value_among(settings, "class_weight", {Value(), Value(Value::Array{})});
  require_value_among(settings, "solver", {Value("")});
  require_value_among(settings, "multi_class", {Value("multinomial")});
  require_value_among(settings, "products", {Value("float32")});
  require_value_among(settings, "sparse_gradients", {Value(false)});
}

Value shared_settings(const Module& model) {
  Value settings = model.hyper_parameters();
  for (const auto name : kOwnSettings) {
    auto& members = settings.as_object();
    const auto found = members.find(name);
    if (found != members.end()) members.erase(found);
  }
  return settings;
}

}  // namespace

bool may_models_differ_in(std::string_view setting) {
  return std::find(kOwnSettings.begin(), kOwnSettings.end(), setting) != kOwnSettings.end();
}

void require_stackable(const std::vector<const Module*>& models) {
  if (models.empty()) refuse_to_stack("there is none");
  const Module& first = *models.front();
  if (!is_of_stackable_class(first)) {
    refuse_to_stack(fmt::format("{} is none of LogisticRegression, LinearRegression and MLP",
                                first.class_name()));
  }
  const Value shared = shared_settings(first);
  require_plain_settings(shared);
  for (const Module* const model : models) {
    if (typeid(*model) != typeid(first)) refuse_to_stack("they are of several classes");
    if (shared_settings(*model) != shared) {
      refuse_to_stack("they differ in more than learning rates and penalties");
    }
  }
}

}  // namespace levin
