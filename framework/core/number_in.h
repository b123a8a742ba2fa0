#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace levin {

/// Returns the number that `text` consists of; nothing if it is anything else, has a space or a
/// plus sign, or doesn't fit the type. `format` is the base of an integer, or the std::chars_format
/// of a float. For a float, "inf" and "nan" are numbers.
///
///     const auto port = levin::number_in<uint16_t>("8000");
template <class Number, class... Format>
std::optional<Number> number_in(std::string_view text, Format... format) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, format...);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

}  // namespace levin
