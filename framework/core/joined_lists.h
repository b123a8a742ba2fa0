#pragma once

#include <levin/framework/core/class_list.h>

namespace levin {

/// Returns the classes of `first` and of `more`, which replace those that have the same name.
template <class Base, class... Args>
ClassList<Base, Args...> joined_lists(const ClassList<Base, Args...>& first,
                                      const ClassList<Base, Args...>& more) {
  struct Joined : ClassList<Base, Args...> {
    using ClassList<Base, Args...>::put;
    explicit Joined(const ClassList<Base, Args...>& list) : ClassList<Base, Args...>(list) {}
  };
  Joined all(first);
  for (const auto& each : more.entries()) all.put(each);
  return all;
}

}  // namespace levin
