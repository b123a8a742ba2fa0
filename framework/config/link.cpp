#include <levin/framework/config/link.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/config/linked_setting.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/config/settings.h>
#include <levin/framework/config/yaml.h>

namespace levin {
namespace {

/// Applies links one after another, sources first.
class Linker {
 public:
  Linker(const Registry& registry, ConfigNode& root) : settings_(registry, root), root_(root) {
    for (const auto& link : registry.links) links_.push_back({link, {"link_arguments", 0}, true});
    read_links();
    states_.resize(links_.size());
  }

  std::vector<AppliedLink> apply() && {
    for (const auto& each : links_) {
      const auto target = settings_.find(each, each.link.target);
      targets_.push_back(target.name());
    }
    refuse_same_targets();
    std::vector<AppliedLink> applied(links_.size());
    for (size_t i = 0; i < links_.size(); ++i) apply(i, applied);
    std::erase_if(applied, [](const AppliedLink& each) { return each.link.target.empty(); });
    for (auto& link : removed_) applied.push_back({.link = std::move(link), .is_detached = true});
    return applied;
  }

 private:
  enum class State { waiting, begun, done };

  void read_links() {
    const ConfigNode* node = root_.find("links");
    if (node == nullptr) return;
    if (!node->is_object() && !node->is_null()) {
      throw ConfigError(fmt::format(
          "{}: links = {}: expected `TARGET: SOURCE` lines, such as data.seed: seed_everything",
          node->origin.to_string(), shortened(node->plain().to_json())));
    }
    for (const auto& member : node->members) {
      const auto same = std::find_if(links_.begin(), links_.end(), [&](const auto& each) {
        return keys_of_setting(each.link.target) == keys_of_setting(member.key);
      });
      require_value(member.value, "links." + member.key, "the name of another setting");
      const bool is_removed = member.value.plain().is_null();
      if (same == links_.end()) {
        if (is_removed && !member.value.has_replaced) fail_without_link(member);
      } else {
        if (is_removed) removed_.push_back(std::move(same->link));
        links_.erase(same);
      }
      if (is_removed) continue;
      if (!member.value.is_scalar()) {
        throw ConfigError(fmt::format(
            "{}: links.{} = {}: expected the name of one setting, such as data.batch_size; what is "
            "computed from several needs a program (Registry::link_arguments)",
            member.origin.to_string(), member.key, shortened(member.value.plain().to_json())));
      }
      links_.push_back({{member.key, {member.value.text}}, member.origin});
    }
  }

  /// Throws ConfigError for null where there is no link to remove.
  [[noreturn]] void fail_without_link(const ConfigMember& member) const {
    std::vector<std::string> known;
    for (const auto& each : links_) known.push_back(each.link.target);
    for (const auto& each : root_.find("links")->members) {
      if (!each.value.plain().is_null()) known.push_back(each.key);
    }
    throw ConfigError::unknown_name("link", member.key, known,
                                    fmt::format("{}: links.{} = null, which removes a link",
                                                member.origin.to_string(), member.key));
  }

  void refuse_same_targets() const {
    for (size_t i = 0; i < targets_.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (targets_[i] != targets_[j]) continue;
        fail_link(links_[i], fmt::format("{} is linked at {}, too; remove one of the two",
                                         targets_[i], links_[j].origin.to_string()));
      }
    }
  }

  void apply(size_t i, std::vector<AppliedLink>& applied) {
    const WrittenLink& link = links_[i];
    if (states_[i] == State::done) return;
    states_[i] = State::begun;
    chain_.push_back(targets_[i]);
    std::vector<Value> values;
    bool is_lost = false;
    for (const auto& source : link.link.sources) {
      auto value = value_of(link, source, applied);
      is_lost = is_lost || !value;
      if (value) values.push_back(*std::move(value));
    }
    LinkedSetting target = settings_.find(link, link.link.target);
    refuse_given(link, target);
    if (!is_lost && !target.is_lost && !target.is_absent) {
      Value value = link.link.compute ? link.link.compute(values) : values.at(0);
      set(link, target, value);
      applied[i] = {link.link, target.place, target.key, std::move(value)};
    }
    chain_.pop_back();
    states_[i] = State::done;
  }

  /// The value of a source; nothing if its class doesn't exist, or if it is absent.
  std::optional<Value> value_of(const WrittenLink& link, const std::string& source,
                                std::vector<AppliedLink>& applied) {
    if (source == kLinkedSeed) return seed();
    const std::string name = settings_.find(link, source).name();
    for (size_t i = 0; i < links_.size(); ++i) {
      if (targets_[i] != name) continue;
      if (states_[i] == State::begun) {
        fail_link(link, fmt::format("the links go in a circle: {} -> {}; remove one of them",
                                    fmt::join(chain_, " -> "), name));
      }
      apply(i, applied);
    }
    const LinkedSetting found = settings_.find(link, source);
    if (found.is_lost || found.is_absent) return std::nullopt;
    if (found.is_of_another_class) {
      std::vector<std::string> known;
      for (const auto& field : found.fields) known.push_back(field.name);
      fail_unknown_in_link(link, source, "setting", found.key, known);
    }
    if (const ConfigNode* given = found.given()) {
      ConfigNode alone = ConfigNode::object(given->origin);
      alone.members.push_back({found.key, given->origin, *given});
      read_settings(found.fields, alone, found.place,
                    {.null_keeps_default = found.place == "trainer"});
    }
    for (const auto& field : found.fields) {
      if (field.name == found.key) return field.get();
    }
    return std::nullopt;
  }

  /// The seed as a number; null if the generators aren't seeded.
  Value seed() const {
    const ConfigNode* node = root_.find(kLinkedSeed);
    if (node == nullptr) return 0;
    const Value seed = node->plain();
    if (seed.is_bool()) return seed.as_bool() ? Value(0) : Value();
    return seed;
  }

  static void refuse_given(const WrittenLink& link, const LinkedSetting& target) {
    const ConfigNode* given = target.is_lost || target.is_absent ? nullptr : target.given();
    if (given == nullptr) return;
    throw ConfigError::conflict(
        fmt::format("{}: {} is set, but {} links it to {}", given->origin.to_string(),
                    target.name(), link.origin.to_string(), fmt::join(link.link.sources, ", ")),
        fmt::format("remove one of the two; `--links.{}=null` removes the link", link.link.target));
  }

  static void set(const WrittenLink& link, const LinkedSetting& target, const Value& value) {
    const Origin origin{fmt::format("{} (linked to {})", link.origin.to_string(),
                                    fmt::join(link.link.sources, ", ")),
                        0};
    ConfigNode node = parse_yaml(value.to_yaml(), "link");
    set_origin(node, origin);
    ConfigNode& object = target.is_direct ? *target.node : target.node->member("init_args", origin);
    object.member(target.key, origin) = std::move(node);
  }

  SettingFinder settings_;
  ConfigNode& root_;
  std::vector<WrittenLink> links_;
  std::vector<Link> removed_;         // of the program, by the configuration
  std::vector<std::string> targets_;  // their canonical names
  std::vector<State> states_;
  std::vector<std::string> chain_;  // the targets that wait for their sources
};

}  // namespace

std::vector<AppliedLink> apply_links(const Registry& registry, ConfigNode& root) {
  return Linker(registry, root).apply();
}

void detach_links(std::vector<AppliedLink>& links, std::string_view source) {
  for (auto& each : links) {
    for (const auto& name : each.link.sources) {
      each.is_detached = each.is_detached || name == source;
    }
  }
}

}  // namespace levin
