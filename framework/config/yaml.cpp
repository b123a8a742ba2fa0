#include <levin/framework/config/yaml.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/first_bytes.h>
#include <levin/framework/core/home.h>

namespace levin {
namespace {

constexpr const char* kCommandLine = "command line";
constexpr const char* kBinaryTag = "tag:yaml.org,2002:binary";  // what `!!binary` stands for
// No sensible configuration is deeper or larger. A small file can stand for a huge one, because
// each use of an alias repeats all that the alias stands for.
constexpr size_t kMaxDepth = 64;
constexpr int64_t kMaxNodes = 100'000;
constexpr size_t kMaxBytes = size_t{2} << 20;
constexpr int64_t kMaxOpenBrackets = 1000;

/// A place in a text. What was given on the command line has no lines.
Origin place_in(std::string_view file, int64_t line) {
  return {std::string(file), file == kCommandLine ? 0 : line};
}

/// Throws ConfigError if far more brackets open than close. yaml-cpp's scanner would take 240 bytes
/// for each of them before the parser learned of the first one. Brackets in quotes count, too.
void refuse_open_brackets(std::string_view text, std::string_view file) {
  int64_t open = 0;
  int64_t line = 1;
  for (const char c : text) {
    if (c == '[' || c == '{') ++open;
    if ((c == ']' || c == '}') && open > 0) --open;
    if (c == '\n') ++line;
    if (open <= kMaxOpenBrackets) continue;
    throw ConfigError(fmt::format("{}: nested too deeply; the most is {} levels",
                                  place_in(file, line).to_string(), kMaxDepth));
  }
}

/// The first line, from 1, whose indentation has a tab, up to the line `last`; 0 if none has.
int64_t line_with_tab(std::string_view text, int64_t last) {
  for (int64_t line = 1; line <= last && !text.empty(); ++line) {
    const std::string_view here = text.substr(0, text.find('\n'));
    if (here.substr(0, here.find_first_not_of(" \t")).find('\t') != here.npos) return line;
    text.remove_prefix(std::min(text.size(), here.size() + 1));
  }
  return 0;
}

/// What yaml-cpp found, in words that say what to do. yaml-cpp names neither tabs nor what a
/// bracket that isn't closed began.
ConfigError invalid_yaml(const YAML::Exception& error, std::string_view text,
                         std::string_view file) {
  if (const int64_t line = line_with_tab(text, error.mark.line + 1); line > 0) {
    return ConfigError(
        fmt::format("{}: not valid YAML: the line is indented by a tab; indent it with spaces",
                    place_in(file, line).to_string()));
  }
  struct Hint {
    std::string_view message;
    std::string_view hint;
  };
  constexpr Hint kHints[] = {
      {"end of sequence flow not found", "a list that [ began isn't closed; add ] at its end"},
      {"end of map flow not found", "an object that { began isn't closed; add } at its end"},
      {"illegal map value",
       "a `key: value` can't stand here; indent it as the lines around it, or put text that "
       "contains "
       "a colon in quotes"}};
  std::string message = error.msg;
  for (const auto& each : kHints) {
    if (message.find(each.message) != message.npos) message = each.hint;
  }
  return ConfigError(fmt::format("{}: not valid YAML: {} (column {})",
                                 place_in(file, error.mark.line + 1).to_string(), message,
                                 error.mark.column + 1));
}

/// Makes a ConfigNode of what yaml-cpp's parser finds, in time that is proportional to the text.
/// (YAML::LoadAll never ends if it finds a comma after the document, and yaml-cpp's own nodes would
/// have to be walked through a second time.)
class ConfigBuilder final : public YAML::EventHandler {
 public:
  ConfigBuilder(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  /// The document, or null if there is none.
  ConfigNode take_root() {
    return root_ ? *std::move(root_) : ConfigNode::null(place_in(file_, 1));
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) refuse_rest(mark);
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    put(ConfigNode::null(origin_of(mark)), anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    const Origin origin = origin_of(mark);
    const bool is_binary = tag == kBinaryTag;
    // Text in quotes has the tag "!".
    put(ConfigNode::scalar(is_binary ? decoded(text, origin) : text, origin,
                           is_binary || tag == "!"),
        anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      throw ConfigError(
          fmt::format("{}: the alias stands for something that contains it; remove it",
                      origin_of(mark).to_string()));
    }
    const size_t levels = count(found->second, origin_of(mark));
    if (open_.size() + levels > kMaxDepth) refuse_large(origin_of(mark));
    put(found->second, YAML::NullAnchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(ConfigNode::list(origin_of(mark)), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(ConfigNode::object(origin_of(mark)), anchor);
  }
  void OnMapEnd() override {
    Open& object = open_.back();
    for (const auto& node : object.merged) take_missing(object, node);
    close();
  }

 private:
  /// A list or an object whose end hasn't come yet.
  struct Open {
    ConfigNode node;
    YAML::anchor_t anchor = YAML::NullAnchor;
    std::optional<ConfigNode> key{};                   // an object's key that waits for its value
    std::unordered_map<std::string, int64_t> lines{};  // where each key of an object was written
    std::vector<ConfigNode> merged{};                  // what `<<` refers to
    bool wants_key() const { return node.is_object() && !key; }
  };

  void open(ConfigNode node, YAML::anchor_t anchor) {
    if (open_.size() > kMaxDepth) refuse_large(node.origin);
    open_.push_back({.node = std::move(node), .anchor = anchor});
  }

  void close() {
    Open closed = std::move(open_.back());
    open_.pop_back();
    put(std::move(closed.node), closed.anchor);
  }

  /// Puts a whole node where the parser is: it is the document, an item, a key or a value.
  void put(ConfigNode node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) {
      count(node, node.origin);
      anchors_.insert_or_assign(anchor, node);
    }
    if (open_.size() > kMaxDepth) refuse_large(node.origin);
    if (!open_.empty() && open_.back().wants_key()) return put_key(std::move(node));
    if (++count_ > kMaxNodes) refuse_large(node.origin);
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (open_.back().node.is_list()) {
      open_.back().node.items.push_back(std::move(node));
    } else {
      put_value(open_.back(), std::move(node));
    }
  }

  void put_key(ConfigNode key) {
    if (!key.is_scalar()) refuse_key(key.origin);
    open_.back().key = std::move(key);
  }

  static void put_value(Open& object, ConfigNode value) {
    const ConfigNode key = *std::exchange(object.key, std::nullopt);
    if (key.text == "<<" && !key.quoted) {
      object.merged.push_back(std::move(value));
      return;
    }
    const auto [first, is_new] = object.lines.try_emplace(key.text, key.origin.line);
    if (!is_new) {
      throw ConfigError(fmt::format("{}: the key '{}' is there twice, first in line {}; remove one",
                                    key.origin.to_string(), key.text, first->second));
    }
    object.node.members.push_back({key.text, key.origin, std::move(value)});
  }

  /// Does what `<<: *defaults` or `<<: [*a, *b]` asks for: adds the members that aren't there yet.
  static void take_missing(Open& object, const ConfigNode& from) {
    for (const auto& item : from.items) take_missing(object, item);
    for (const auto& each : from.members) {
      if (object.lines.try_emplace(each.key, each.origin.line).second) {
        object.node.members.push_back(each);
      }
    }
  }

  /// Counts the values and the text of a node that is about to be copied. Returns how many levels
  /// it has: 0 for a scalar.
  size_t count(const ConfigNode& node, const Origin& where) {
    size_t levels = 0;
    copied_bytes_ += node.text.size();
    for (const auto& each : node.members) copied_bytes_ += each.key.size();
    if (++count_ > kMaxNodes || copied_bytes_ > kMaxBytes) refuse_large(where);
    for (const auto& item : node.items) levels = std::max(levels, 1 + count(item, where));
    for (const auto& each : node.members) {
      levels = std::max(levels, 1 + count(each.value, where));
    }
    return levels;
  }

  /// The bytes that a `!!binary` scalar stands for.
  static std::string decoded(const std::string& text, const Origin& origin) {
    const auto bytes = YAML::DecodeBase64(text);
    if (bytes.empty() && !text.empty()) {
      throw ConfigError(
          fmt::format("{}: '{}' is marked as !!binary and isn't base64", origin.to_string(), text));
    }
    return {bytes.begin(), bytes.end()};
  }

  [[noreturn]] static void refuse_key(const Origin& where) {
    throw ConfigError(where.to_string() + ": a key must be a word, not a list or an object");
  }
  [[noreturn]] static void refuse_large(const Origin& where) {
    throw ConfigError(
        fmt::format("{}: nested too deeply or too large; the most is {} levels, {} values and {} "
                    "MiB of text, with all that aliases stand for",
                    where.to_string(), kMaxDepth, kMaxNodes, kMaxBytes >> 20));
  }
  /// Refuses what follows the end of the first document: another one, or text that has no place.
  [[noreturn]] void refuse_rest(const YAML::Mark& mark) const {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    constexpr size_t kShown = 20;
    std::string_view rest = text_;  // what follows, from the beginning of its line on
    if (rest.starts_with(kByteOrderMark)) rest.remove_prefix(kByteOrderMark.size());
    for (int line = 0; line < mark.line && rest.find('\n') != rest.npos; ++line) {
      rest.remove_prefix(rest.find('\n') + 1);
    }
    const std::string where = origin_of(mark).to_string();
    if (rest.starts_with("---")) {
      throw ConfigError(fmt::format(
          "{}: found 2 documents; expected one, so remove the line `---` between them", where));
    }
    rest = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), static_cast<size_t>(mark.column)));
    throw ConfigError(fmt::format(
        "{}: not valid YAML: found '{}' where the text should end (column {}); remove it, or put "
        "text that contains it in quotes",
        where, first_bytes(rest, kShown), mark.column + 1));
  }

  Origin origin_of(const YAML::Mark& mark) const { return place_in(file_, mark.line + 1); }

  std::string_view text_;
  std::string file_;
  std::optional<ConfigNode> root_;
  std::vector<Open> open_;  // the outermost first
  std::unordered_map<YAML::anchor_t, ConfigNode> anchors_;
  int64_t count_ = 0;
  size_t copied_bytes_ = 0;
  int64_t documents_ = 0;
};

}  // namespace

ConfigNode parse_yaml(std::string_view text, std::string_view file) {
  if (text.size() > kMaxBytes) {
    throw ConfigError(fmt::format(
        "{}: larger than {} MiB, which no configuration is; give the text of the settings", file,
        kMaxBytes >> 20));
  }
  refuse_open_brackets(text, file);
  std::istringstream stream{std::string(text)};
  ConfigBuilder builder(text, file);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw invalid_yaml(error, text, file);
  }
  return builder.take_root();
}

ConfigNode read_yaml(const std::filesystem::path& given, std::string_view what) {
  const std::string path = expand_home(given.string(), what);
  try {
    const std::string text = files::read_text(path, kMaxBytes);
    if (text.find('\0') != std::string::npos) {
      throw ConfigError(fmt::format(
          "{}: '{}' isn't a text file; a checkpoint is given as --ckpt-path", what, path));
    }
    return parse_yaml(text, path);
  } catch (const CheckpointError& error) {
    throw ConfigError(fmt::format("{}: {}", what, error.what()));
  }
}

ConfigNode parse_argument(std::string_view text) {
  const ConfigNode as_it_is = ConfigNode::scalar(std::string(text), {kCommandLine, 0});
  if (text.empty() || std::string_view("[{\"'").find(text.front()) == std::string_view::npos) {
    return as_it_is;
  }
  try {
    ConfigNode node = parse_yaml(text, kCommandLine);
    if (!node.is_scalar()) node.text = text;
    return node;
  } catch (const ConfigError&) {
    if (text.front() == '"' || text.front() == '\'') throw;
    return as_it_is;
  }
}

}  // namespace levin
