#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// Where a setting was written.
struct Origin {
  /// A file as the user spelled it, or "command line".
  std::string file{};
  /// From 1; 0 where there are no lines.
  int64_t line = 0;
  /// "digits.yaml:12" or "command line".
  std::string to_string() const;
};

struct ConfigMember;

/// A piece of configuration that remembers where it was written. Plain data: the functions in
/// yaml.h, merge.h and job.h work on it.
struct ConfigNode {
  enum class Kind { null, scalar, list, object };

  Kind kind = Kind::null;
  Origin origin{};
  /// A scalar as written, without its quotes.
  std::string text{};
  /// A scalar in quotes is text, whatever it looks like.
  bool quoted = false;
  /// A setting of a class that was swapped for another since: left out where the new one has no
  /// such setting.
  bool inherited = false;
  std::vector<ConfigNode> items;
  // No initialiser: clang would then want ConfigMember to be complete here.
  std::vector<ConfigMember> members;

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_object() const { return kind == Kind::object; }

  /// The member of that name; null where there is none.
  const ConfigNode* find(std::string_view key) const;
  ConfigNode* find(std::string_view key);
  /// The member of that name, made where there is none; a null node becomes an object.
  ConfigNode& member(std::string_view key, const Origin& where);
  void erase(std::string_view key);

  /// The value a YAML 1.2 reader sees: `3` is an int, `3.0` and `3e-4` floats, `"3"` text. Digits
  /// may be grouped, `100_000`. An empty node is null.
  Value plain() const;

  static ConfigNode null(Origin origin);
  static ConfigNode scalar(std::string text, Origin origin, bool quoted = false);
  static ConfigNode list(Origin origin);
  static ConfigNode object(Origin origin);
};

struct ConfigMember {
  std::string key;
  /// Where the key was written.
  Origin origin;
  ConfigNode value;
};

}  // namespace levin
