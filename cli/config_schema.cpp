#include <levin/cli/config_schema.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/config/schedule_settings.h>
#include <levin/framework/core/options.h>
#include <levin/framework/core/value.h>
#include <levin/framework/core/version.h>
#include <levin/framework/optimizers/parameter_groups.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {
namespace {

using Object = Value::Object;
using Array = Value::Array;

Value of_type(const char* type) { return Object{{"type", type}}; }
Value of_types(Array types) { return Object{{"type", std::move(types)}}; }
Value list_of(Value items) { return Object{{"type", "array"}, {"items", std::move(items)}}; }
Value any_of(Array schemas) { return Object{{"anyOf", std::move(schemas)}}; }
/// A reference with a title, which readers of draft 7 ignore: Value::to_json would disguise an
/// object whose only member begins with "$".
Value reference(std::string_view path) {
  return Object{{"$ref", fmt::format("#/{}", path)}, {"title", path.substr(path.rfind('/') + 1)}};
}

/// Text may also be written without quotes where it looks like a number or a switch.
const Array kTextTypes = {"string", "number", "boolean"};

Value named_settings() {
  const Object named = {{"type", "object"},
                        {"anyOf", Array{Object{{"required", Array{"name"}}},
                                        Object{{"required", Array{"class_path"}}}}}};
  return any_of({of_types(kTextTypes), named});
}

// The schema of each type that a setting can have.
Value schema_of(const bool*) { return of_type("boolean"); }
Value schema_of(const int64_t*) { return of_type("integer"); }
Value schema_of(const double*) { return of_type("number"); }
Value schema_of(const std::string* text) {
  Array types = kTextTypes;
  if (text->empty()) types.emplace_back("null");
  return of_types(std::move(types));
}
Value schema_of(const std::vector<int64_t>*) { return list_of(of_type("integer")); }
Value schema_of(const std::vector<double>*) { return list_of(of_type("number")); }
Value schema_of(const std::vector<std::string>*) { return list_of(of_types(kTextTypes)); }
Value schema_of(const CountOrFraction*) { return of_type("number"); }
Value schema_of(const CountFractionOrTime*) { return of_types({"number", "string"}); }
Value schema_of(const CountOrName*) {
  return any_of({of_types({"integer", "string"}), list_of(of_type("integer"))});
}
Value schema_of(const NumbersOrName*) {
  return any_of({of_type("string"), list_of(of_type("number"))});
}
Value schema_of(const SwitchOrCount*) { return of_types({"boolean", "integer"}); }
Value schema_of(const SwitchOrName*) { return of_types({"boolean", "string"}); }
Value schema_of(const NamedSettings*) { return named_settings(); }
Value schema_of(const std::vector<NamedSettings>*) { return list_of(named_settings()); }
template <class T>
Value schema_of(const std::optional<T>*) {
  const T* some = nullptr;
  if constexpr (std::is_same_v<T, std::string>) {
    Array types = kTextTypes;
    types.emplace_back("null");
    return of_types(std::move(types));
  } else {
    const Value schema = schema_of(some);
    return of_types({schema.at("type"), "null"});
  }
}

Value setting_schema(const Field& field) {
  Value schema = std::visit([](const auto* value) { return schema_of(value); }, field.value);
  if (!field.help.empty()) schema["description"] = field.help;
  schema["default"] = field.get();
  return schema;
}

Object settings_schema(const Fields& fields) {
  Object properties;
  for (const auto& field : fields) properties[field.name] = setting_schema(field);
  return properties;
}

/// Makes the schema part by part.
class SchemaWriter {
 public:
  explicit SchemaWriter(const Registry& registry) : registry_(registry) {}

  Value write() {
    define("model", registry_.models);
    define("data", registry_.datamodules);
    define("callback", registry_.callbacks);
    define("logger", registry_.loggers);
    define("optimizer", registry_.optimizers, {{"groups", groups()}});
    ScheduleSettings schedule;
    Object schedule_keys = settings_schema(describe(schedule));
    schedule_keys["interval"]["enum"] = Array{"epoch", "step"};
    define("lr_scheduler", registry_.schedulers, schedule_keys);

    Object properties = {{"seed_everything", seed()}, {"trainer", trainer()}};
    for (const char* name : {"model", "data", "optimizer", "lr_scheduler"}) {
      properties[name] = any_of({of_type("null"), reference(fmt::format("definitions/{}", name))});
    }
    properties["ckpt_path"] = of_types({"string", "number", "boolean", "null"});
    properties["links"] =
        Object{{"type", Array{"object", "null"}},
               {"description", "settings that take the values of others: TARGET: SOURCE"},
               {"additionalProperties", of_types({"string", "object", "null"})}};
    properties["plugins"] =
        Object{{"type", Array{"string", "array", "null"}},
               {"description", "libraries of classes of your own, from the folder of this file on"},
               {"items", of_type("string")}};
    return Object{{"$schema", "http://json-schema.org/draft-07/schema#"},
                  {"title", fmt::format("configuration of levin {}", kVersion)},
                  {"type", Array{"object", "null"}},
                  {"properties", std::move(properties)},
                  {"additionalProperties", false},
                  {"definitions", std::move(definitions_)}};
  }

 private:
  static Value seed() {
    return Object{{"type", Array{"integer", "boolean", "null"}},
                  {"minimum", 0},
                  {"description", "a whole number; false: don't seed"},
                  {"default", 0}};
  }

  static Value groups() {
    ParameterRule rule;
    Object properties = settings_schema(describe(rule));
    properties["names"] = any_of({of_type("string"), list_of(of_type("string"))});
    return Object{{"type", Array{"array", "null"}},
                  {"description", "parameters with settings of their own"},
                  {"items", Object{{"type", "object"},
                                   {"properties", std::move(properties)},
                                   {"additionalProperties", false}}}};
  }

  Value trainer() const {
    TrainerOptions options;
    bool on = true;
    Fields fields = describe(options);
    for (const auto& each : registry_.default_callbacks) {
      fields.push_back({each.option, &on, each.help});
    }
    Object properties;
    for (const auto& field : fields) {  // null stands for the default
      Value schema = setting_schema(field);
      Value extended = any_of({schema, of_type("null")});
      for (const char* shown : {"description", "default"}) {
        if (schema.contains(shown)) extended[shown] = schema.at(shown);
      }
      properties[field.name] = std::move(extended);
    }
    const Value callback = reference("definitions/callback");
    const Value logger = reference("definitions/logger");
    properties["callbacks"] = any_of({of_type("null"), callback, list_of(callback)});
    properties["logger"] = any_of({of_types({"boolean", "null"}), logger, list_of(logger)});
    return Object{{"type", Array{"object", "null"}},
                  {"properties", std::move(properties)},
                  {"additionalProperties", false}};
  }

  /// The name of one of the classes, which may be qualified.
  static Value class_name_schema(const std::vector<std::string>& names) {
    const Array choices(names.begin(), names.end());
    return any_of(
        {Object{{"enum", choices}},
         Object{{"type", "string"}, {"pattern", fmt::format("[.:]({})$", fmt::join(names, "|"))}}});
  }

  /// Adds to an object's schema that it may have these members and no others. Any value is taken
  /// for the settings of other classes, whose names `all` contains.
  static void close(Value& object, Object properties, const std::set<std::string>& all) {
    object["properties"] = std::move(properties);
    object["patternProperties"] = Object{{fmt::format("^({})$", fmt::join(all, "|")), true}};
    object["additionalProperties"] = false;
  }

  /// Adds the definition of a part that names one of the classes of `list`. `own` are the keys that
  /// it has beside the class and its settings.
  template <class List>
  void define(const std::string& part, const List& list, const Object& own = {}) {
    std::set<std::string> all;
    for (const auto& entry : list.entries()) {
      const auto draft = entry.draft();
      for (const auto& field : draft.fields) all.insert(field.name);
    }
    for (const auto& entry : list.entries()) {
      const auto draft = entry.draft();
      definitions_[fmt::format("{}.{}", part, entry.name)] =
          settings_object(settings_schema(draft.fields), all);
    }
    Array cases;
    for (const auto& entry : list.entries()) cases.push_back(case_of(part, entry, own, all));
    Value without;
    close(without, whole(own, settings_object({}, all)), all);
    cases.push_back(Object{{"if", Object{{"not", Object{{"required", Array{"class_path"}}}}}},
                           {"then", std::move(without)}});
    const Value name = class_name_schema(list.names());
    Value object = Object{{"type", "object"},
                          {"properties", Object{{"class_path", name}}},
                          {"allOf", std::move(cases)}};
    definitions_[part] = any_of({name, std::move(object)});
  }

  /// What holds for a part that names this class.
  template <class Entry>
  static Value case_of(const std::string& part, const Entry& entry, const Object& own,
                       const std::set<std::string>& all) {
    Object settings;
    const auto draft = entry.draft();
    for (const auto& field : draft.fields) {
      settings[field.name] =
          reference(fmt::format("definitions/{}.{}/properties/{}", part, entry.name, field.name));
    }
    Object members = whole(own, reference(fmt::format("definitions/{}.{}", part, entry.name)));
    for (const auto& [name, schema] : settings) members[name] = schema;
    Value then;
    if (!entry.help.empty()) then["description"] = entry.help;
    close(then, std::move(members), all);
    const Value name = Object{{"type", "string"}, {"pattern", "(^|[.:])" + entry.name + "$"}};
    return Object{{"if", Object{{"required", Array{"class_path"}},
                                {"properties", Object{{"class_path", name}}}}},
                  {"then", std::move(then)}};
  }

  /// What `init_args` may hold.
  static Value settings_object(Object settings, const std::set<std::string>& all) {
    Value object = Object{{"type", Array{"object", "null"}}};
    close(object, std::move(settings), all);
    return object;
  }

  /// `own` with class_path and init_args.
  static Object whole(Object own, Value init_args) {
    own["class_path"] = true;
    own["init_args"] = std::move(init_args);
    return own;
  }

  const Registry& registry_;
  Object definitions_;
};

}  // namespace

std::string config_schema(const Registry& registry) {
  return SchemaWriter(registry).write().to_json(1) + "\n";
}

}  // namespace levin
