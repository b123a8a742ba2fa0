#include <levin/framework/core/csv_cell.h>

namespace levin {

std::string csv_cell(std::string_view text) {
  const bool is_plain =
      text.find_first_of(",\"\r\n") == text.npos && !text.starts_with(' ') && !text.ends_with(' ');
  if (is_plain && !text.empty()) return std::string(text);
  std::string cell = "\"";
  for (const char c : text) cell += c == '"' ? std::string(2, c) : std::string(1, c);
  return cell + '"';
}

}  // namespace levin
