#include <levin/framework/config/linked_setting.h>

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/config/class_with_setting.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/config/schedule_settings.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {
namespace {

const std::vector<std::string> kLinkedParts = {"trainer", "model", "data", "optimizer",
                                               "lr_scheduler"};
const std::vector<std::string> kLinkedLists = {"callbacks", "logger"};

bool is_among(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

[[noreturn]] void fail_deep(const WrittenLink& link, std::string_view name) {
  fail_link(link,
            fmt::format("'{}' is a part of a setting; only whole settings can be linked", name));
}

LinkedSetting absent(LinkedSetting found) {
  found.is_absent = true;
  return found;
}

std::string class_path_of(const ConfigNode& node) {
  const ConfigNode* path = node.find("class_path");
  return path != nullptr && path->is_scalar() ? path->text : std::string();
}

/// The number of the item that `chosen` names; nothing if a link of a program names one that isn't
/// there.
std::optional<size_t> choose_linked_item(const WrittenLink& link, const std::string& name,
                                         const std::string& chosen,
                                         const std::vector<ConfigNode*>& items) {
  std::vector<std::string> known;
  std::optional<size_t> found;
  for (size_t i = 0; i < items.size(); ++i) {
    known.emplace_back(short_class_name(class_path_of(*items[i])));
    if (chosen == std::to_string(i)) return i;
    if (chosen != known.back()) continue;
    if (found) {
      fail_link(link, fmt::format("'{}': there are several of {}; give its number, {} or {}", name,
                                  chosen, *found, i));
    }
    found = i;
  }
  if (!found && !link.is_of_program) fail_unknown_in_link(link, name, "item", chosen, known);
  return found;
}

void require_setting(const WrittenLink& link, const std::string& name, const LinkedSetting& found) {
  std::vector<std::string> known;
  for (const auto& field : found.fields) known.push_back(field.name);
  if (is_among(known, found.key) || found.is_of_another_class) return;
  fail_unknown_in_link(link, name, "setting", found.key, known);
}

template <class List>
void take_class(const WrittenLink& link, const std::string& name, const List& list,
                LinkedSetting& found) {
  const auto* entry = list.find(class_path_of(*found.node));
  if (entry == nullptr) {
    found.is_lost = true;
    return;
  }
  auto draft = entry->draft();
  found.options.push_back(std::move(draft.options));
  found.fields = std::move(draft.fields);
  const auto has = [&](const Field& field) { return field.name == found.key; };
  if (std::none_of(found.fields.begin(), found.fields.end(), has)) {
    found.is_of_another_class = !class_with_setting(list, found.key).empty();
    found.is_absent = found.is_of_another_class && link.is_of_program;
  }
  require_setting(link, name, found);
}

}  // namespace

std::vector<std::string> keys_of_setting(std::string_view name) {
  std::vector<std::string> keys;
  for (size_t start = 0; start <= name.size();) {
    const size_t dot = std::min(name.find('.', start), name.size());
    keys.emplace_back(name.substr(start, dot - start));
    if (keys.back() == "init_args") keys.pop_back();
    start = dot + 1;
  }
  return keys;
}

void fail_link(const WrittenLink& link, std::string_view problem) {
  throw ConfigError(
      fmt::format("{}: links.{}: {}", link.origin.to_string(), link.link.target, problem));
}

void fail_unknown_in_link(const WrittenLink& link, std::string_view setting, std::string_view kind,
                          std::string_view name, const std::vector<std::string>& known) {
  throw ConfigError::unknown_name(
      kind, name, known,
      fmt::format("{}: links.{}{}", link.origin.to_string(), link.link.target,
                  setting == link.link.target ? "" : fmt::format(": {}", setting)));
}

LinkedSetting SettingFinder::find(const WrittenLink& link, const std::string& name) {
  const auto keys = keys_of_setting(name);
  const auto fail_part = [&] {
    auto known = kLinkedParts;
    if (name != link.link.target) known.emplace_back(kLinkedSeed);
    fail_unknown_in_link(link, name, "part", keys.empty() ? "" : keys.front(), known);
  };
  if (keys.empty() || !is_among(kLinkedParts, keys.front())) fail_part();
  if (keys.size() < 2) fail_link(link, fmt::format("'{}' names no setting", name));
  ConfigNode& node = root_.member(keys[0], link.origin);
  if (keys[0] != "trainer") {
    if (keys.size() > 2) fail_deep(link, name);
    return find_in_part(link, name, keys, node);
  }
  if (is_among(kLinkedLists, keys[1])) return find_in_list(link, name, keys, node);
  if (keys.size() > 2) fail_deep(link, name);
  return find_in_trainer(link, name, keys[1], node);
}

LinkedSetting SettingFinder::find_in_trainer(const WrittenLink& link, const std::string& name,
                                             const std::string& key, ConfigNode& node) {
  LinkedSetting found{.place = "trainer", .key = key, .node = &node, .is_direct = true};
  auto options = std::make_shared<TrainerOptions>();
  found.fields = describe(*options);
  found.options.push_back(std::move(options));
  for (const auto& each : registry_.default_callbacks) {
    auto on = std::make_shared<bool>(true);
    found.fields.push_back({each.option, on.get(), each.help});
    found.options.push_back(std::move(on));
  }
  require_setting(link, name, found);
  return found;
}

LinkedSetting SettingFinder::find_in_part(const WrittenLink& link, const std::string& name,
                                          const std::vector<std::string>& keys, ConfigNode& node) {
  LinkedSetting found{.place = keys[0], .key = keys[1], .node = &node};
  if (node.is_null()) {
    if (link.is_of_program) return absent(std::move(found));
    fail_link(link, fmt::format("'{}' is a setting of `{}`, which the configuration doesn't have",
                                name, keys[0]));
  }
  if (keys[0] == "lr_scheduler") {
    auto settings = std::make_shared<ScheduleSettings>();
    const Fields own = describe(*settings);
    if (std::any_of(own.begin(), own.end(),
                    [&](const Field& field) { return field.name == found.key; })) {
      found.is_direct = true;
      found.fields = own;
      found.options.push_back(std::move(settings));
      return found;
    }
  }
  if (keys[0] == "model") take_class(link, name, registry_.models, found);
  if (keys[0] == "data") take_class(link, name, registry_.datamodules, found);
  if (keys[0] == "optimizer") take_class(link, name, registry_.optimizers, found);
  if (keys[0] == "lr_scheduler") take_class(link, name, registry_.schedulers, found);
  return found;
}

LinkedSetting SettingFinder::find_in_list(const WrittenLink& link, const std::string& name,
                                          const std::vector<std::string>& keys,
                                          ConfigNode& trainer) {
  const std::string list_name = "trainer." + keys[1];
  ConfigNode* list = trainer.find(keys[1]);
  if (list == nullptr || !(list->is_list() || list->is_object())) {
    if (link.is_of_program) return absent({.place = name, .key = keys.back()});
    fail_link(link,
              fmt::format("'{}' is a setting of an item of {}, which is no list of classes here",
                          name, list_name));
  }
  const bool is_list = list->is_list();
  std::vector<ConfigNode*> items;
  if (!is_list) items.push_back(list);
  for (auto& item : list->items) items.push_back(&item);
  size_t i = 0;
  if (keys.size() == 4) {
    const auto chosen = choose_linked_item(link, name, keys[2], items);
    if (!chosen) return absent({.place = name, .key = keys[3]});
    i = *chosen;
  }
  if (keys.size() > 4) fail_deep(link, name);
  if (keys.size() < 3) fail_link(link, fmt::format("'{}' names no setting", name));
  if (keys.size() == 3 && items.size() != 1) {
    fail_link(link, fmt::format("{} has {} items; name the class: {}.CLASS.{}", list_name,
                                items.size(), list_name, keys[2]));
  }
  LinkedSetting found{.place = is_list ? fmt::format("{}[{}]", list_name, i) : list_name,
                      .key = keys.back(),
                      .node = items[i]};
  if (keys[1] == "callbacks") {
    take_class(link, name, registry_.callbacks, found);
  } else {
    take_class(link, name, registry_.loggers, found);
  }
  return found;
}

}  // namespace levin
