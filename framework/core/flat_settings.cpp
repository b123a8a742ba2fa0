#include <levin/framework/core/flat_settings.h>

namespace levin {
namespace {

void flatten_into(std::vector<std::pair<std::string, Value>>& out, const std::string& path,
                  const Value& value) {
  if (!value.is_object()) {
    out.emplace_back(path, value.is_array() ? Value(value.to_json()) : value);
    return;
  }
  for (const auto& [name, member] : value.as_object()) {
    flatten_into(out, path.empty() ? name : path + "/" + name, member);
  }
}

}  // namespace

std::vector<std::pair<std::string, Value>> flat_settings(const Value& settings) {
  std::vector<std::pair<std::string, Value>> result;
  flatten_into(result, "", settings);
  return result;
}

}  // namespace levin
