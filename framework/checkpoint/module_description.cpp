#include <levin/framework/checkpoint/module_description.h>

#include <algorithm>
#include <utility>

namespace levin {
namespace {

constexpr const char* kMember = "module";
constexpr const char* kFitted = "fitted";
constexpr const char* kClassNames = "class_names";

template <class T>
Value to_array(const std::vector<T>& list) {
  return Value::Array(list.begin(), list.end());
}

}  // namespace

Value to_value(const ModuleDescription& description) {
  Value value;
  value["class_path"] = description.class_path;
  value["init_args"] = description.init_args;
  value["input"] = nullptr;
  if (description.input) {
    value["input"] = Value::Object{{"shape", to_array(description.input->shape)},
                                   {"dtype", description.input->dtype}};
  }
  value[kClassNames] = to_array(description.class_names);
  return value;
}

bool is_whole_checkpoint(const StateDict& state) {
  return state.values.contains("checkpoint_format") || state.values.contains(kMember);
}

StateDict module_weights(const StateDict& loaded) {
  const bool all_are_the_models =
      std::all_of(loaded.tensors.begin(), loaded.tensors.end(),
                  [](const auto& item) { return item.first.starts_with("model."); });
  const bool has_parts = is_whole_checkpoint(loaded) || loaded.values.contains("model");
  return has_parts || all_are_the_models ? loaded.child("model") : loaded;
}

std::optional<ModuleDescription> module_description(const StateDict& checkpoint) {
  if (!checkpoint.values.contains(kMember)) return {};
  const Value& value = checkpoint.values.at(kMember);
  ModuleDescription description;
  description.class_path = value.at("class_path").as_string();
  description.init_args = value.at("init_args");
  if (const Value& input = value.at("input"); !input.is_null()) {
    auto& known = description.input.emplace();
    for (const auto& size : input.at("shape").as_array()) known.shape.push_back(size.as_int());
    known.dtype = input.at("dtype").as_string();
  }
  for (const auto& name : value.at(kClassNames).as_array()) {
    description.class_names.push_back(name.as_string());
  }
  return description;
}

Value foreign_settings(const StateDict& checkpoint) {
  if (!checkpoint.values.contains("torch")) return {};
  const Value& members = checkpoint.values.at("torch");
  return members.contains("hyper_parameters") ? members.at("hyper_parameters") : Value();
}

StateDict fitted_state(const StateDict& checkpoint) {
  const auto description = module_description(checkpoint);
  return with_class_names(checkpoint.child(kFitted),
                          description ? description->class_names : std::vector<std::string>());
}

StateDict with_class_names(StateDict fitted, const std::vector<std::string>& names) {
  if (!names.empty() && !fitted.values.contains(kClassNames)) {
    fitted.values[kClassNames] = to_array(names);
  }
  return fitted;
}

std::vector<std::string> class_names_in(const StateDict& fitted) {
  std::vector<std::string> names;
  if (!fitted.values.contains(kClassNames)) return names;
  for (const auto& name : fitted.values.at(kClassNames).as_array()) {
    names.push_back(name.as_string());
  }
  return names;
}

}  // namespace levin
