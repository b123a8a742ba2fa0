#include <levin/cli/checkpoint_settings.h>

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <levin/cli/find_checkpoint.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/config/linked_setting.h>
#include <levin/framework/config/merge.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/class_list.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// A class with its settings, as a checkpoint has it.
struct SavedClass {
  std::string class_path;
  Value init_args{};
};

std::string text_at(const ConfigNode* node) {
  return node != nullptr && node->is_scalar() && !node->plain().is_null() ? node->text
                                                                          : std::string();
}

std::string named_class(const ConfigNode& part) { return text_at(part.find("class_path")); }

/// The settings of a part that are written without its class.
bool lacks_class(const ConfigNode* part) {
  return part != nullptr && part->is_object() && named_class(*part).empty();
}

std::optional<SavedClass> saved_model(const StateDict& outline) {
  auto description = module_description(outline);
  if (!description) return std::nullopt;
  return SavedClass{std::move(description->class_path), std::move(description->init_args)};
}

std::optional<SavedClass> saved_data(const StateDict& outline) {
  const Value& values = outline.values;
  if (!values.contains("data_class") || !values.contains("hyper_parameters")) return std::nullopt;
  const Value& settings = values.at("hyper_parameters");
  return SavedClass{values.at("data_class").as_string(),
                    settings.contains("data") ? settings.at("data") : Value()};
}

/// The names of the settings of `part` that links set.
std::set<std::string> linked_settings(const ConfigNode& root, const Registry& registry,
                                      std::string_view part) {
  std::set<std::string> names;
  const auto take = [&](std::string_view target, bool is_removed) {
    const auto keys = keys_of_setting(target);
    if (keys.size() != 2 || keys[0] != part) return;
    names.erase(keys[1]);
    if (!is_removed) names.insert(keys[1]);
  };
  for (const auto& link : registry.links) take(link.target, false);
  if (const ConfigNode* links = root.find("links")) {
    for (const auto& member : links->members) take(member.key, member.value.plain().is_null());
  }
  return names;
}

/// Puts what is written over what was saved, without the settings `left_out`.
void put_over(ConfigNode& part, const SavedClass& saved, const Origin& origin,
              const std::set<std::string>& left_out) {
  ConfigNode whole = ConfigNode::object(part.origin);
  whole.member("class_path", origin) = ConfigNode::scalar(saved.class_path, origin, true);
  if (saved.init_args.is_object()) {
    ConfigNode settings = parse_yaml(saved.init_args.to_yaml(), origin.file);
    set_origin(settings, origin);
    for (const auto& name : left_out) settings.erase(name);
    whole.member("init_args", origin) = std::move(settings);
  }
  merge(whole, std::move(part));
  part = std::move(whole);
}

void require_saved(const std::optional<SavedClass>& saved, std::string_view part,
                   const ConfigNode& node, const std::string& path) {
  if (saved) return;
  throw CheckpointError(fmt::format(
      "{}: {}: the settings have no class, and '{}' doesn't say which one it was; add --{} CLASS",
      node.origin.to_string(), part, path, part));
}

void fill_from(ConfigNode& root, const Registry& registry, const std::string& path) {
  const StateDict outline = load_checkpoint_outline(path);
  const Origin origin{fmt::format("'{}'", path), 0};
  ConfigNode* model = root.find("model");
  if (model != nullptr && model->is_object()) {
    const auto saved = naming_checkpoint(path, [&] { return saved_model(outline); });
    const std::string given = named_class(*model);
    if (given.empty()) require_saved(saved, "model", *model, path);
    const bool is_same = saved && short_class_name(given) == short_class_name(saved->class_path);
    if (given.empty() || is_same) {
      put_over(*model, *saved, origin, linked_settings(root, registry, "model"));
    }
  }
  ConfigNode* data = root.find("data");
  if (lacks_class(data)) {
    const auto saved = naming_checkpoint(path, [&] { return saved_data(outline); });
    require_saved(saved, "data", *data, path);
    put_over(*data, *saved, origin, linked_settings(root, registry, "data"));
  }
}

}  // namespace

void take_checkpoint_settings(ConfigNode& root, const Registry& registry) {
  const std::string ckpt_path = text_at(root.find("ckpt_path"));
  if (ckpt_path.empty()) return;
  const ConfigNode* trainer = root.find("trainer");
  const auto folder = trainer == nullptr ? "" : text_at(trainer->find("default_root_dir"));
  const bool must_fill = lacks_class(root.find("model")) || lacks_class(root.find("data"));
  try {
    fill_from(root, registry, find_checkpoint(ckpt_path, folder));
  } catch (const CheckpointError&) {
    if (must_fill) throw;  // otherwise the run says so, after the configuration was checked
  }
}

}  // namespace levin
