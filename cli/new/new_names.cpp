#include <levin/cli/new/new_names.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

bool is_small_letter(char c) { return c >= 'a' && c <= 'z'; }
bool is_capital_letter(char c) { return c >= 'A' && c <= 'Z'; }
bool is_decimal_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter_or_digit(char c) {
  return is_small_letter(c) || is_capital_letter(c) || is_decimal_digit(c);
}

char capital_of(char c) { return is_small_letter(c) ? static_cast<char>(c - 'a' + 'A') : c; }
char small_of(char c) { return is_capital_letter(c) ? static_cast<char>(c - 'A' + 'a') : c; }

/// The words of C++20 that can't be names, with a space around each.
constexpr std::string_view kWordsOfCpp =
    " alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t"
    " char32_t char8_t class co_await co_return co_yield compl concept const const_cast"
    " consteval constexpr constinit continue decltype default delete do double dynamic_cast"
    " else enum explicit export extern false float for friend goto if inline int long mutable"
    " namespace new noexcept not not_eq nullptr operator or or_eq private protected public"
    " register reinterpret_cast requires return short signed sizeof static static_assert"
    " static_cast struct switch template this thread_local throw true try typedef typeid"
    " typename union unsigned using virtual void volatile wchar_t while xor xor_eq"
    " ";

bool is_word_of_cpp(std::string_view name) {
  return kWordsOfCpp.find(fmt::format(" {} ", name)) != std::string_view::npos;
}

}  // namespace

std::string snake_case(std::string_view name) {
  std::string result;
  for (size_t i = 0; i < name.size(); ++i) {
    if (!is_letter_or_digit(name[i])) {
      if (!result.empty() && result.back() != '_') result += '_';
      continue;
    }
    const bool after_small =
        i > 0 && (is_small_letter(name[i - 1]) || is_decimal_digit(name[i - 1]));
    const bool begins_word = i > 0 && is_capital_letter(name[i - 1]) && i + 1 < name.size() &&
                             is_small_letter(name[i + 1]);
    if (is_capital_letter(name[i]) && (after_small || begins_word)) result += '_';
    result += small_of(name[i]);
  }
  while (!result.empty() && result.back() == '_') result.pop_back();
  return result;
}

std::string pascal_case(std::string_view name) {
  std::string result;
  bool begins_word = true;
  for (const char c : name) {
    if (!is_letter_or_digit(c)) {
      begins_word = true;
    } else {
      result += begins_word ? capital_of(c) : c;
      begins_word = false;
    }
  }
  return result;
}

void require_class_name(std::string_view name) {
  bool is_right = !name.empty() && !is_decimal_digit(name.front()) && !is_word_of_cpp(name) &&
                  is_letter_or_digit(name.front());  // names with _ in front are the compiler's
  for (const char c : name) is_right = is_right && (c == '_' || is_letter_or_digit(c));
  if (is_right) return;
  std::string near = pascal_case(name);
  if (near.empty()) near = "MyClass";
  if (is_decimal_digit(near.front())) near = "My" + near;
  throw ConfigError(fmt::format("'{}' can't be the name of a class in C++; did you mean '{}'?",
                                shortened(name), near));
}

}  // namespace levin
