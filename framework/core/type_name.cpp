#include <levin/framework/core/type_name.h>

#include <cstdlib>
#include <memory>

#include <cxxabi.h>

namespace levin {
namespace {

struct FreeName {
  void operator()(char* name) const { std::free(name); }
};

}  // namespace

std::string without_namespaces(std::string_view name) {
  size_t begin = 0;
  int depth = 0;  // of brackets
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '<' || c == '(' || c == '{') ++depth;
    if (c == '>' || c == ')' || c == '}') --depth;
    if (c == ':' && depth == 0) begin = i + 1;
  }
  return std::string(name.substr(begin));
}

std::string unqualified_name(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, FreeName> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status));
  return without_namespaces(name != nullptr ? name.get() : type.name());
}

}  // namespace levin
