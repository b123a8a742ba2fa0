#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <simdjson.h>

namespace levin {

/// A parsed JSON text, on simdjson's DOM. One parser a thread keeps its memory from text to text,
/// so a thread has one document at a time, and texts and arrays of it end with it.
class JsonDocument {
 public:
  /// Parses the first `size` bytes of `body`, which aren't copied if enough of the body's memory
  /// follows them. NaN, which JSON doesn't have but Python's json and rapidjson write, is read as
  /// null, and Infinity and -Infinity as texts. Throws Refusal (400) if the bytes aren't JSON in
  /// UTF-8, or nested more deeply than 40 levels.
  JsonDocument(const std::string& body, size_t size);
  ~JsonDocument();
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  simdjson::dom::element root() const { return root_; }
  /// Throws Refusal (400) if the text isn't an object.
  simdjson::dom::object object() const;

 private:
  simdjson::dom::element root_{};
};

/// What messages call the kind of a JSON value: "a number", "an array".
std::string_view kind_of(simdjson::dom::element value);

/// The members of an object that are read by name. `where` is how messages call the object, such as
/// "inputs[0]"; "" for the whole text. A member that is null counts as missing. A value of another
/// type than the function's throws Refusal (400). If a name occurs twice, the first one counts.
class JsonObject {
 public:
  JsonObject(simdjson::dom::object object, std::string where)
      : object_(object), where_(std::move(where)) {}
  /// The object that is a member of `parent`, which must outlive this one.
  JsonObject(simdjson::dom::object object, const JsonObject& parent, std::string_view name)
      : object_(object), parent_(&parent), name_(name) {}

  /// Returns false if there is no such member.
  bool find(std::string_view name, simdjson::dom::element& value) const;
  bool find(std::string_view name, std::string& value) const;
  bool find(std::string_view name, bool& value) const;
  /// Also throws for numbers that aren't integers or negative ones.
  bool find(std::string_view name, int64_t& value) const;
  bool find(std::string_view name, simdjson::dom::array& value) const;
  bool find(std::string_view name, simdjson::dom::object& value) const;

  /// How messages call a member: "inputs[0].shape".
  std::string path(std::string_view name) const;
  /// Throws the Refusal for a member that must be there.
  [[noreturn]] void missing(std::string_view name) const;

 private:
  [[noreturn]] void wrong(std::string_view name, std::string_view wanted,
                          simdjson::dom::element value) const;

  simdjson::dom::object object_;
  std::string where_{};
  const JsonObject* parent_ = nullptr;  // if there is one, where_ is empty
  std::string_view name_{};             // in the parent
};

}  // namespace levin
