#include <levin/cli/checkpoint_settings.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

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

/// Whether `root` has all settings that a link of the program names, so that it counts.
bool applies(const Link& link, const Registry& registry, const ConfigNode& root) {
  ConfigNode copy = root;  // to which the finder adds parts
  SettingFinder finder(registry, copy);
  const WrittenLink written{link, {"link_arguments", 0}, true};
  const auto is_there = [&](const std::string& name) {
    if (name == kLinkedSeed) return true;
    const LinkedSetting found = finder.find(written, name);
    return !found.is_absent && !found.is_lost;
  };
  return is_there(link.target) && std::all_of(link.sources.begin(), link.sources.end(), is_there);
}

/// The settings that links set, each as its part and its name.
using LinkedSettings = std::set<std::pair<std::string, std::string>>;

/// Those of `root`, which has all other settings.
LinkedSettings linked_settings(const ConfigNode& root, const Registry& registry) {
  LinkedSettings settings;
  const auto take = [&](std::string_view target, bool is_set) {
    const auto keys = keys_of_setting(target);
    if (keys.size() != 2) return;
    settings.erase({keys[0], keys[1]});
    if (is_set) settings.insert({keys[0], keys[1]});
  };
  for (const auto& link : registry.links) take(link.target, applies(link, registry, root));
  if (const ConfigNode* links = root.find("links")) {
    for (const auto& member : links->members) take(member.key, !member.value.plain().is_null());
  }
  return settings;
}

/// Puts what is written as the part `name`, "model" or "data", over what was saved, without the
/// settings `left_out`.
void put_over(ConfigNode& root, const std::string& name, const SavedClass& saved,
              const Origin& origin, const LinkedSettings& left_out) {
  ConfigNode& part = *root.find(name);
  ConfigNode whole = ConfigNode::object(part.origin);
  whole.member("class_path", origin) = ConfigNode::scalar(saved.class_path, origin, true);
  if (saved.init_args.is_object()) {
    ConfigNode settings = parse_yaml(saved.init_args.to_yaml(), origin.file);
    set_origin(settings, origin);
    for (const auto& [place, key] : left_out) {
      if (place == name) settings.erase(key);
    }
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

bool is_missing(const ConfigNode* part) { return part == nullptr || part->plain().is_null(); }

/// What a fit says if its model isn't of the checkpoint's class.
ConfigError other_class(const ConfigNode& model, const std::string& saved,
                        const std::string& path) {
  return ConfigError(fmt::format(
      "{}: model: the class is {}, but fit goes on from '{}', a checkpoint of {}; name {} "
      "(or leave out `model`), or leave out ckpt_path to train from the beginning",
      model.find("class_path")->origin.to_string(), named_class(model), path, saved, saved));
}

/// The checkpoint's settings of the model that the configuration doesn't give and that aren't
/// defaults: "hidden_sizes = [6, 5], activation = \"tanh\"".
std::string taken_settings(const SavedClass& saved, const ConfigNode& given,
                           const Registry& registry, const LinkedSettings& linked) {
  const auto* entry = registry.models.find(saved.class_path);
  if (entry == nullptr || !saved.init_args.is_object()) return {};
  const ConfigNode* args = given.find("init_args");
  const auto defaults = entry->draft();
  std::vector<std::string> taken;
  for (const auto& field : defaults.fields) {
    const bool is_given = args != nullptr && args->find(field.name) != nullptr;
    if (is_given || linked.contains({"model", field.name})) continue;
    if (!saved.init_args.contains(field.name)) continue;
    const Value& value = saved.init_args.at(field.name);
    if (!(value == field.get())) taken.push_back(field.name + " = " + value.to_json());
  }
  return fmt::format("{}", fmt::join(taken, ", "));
}

/// Fills in what `take_checkpoint_settings` and, if the fit `resumes`, `take_settings_to_resume`
/// take. Returns what the latter does.
std::string fill_from(ConfigNode& root, const Registry& registry, const std::string& path,
                      bool resumes) {
  const StateDict outline = load_checkpoint_outline(path);
  const Origin origin{fmt::format("'{}'", path), 0};
  std::vector<std::pair<std::string, SavedClass>> fillings;
  if (resumes && is_missing(root.find("model"))) {
    root.member("model", origin) = ConfigNode::object(origin);
  }
  const ConfigNode* model = root.find("model");
  if (model != nullptr && model->is_object()) {
    const auto saved = naming_checkpoint(path, [&] { return saved_model(outline); });
    const std::string given = named_class(*model);
    if (given.empty()) require_saved(saved, "model", *model, path);
    const bool is_same = saved && short_class_name(given) == short_class_name(saved->class_path);
    if (resumes && saved && !is_same && !given.empty()) {
      throw other_class(*model, saved->class_path, path);
    }
    if (given.empty() || is_same) fillings.emplace_back("model", *saved);
  }
  const ConfigNode* data = root.find("data");
  if (lacks_class(data)) {
    const auto saved = naming_checkpoint(path, [&] { return saved_data(outline); });
    require_saved(saved, "data", *data, path);
    fillings.emplace_back("data", *saved);
  }
  const auto fill = [&](ConfigNode& into, const LinkedSettings& left_out) {
    for (const auto& [name, saved] : fillings) put_over(into, name, saved, origin, left_out);
  };
  ConfigNode whole = root;  // which links count depends on the classes and their settings
  fill(whole, {});
  const auto linked = linked_settings(whole, registry);
  const ConfigNode given = model == nullptr ? ConfigNode() : *model;
  fill(root, linked);
  if (fillings.empty() || fillings.front().first != "model") return {};
  const SavedClass& saved = fillings.front().second;
  const std::string taken = taken_settings(saved, given, registry, linked);
  if (!named_class(given).empty() && taken.empty()) return {};
  return fmt::format("model: {}{}{}, as in '{}'", saved.class_path, taken.empty() ? "" : " with ",
                     taken, path);
}

std::string take_settings(ConfigNode& root, const Registry& registry, bool resumes) {
  const std::string ckpt_path = text_at(root.find("ckpt_path"));
  if (ckpt_path.empty()) return {};
  const ConfigNode* trainer = root.find("trainer");
  const auto folder = trainer == nullptr ? "" : text_at(trainer->find("default_root_dir"));
  const ConfigNode* model = root.find("model");
  const bool must_fill =
      lacks_class(model) || lacks_class(root.find("data")) || (resumes && is_missing(model));
  ConfigNode filled = root;
  try {
    auto note = fill_from(filled, registry, find_checkpoint(ckpt_path, folder), resumes);
    root = std::move(filled);
    return note;
  } catch (const CheckpointError&) {
    if (must_fill) throw;  // otherwise the run says so, after the configuration was checked
    return {};
  }
}

}  // namespace

void take_checkpoint_settings(ConfigNode& root, const Registry& registry) {
  take_settings(root, registry, /*resumes=*/false);
}

std::string take_settings_to_resume(ConfigNode& root, const Registry& registry) {
  return take_settings(root, registry, /*resumes=*/true);
}

}  // namespace levin
