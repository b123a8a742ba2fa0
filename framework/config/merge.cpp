#include <levin/framework/config/merge.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/core/class_list.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr std::string_view kCallbacks = "trainer.callbacks";
constexpr std::string_view kLogger = "trainer.logger";
constexpr std::string_view kScheduler = "lr_scheduler";
constexpr std::array<std::string_view, 6> kClassPlaces = {"model",    "data",     "optimizer",
                                                          kScheduler, kCallbacks, kLogger};
constexpr std::string_view kOptimizer = "optimizer";
constexpr std::string_view kLinks = "links";
constexpr std::string_view kGroups = "groups";
constexpr std::array<std::string_view, 5> kSchedulerKeys = {"interval", "frequency", "monitor",
                                                            "strict", "name"};

template <class List>
bool contains(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

/// Finds or adds members of an object, each in constant time. Nothing else may add or remove
/// members meanwhile.
class MemberIndex {
 public:
  explicit MemberIndex(ConfigNode& object) : object_(object) {
    for (size_t i = 0; i < object.members.size(); ++i) places_.emplace(object.members[i].key, i);
  }
  /// Like ConfigNode::member, but returns the key as well.
  ConfigMember& member(const std::string& key, const Origin& where) {
    auto& members = object_.members;
    const auto [place, is_new] = places_.try_emplace(key, members.size());
    if (is_new) members.push_back({key, where, ConfigNode::null(where)});
    return members[place->second];
  }

 private:
  ConfigNode& object_;
  std::unordered_map<std::string, size_t> places_;
};

bool names_class(std::string_view place) { return contains(kClassPlaces, place); }

/// Whether the key belongs to the node that names a class, and isn't one of the class's settings.
bool belongs_to_class_node(std::string_view place, std::string_view key) {
  if (key == "class_path" || key == "init_args") return true;
  if (place == kOptimizer) return key == kGroups;
  return place == kScheduler && contains(kSchedulerKeys, key);
}

/// Moves what belongs to the node out of its init_args, where it may be written, too: the
/// scheduler's interval and so on, and the optimizer's groups.
void pull_out_keys(ConfigNode& node, std::string_view place) {
  ConfigNode* args = node.find("init_args");
  if (args == nullptr) return;
  std::vector<ConfigMember> pulled;
  for (const auto& each : args->members) {
    const bool is_own = each.key == "class_path" || each.key == "init_args";
    if (!is_own && belongs_to_class_node(place, each.key)) pulled.push_back(each);
  }
  for (auto& each : pulled) {
    node.find("init_args")->erase(each.key);
    node.member(each.key, each.origin) = std::move(each.value);
  }
}

void normalise_class(ConfigNode& node, std::string_view place) {
  if (node.is_list()) {
    for (auto& item : node.items) normalise_class(item, place);
    return;
  }
  if (node.is_scalar()) {
    if (place == kLogger && node.plain().is_bool()) return;
    ConfigNode object = ConfigNode::object(node.origin);
    object.members.push_back({"class_path", node.origin, std::move(node)});
    node = std::move(object);
    return;
  }
  const auto first_setting = std::stable_partition(
      node.members.begin(), node.members.end(),
      [&](const ConfigMember& each) { return belongs_to_class_node(place, each.key); });
  std::vector<ConfigMember> settings(std::make_move_iterator(first_setting),
                                     std::make_move_iterator(node.members.end()));
  node.members.erase(first_setting, node.members.end());
  if (!settings.empty()) {
    ConfigNode& args = node.member("init_args", settings.front().origin);
    if (args.is_null()) args = ConfigNode::object(settings.front().origin);
    MemberIndex index(args);
    for (auto& each : settings) index.member(each.key, each.origin).value = std::move(each.value);
  }
  pull_out_keys(node, place);
}

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> keys;
  size_t start = 0;
  while (start <= path.size()) {
    const size_t dot = std::min(path.find('.', start), path.size());
    keys.emplace_back(path.substr(start, dot - start));
    start = dot + 1;
  }
  return keys;
}

/// The name of a setting of a link, without `init_args`: "model.units".
std::string link_name(const std::vector<std::string>& keys) {
  std::string name;
  for (const auto& key : keys) {
    if (key != "init_args") name += (name.empty() ? "" : ".") + key;
  }
  return name;
}

void flatten_links_into(ConfigNode& links, const ConfigNode& node, std::vector<std::string> keys) {
  for (const auto& member : node.members) {
    auto inner = split(member.key);
    inner.insert(inner.begin(), keys.begin(), keys.end());
    if (member.value.is_object()) {
      flatten_links_into(links, member.value, std::move(inner));
      continue;
    }
    const std::string name = link_name(inner);
    for (const auto& each : links.members) {
      if (each.key != name) continue;
      throw ConfigError(
          fmt::format("{}: links: the target '{}' is there twice, first at {}; "
                      "remove one",
                      member.origin.to_string(), name, each.origin.to_string()));
    }
    links.members.push_back({name, member.origin, member.value});
  }
}

/// Makes `{model: {units: data.width}}` the same as `{model.units: data.width}`.
void flatten_links(ConfigNode& node) {
  if (!node.is_object()) return;
  ConfigNode links = ConfigNode::object(node.origin);
  flatten_links_into(links, node, {});
  node = std::move(links);
}

/// Normalises what stands at `place`.
void normalise_at(ConfigNode& node, std::string_view place) {
  if (place == kCallbacks && !node.is_null() && !node.is_list()) {
    ConfigNode list = ConfigNode::list(node.origin);
    list.items.push_back(std::move(node));
    node = std::move(list);
  }
  if (place == kLinks) {
    flatten_links(node);
  } else if (names_class(place)) {
    normalise_class(node, place);
  } else if (place.empty() || place == "trainer") {
    for (auto& each : node.members) {
      normalise_at(each.value, place.empty() ? each.key : fmt::format("{}.{}", place, each.key));
    }
  }
}

/// Follows an override's path through a configuration.
class Walk {
 public:
  Walk(ConfigNode& root, const Override& override) : node_(&root), override_(override) {}

  void go(const std::string& key) {
    if (key.empty()) fail("an empty name in the path");
    if (node_->is_list() && is_number(key)) return choose_item(key);
    if (node_->is_list()) choose_last_item();
    if (place_ == kCallbacks && node_->is_null()) {
      fail("there is no callback yet; add one with --trainer.callbacks+=NAME");
    }
    if (names_class(place_) && !belongs_to_class_node(place_, key)) enter("init_args");
    enter(key);
  }

  void set() {
    ConfigNode value = override_.value;
    normalise_at(value, place_);
    if (member_ != nullptr) member_->origin = value.origin;
    if (override_.append) return append(std::move(value));
    merge(*node_, std::move(value));
  }

 private:
  static bool is_number(const std::string& key) {
    return key.find_first_not_of("0123456789") == std::string::npos && key.size() < 5;
  }

  void choose_item(const std::string& key) {
    const auto i = static_cast<size_t>(std::stoi(key));
    if (i >= node_->items.size()) {
      fail(fmt::format("'{}' has only {} items", place_, node_->items.size()));
    }
    node_ = &node_->items[i];
  }

  void choose_last_item() {
    if (node_->items.empty()) fail(fmt::format("the list '{}' is empty", place_));
    node_ = &node_->items.back();
  }

  void enter(const std::string& key) {
    if (node_->is_scalar()) fail(fmt::format("'{}' is a value without settings", place_));
    place_ += place_.empty() ? key : "." + key;
    node_->member(key, override_.value.origin);
    node_->text.clear();  // it says no longer what the object is
    for (auto& each : node_->members) {
      if (each.key == key) member_ = &each;
    }
    node_ = &member_->value;
  }

  void append(ConfigNode value) {
    if (!node_->is_list()) {
      ConfigNode list = ConfigNode::list(override_.value.origin);
      if (node_->is_object()) list.items.push_back(std::move(*node_));
      *node_ = std::move(list);
    }
    if (!value.is_list()) return node_->items.push_back(std::move(value));
    for (auto& item : value.items) node_->items.push_back(std::move(item));
  }

  [[noreturn]] void fail(std::string_view problem) const {
    throw ConfigError(
        fmt::format("{}: --{}: {}", override_.value.origin.to_string(), override_.path, problem));
  }

  ConfigNode* node_;
  ConfigMember* member_ = nullptr;  // the one entered last
  const Override& override_;
  std::string place_;
};

}  // namespace

void normalise(ConfigNode& root) { normalise_at(root, ""); }

void merge(ConfigNode& base, ConfigNode over) {
  if (!base.is_object() || !over.is_object()) {
    const bool is_nothing = base.is_null() || (base.is_scalar() && base.plain().is_null());
    over.has_replaced = over.has_replaced || base.has_replaced || !is_nothing;
    base = std::move(over);
    return;
  }
  MemberIndex index(base);
  for (auto& each : over.members) {
    ConfigMember& mine = index.member(each.key, each.origin);
    merge(mine.value, std::move(each.value));
    mine.origin = each.origin;
  }
  base.text = std::move(over.text);
}

void apply(ConfigNode& root, const Override& override) {
  auto keys = split(override.path);
  if (keys.front() == kLinks && keys.size() > 1) {  // the rest is the target of a link
    keys = {keys.front(), link_name({keys.begin() + 1, keys.end()})};
  }
  if (keys.back() == "class_path") {  // as if the class itself were named: merge keeps settings
    const size_t end = override.path.size() - std::string_view(".class_path").size();
    if (keys.size() > 1) return apply(root, {override.path.substr(0, end), override.value, false});
  }
  Walk walk(root, override);
  for (const auto& key : keys) walk.go(key);
  walk.set();
}

}  // namespace levin
