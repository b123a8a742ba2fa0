#include <levin/cli/command.h>

#include <algorithm>
#include <optional>
#include <variant>

#include <levin/cli/arguments.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

template <class T>
bool takes(const Field& field) {
  return std::holds_alternative<T*>(field.value) ||
         std::holds_alternative<std::optional<T>*>(field.value);
}

/// A word of the command line as a value of the type that `field` takes, or as text if it has
/// another form.
Value plain_value(const Field& field, const std::string& word) {
  if (takes<bool>(field) && (word == "true" || word == "false")) return word == "true";
  if (takes<int64_t>(field) || takes<double>(field)) {
    if (const auto whole = number_in<int64_t>(word)) return *whole;
  }
  if (takes<double>(field)) {
    if (const auto fraction = number_in<double>(word)) return *fraction;
  }
  return word;
}

void set_option(const Fields& fields, const std::string& name, const std::string& word) {
  std::vector<std::string> known = {"--output", "--json"};
  for (const auto& field : fields) {
    known.push_back("--" + option_name(field.name));
    if (field.name != name) continue;
    if (auto* const* list = std::get_if<std::vector<std::string>*>(&field.value)) {
      (*list)->push_back(word);
    } else {
      field.set(plain_value(field, word));
    }
    return;
  }
  throw ConfigError::unknown_name("option", "--" + option_name(name), known);
}

}  // namespace

std::string option_name(std::string_view field) {
  std::string name(field);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

bool is_switch(const Field& field) { return takes<bool>(field); }

void set_options(const Fields& fields, const Arguments& arguments) {
  for (const auto& [name, word] : arguments.settings) set_option(fields, name, word);
}

}  // namespace levin
