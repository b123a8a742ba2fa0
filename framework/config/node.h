#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// The place where a setting was written, for error messages.
struct Origin {
  /// A file's path as the user wrote it, or "command line".
  std::string file{};
  /// The line in the file, from 1; 0 on the command line.
  int64_t line = 0;
  /// The place as messages name it: "digits.yaml:12" or "command line".
  std::string to_string() const;
};

struct ConfigMember;

/// A piece of configuration that remembers where it was written: null, a scalar, a list or an
/// object. It is plain data, which yaml.h reads, merge.h combines and job.h turns into a Job.
struct ConfigNode {
  enum class Kind { null, scalar, list, object };

  Kind kind = Kind::null;
  Origin origin{};
  /// A scalar's text as written, without its quotes.
  std::string text{};
  /// Whether a scalar was written in quotes; it is text then, whatever it looks like.
  bool quoted = false;
  /// Whether this is a setting of a class that a later file or override replaced by another class.
  /// It is left out if the new class has no such setting.
  bool inherited = false;
  std::vector<ConfigNode> items;
  // No initialiser: clang would then want ConfigMember to be complete here.
  std::vector<ConfigMember> members;

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_object() const { return kind == Kind::object; }

  /// The member of that name; null if there is none.
  const ConfigNode* find(std::string_view key) const;
  ConfigNode* find(std::string_view key);
  /// The member of that name, which is added (as null, written at `where`) if there is none. A null
  /// node becomes an object first.
  ConfigNode& member(std::string_view key, const Origin& where);
  /// Removes the member of that name, if there is one.
  void erase(std::string_view key);

  /// The value that YAML 1.2 gives this node: `3` is an int, `3.0` and `3e-4` are floats, `"3"` is
  /// text, and nothing at all is null. Digits may also be grouped: `100_000`.
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
