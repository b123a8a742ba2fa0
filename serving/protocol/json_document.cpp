#include <levin/serving/protocol/json_document.h>

#include <new>

#include <fmt/format.h>

#include <levin/serving/protocol/refusal.h>

namespace levin {

namespace {

using simdjson::dom::element;

constexpr size_t kDeepestJson = 40;
/// The longest text whose parser keeps its memory, about ten bytes for each of the text.
constexpr size_t kKeptJson = size_t{1} << 20;

simdjson::dom::parser& thread_json_parser() {
  thread_local simdjson::dom::parser parser;
  // simdjson keeps this depth when it grows.
  if (parser.capacity() == 0) {
    if (parser.allocate(size_t{1} << 14, kDeepestJson) != simdjson::SUCCESS) throw std::bad_alloc();
  }
  return parser;
}

/// The length of the NaN, Infinity or -Infinity at the front of `text`, if it ends there; 0 if
/// there is none.
size_t special_length(std::string_view text) {
  for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
    if (!text.starts_with(word)) continue;
    const size_t next = text.find_first_not_of(" \t\r\n", word.size());
    const bool ends = next == std::string_view::npos ||
                      std::string_view(",]}").find(text[next]) != std::string_view::npos;
    return ends ? word.size() : 0;
  }
  return 0;
}

/// Returns the text with null in place of NaN, and with Infinity and -Infinity in quotes; what
/// texts contain stays as it is. Empty if there was nothing to replace.
std::string without_special_numbers(std::string_view text) {
  std::string result;
  size_t copied = 0;
  bool is_in_text = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && is_in_text) {
      ++i;
    } else if (c == '"') {
      is_in_text = !is_in_text;
    } else if (!is_in_text && (c == 'N' || c == 'I' || c == '-')) {
      const size_t length = special_length(text.substr(i));
      if (length == 0) continue;
      if (result.empty()) result.reserve(text.size() + text.size() / 3);
      result.append(text.substr(copied, i - copied));
      if (c == 'N') {
        result += "null";
      } else {
        result.append("\"").append(text.substr(i, length)).append("\"");
      }
      copied = i + length;
      i = copied - 1;
    }
  }
  if (copied > 0) result.append(text.substr(copied));
  return result;
}

simdjson::error_code parse_json(const std::string& body, size_t size, element& root) {
  const bool copies = body.capacity() - size < simdjson::SIMDJSON_PADDING;
  return thread_json_parser().parse(body.data(), size, copies).get(root);
}

}  // namespace

JsonDocument::JsonDocument(const std::string& body, size_t size) {
  auto error = parse_json(body, size, root_);
  if (error != simdjson::SUCCESS && error != simdjson::EMPTY && error != simdjson::MEMALLOC) {
    const auto standard = without_special_numbers({body.data(), size});
    if (!standard.empty()) error = parse_json(standard, standard.size(), root_);
  }
  if (error == simdjson::SUCCESS) return;
  if (error == simdjson::MEMALLOC) throw std::bad_alloc();
  if (error == simdjson::EMPTY) throw Refusal::malformed("the body is empty; it must be JSON");
  throw Refusal::malformed(
      fmt::format("the body isn't valid JSON, or is nested more deeply than {} levels: {}",
                  kDeepestJson, simdjson::error_message(error)));
}

JsonDocument::~JsonDocument() {
  auto& parser = thread_json_parser();
  if (parser.capacity() > kKeptJson) parser = simdjson::dom::parser();
}

simdjson::dom::object JsonDocument::object() const {
  simdjson::dom::object object;
  if (root_.get(object) == simdjson::SUCCESS) return object;
  throw Refusal::malformed(
      fmt::format("the body must be a JSON object, but is {}", kind_of(root_)));
}

std::string_view kind_of(element value) {
  switch (value.type()) {
    case simdjson::dom::element_type::ARRAY:
      return "an array";
    case simdjson::dom::element_type::OBJECT:
      return "an object";
    case simdjson::dom::element_type::STRING:
      return "a string";
    case simdjson::dom::element_type::BOOL:
      return "a truth value";
    case simdjson::dom::element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

bool JsonObject::find(std::string_view name, element& value) const {
  return object_.at_key(name).get(value) == simdjson::SUCCESS && !value.is_null();
}

bool JsonObject::find(std::string_view name, std::string& value) const {
  element found;
  if (!find(name, found)) return false;
  std::string_view text;
  if (found.get(text) != simdjson::SUCCESS) wrong(name, "a string", found);
  value = text;
  return true;
}

bool JsonObject::find(std::string_view name, bool& value) const {
  element found;
  if (!find(name, found)) return false;
  if (found.get(value) != simdjson::SUCCESS) wrong(name, "true or false", found);
  return true;
}

bool JsonObject::find(std::string_view name, int64_t& value) const {
  element found;
  if (!find(name, found)) return false;
  int64_t integer = 0;
  if (found.get(integer) != simdjson::SUCCESS || integer < 0) {
    wrong(name, "an integer from 0 to 2^63 - 1", found);
  }
  value = integer;
  return true;
}

bool JsonObject::find(std::string_view name, simdjson::dom::array& value) const {
  element found;
  if (!find(name, found)) return false;
  if (found.get(value) != simdjson::SUCCESS) wrong(name, "an array", found);
  return true;
}

bool JsonObject::find(std::string_view name, simdjson::dom::object& value) const {
  element found;
  if (!find(name, found)) return false;
  if (found.get(value) != simdjson::SUCCESS) wrong(name, "an object", found);
  return true;
}

std::string JsonObject::path(std::string_view name) const {
  const std::string where = parent_ != nullptr ? parent_->path(name_) : where_;
  return where.empty() ? std::string(name) : fmt::format("{}.{}", where, name);
}

void JsonObject::missing(std::string_view name) const {
  throw Refusal::malformed(fmt::format("{} is missing", path(name)));
}

void JsonObject::wrong(std::string_view name, std::string_view wanted, element value) const {
  const auto kind = kind_of(value);
  const bool is_other_number = kind == "a number" && wanted.starts_with("an integer");
  throw Refusal::malformed(fmt::format("{} must be {}, but is {}", path(name), wanted,
                                       is_other_number ? "another number" : kind));
}

}  // namespace levin
