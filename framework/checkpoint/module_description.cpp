#include <levin/framework/checkpoint/module_description.h>

#include <utility>

namespace levin {
namespace {

constexpr const char* kMember = "module";

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
  value["class_names"] = to_array(description.class_names);
  return value;
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
  for (const auto& name : value.at("class_names").as_array()) {
    description.class_names.push_back(name.as_string());
  }
  return description;
}

}  // namespace levin
