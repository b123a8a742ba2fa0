#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// The place where a setting was written, for error messages. Every node and key of a configuration
/// has one, and keeps it when configurations are merged.
struct Origin {
  /// A file's path as the user wrote it, or "command line".
  std::string file{};
  /// The line in the file, from 1; 0 on the command line.
  int64_t line = 0;
  /// Returns the place as messages name it: "digits.yaml:12" or "command line".
  std::string to_string() const;
};

struct ConfigMember;

/// A piece of configuration that remembers where it was written: null, a scalar, a list or an
/// object. It is plain data, which yaml.h reads, merge.h combines and job.h turns into a Job.
///
///     ConfigNode root = parse_yaml("trainer: {max_epochs: 5}", "a.yaml");
///     const ConfigNode* epochs = root.find("trainer")->find("max_epochs");
///     epochs->plain();               // Value(5)
///     epochs->origin.to_string();    // "a.yaml:1"
struct ConfigNode {
  /// What the node is. Only the fields of its own kind are filled in, apart from `text`.
  enum class Kind { null, scalar, list, object };

  Kind kind = Kind::null;
  /// Where the value was written.
  Origin origin{};
  /// A scalar's text as written, without its quotes. Of a list or an object that was given on the
  /// command line, the whole text, which a setting that is text takes; otherwise empty for them.
  std::string text{};
  /// Whether a scalar was written in quotes; it is then text, even if it looks like a number.
  bool quoted = false;
  /// Whether this took the place of another value than null, or of one that had, by `merge`.
  bool has_replaced = false;
  /// Whether this is what an option of the command line without a value stands for, which is
  /// `true`.
  bool lacks_value = false;
  /// The items of a list, in their order.
  std::vector<ConfigNode> items;
  /// The members of an object, in the order in which they were written.
  // Without an initialiser, because clang would then need the complete ConfigMember here.
  std::vector<ConfigMember> members;

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_object() const { return kind == Kind::object; }

  /// Returns the member of that name, or null if there is none. The pointer is valid until a member
  /// is added or removed.
  const ConfigNode* find(std::string_view key) const;
  ConfigNode* find(std::string_view key);
  /// Returns the member of that name. If there is none it is added, as null, written at `where`. A
  /// null node becomes an object first.
  ConfigNode& member(std::string_view key, const Origin& where);
  /// Removes the member of that name, if there is one.
  void erase(std::string_view key);

  /// Returns the value that YAML 1.2 gives this node, without places: `3` is an int, `3.0` and
  /// `3e-4` are floats, `"3"` is text, and nothing at all is null. Digits may also be grouped:
  /// `100_000`.
  Value plain() const;

  /// A node of each kind; a list and an object are empty.
  static ConfigNode null(Origin origin);
  static ConfigNode scalar(std::string text, Origin origin, bool quoted = false);
  static ConfigNode list(Origin origin);
  static ConfigNode object(Origin origin);
};

/// A key of an object with its value.
struct ConfigMember {
  std::string key;
  /// Where the key was written.
  Origin origin;
  ConfigNode value;
};

/// Says of a node and of all that is in it that it was written at `origin`.
void set_origin(ConfigNode& node, const Origin& origin);

}  // namespace levin
