#pragma once

#include <algorithm>
#include <string_view>

#include <levin/datamodules/readers/text.h>
#include <levin/framework/core/number_in.h>
#include <levin/framework/core/small_letters.h>

namespace levin {

/// The weight of an entry such as "text/csv;q=0.5", from 0 (not at all) to 1; 1 if it has none.
inline double weight_of_entry(std::string_view entry) {
  for (size_t semicolon; (semicolon = entry.find(';')) != std::string_view::npos;) {
    entry.remove_prefix(semicolon + 1);
    const auto parameter = readers::trimmed(entry.substr(0, entry.find(';')));
    if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) continue;
    return number_in<double>(parameter.substr(2)).value_or(1.0);
  }
  return 1.0;
}

/// Calls visit(name, weight) for each entry of a header such as Accept or Accept-Encoding, in their
/// order, with the name in small letters. Source: RFC 9110, 12.4.2.
template <class Visit>
void for_each_weighted(std::string_view header, Visit&& visit) {
  while (!header.empty()) {
    const size_t comma = std::min(header.find(','), header.size());
    const auto entry = header.substr(0, comma);
    header.remove_prefix(std::min(comma + 1, header.size()));
    const auto name = readers::trimmed(entry.substr(0, entry.find(';')));
    visit(to_small_letters(name), weight_of_entry(entry));
  }
}

}  // namespace levin
