#pragma once

#include <string>
#include <string_view>

namespace levin {

/// The first class of a ClassList that has a setting of that name, or "" if none has.
template <class List>
std::string class_with_setting(const List& list, std::string_view setting) {
  for (const auto& entry : list.entries()) {
    const auto draft = entry.draft();
    for (const auto& field : draft.fields) {
      if (field.name == setting) return entry.name;
    }
  }
  return {};
}

}  // namespace levin
