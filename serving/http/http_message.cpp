#include <levin/serving/http/http_message.h>

#include <algorithm>

namespace levin {
namespace {

char lowered(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return lowered(x) == lowered(y);
         });
}

std::string_view header(const HttpHeaders& headers, std::string_view name) {
  for (const auto& entry : headers) {
    if (equals_ignoring_case(entry.first, name)) return entry.second;
  }
  return {};
}

}  // namespace levin
