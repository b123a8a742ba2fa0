#include <levin/framework/config/yaml.h>

#include <string>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

constexpr const char* kCommandLine = "command line";
constexpr const char* kBinaryTag = "tag:yaml.org,2002:binary";  // what `!!binary` stands for
// No sensible configuration is deeper or larger. A small file can stand for a huge one, because
// each use of an alias repeats all that the alias stands for.
constexpr int kMaxDepth = 64;
constexpr int64_t kMaxNodes = 100'000;

/// Turns yaml-cpp's nodes into ours.
class Converter {
 public:
  explicit Converter(std::string file) : file_(std::move(file)) {}

  ConfigNode convert(const YAML::Node& yaml, int depth = 0) {
    const Origin origin = origin_of(yaml.Mark());
    if (depth > kMaxDepth || ++count_ > kMaxNodes) {
      throw ConfigError(
          fmt::format("{}: nested too deeply or too large; the most is {} levels and {} values",
                      origin.to_string(), kMaxDepth, kMaxNodes));
    }
    if (yaml.IsScalar()) return ConfigNode::scalar(text_of(yaml), origin, is_text(yaml));
    if (yaml.IsSequence()) {
      ConfigNode list = ConfigNode::list(origin);
      for (const auto& item : yaml) list.items.push_back(convert(item, depth + 1));
      return list;
    }
    return yaml.IsMap() ? convert_map(yaml, origin, depth) : ConfigNode::null(origin);
  }

 private:
  /// Whether a scalar is text whatever it looks like: it is in quotes or marked as `!!binary`.
  static bool is_text(const YAML::Node& scalar) {
    return scalar.Tag() == "!" || scalar.Tag() == kBinaryTag;
  }

  /// A scalar as written, or the bytes that a `!!binary` one stands for.
  std::string text_of(const YAML::Node& scalar) const {
    if (scalar.Tag() != kBinaryTag) return scalar.Scalar();
    const auto bytes = YAML::DecodeBase64(scalar.Scalar());
    if (bytes.empty() && !scalar.Scalar().empty()) {
      throw ConfigError(fmt::format("{}: '{}' is marked as !!binary and isn't base64",
                                    origin_of(scalar.Mark()).to_string(), scalar.Scalar()));
    }
    return {bytes.begin(), bytes.end()};
  }

  ConfigNode convert_map(const YAML::Node& yaml, const Origin& origin, int depth) {
    ConfigNode object = ConfigNode::object(origin);
    std::vector<ConfigNode> merged;
    for (const auto& pair : yaml) {
      const Origin where = origin_of(pair.first.Mark());
      if (!pair.first.IsScalar()) {
        throw ConfigError(where.to_string() + ": a key must be a word, not a list or an object");
      }
      const std::string key = text_of(pair.first);
      ConfigNode value = convert(pair.second, depth + 1);
      if (key == "<<" && !is_text(pair.first)) {
        merged.push_back(std::move(value));
        continue;
      }
      refuse_twice(object, key, where);
      object.members.push_back({key, where, std::move(value)});
    }
    for (const auto& node : merged) take_missing(object, node);
    return object;
  }

  static void refuse_twice(const ConfigNode& object, const std::string& key, const Origin& where) {
    for (const auto& each : object.members) {
      if (each.key != key) continue;
      throw ConfigError(fmt::format("{}: the key '{}' is there twice, first in line {}; remove one",
                                    where.to_string(), key, each.origin.line));
    }
  }

  /// Does what `<<: *defaults` or `<<: [*a, *b]` asks for: adds the members that aren't there yet.
  static void take_missing(ConfigNode& object, const ConfigNode& from) {
    for (const auto& item : from.items) take_missing(object, item);
    for (const auto& each : from.members) {
      if (object.find(each.key) == nullptr) object.members.push_back(each);
    }
  }

  Origin origin_of(const YAML::Mark& mark) const { return {file_, mark.line + 1}; }

  std::string file_;
  int64_t count_ = 0;
};

}  // namespace

ConfigNode parse_yaml(std::string_view text, std::string_view file) {
  try {
    const auto documents = YAML::LoadAll(std::string(text));
    if (documents.size() > 1) {
      throw ConfigError(
          fmt::format("{}: found {} documents; expected one, so remove the `---` lines", file,
                      documents.size()));
    }
    ConfigNode root = documents.empty() ? ConfigNode::null({std::string(file), 1})
                                        : Converter(std::string(file)).convert(documents.front());
    return root;
  } catch (const YAML::Exception& error) {
    throw ConfigError(fmt::format("{}:{}: not valid YAML: {} (column {})", file,
                                  error.mark.line + 1, error.msg, error.mark.column + 1));
  }
}

ConfigNode read_yaml(const std::filesystem::path& path) {
  std::string text;
  try {
    text = files::read_text(path);
  } catch (const CheckpointError& error) {
    throw ConfigError(fmt::format("--config: {}", error.what()));
  }
  return parse_yaml(text, path.string());
}

ConfigNode parse_argument(std::string_view text) {
  const Origin origin{kCommandLine, 0};
  if (text.empty() || std::string_view("[{\"'").find(text.front()) == std::string_view::npos) {
    return ConfigNode::scalar(std::string(text), origin);
  }
  ConfigNode node = parse_yaml(text, kCommandLine);
  const auto forget_lines = [](auto& self, ConfigNode& each) -> void {
    each.origin.line = 0;
    for (auto& item : each.items) self(self, item);
    for (auto& child : each.members) {
      child.origin.line = 0;
      self(self, child.value);
    }
  };
  forget_lines(forget_lines, node);
  return node;
}

}  // namespace levin
