#include <levin/framework/trainer/replaced_callbacks.h>

#include <algorithm>
#include <typeinfo>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/type_name.h>
#include <levin/framework/trainer/trial.h>

namespace levin {

namespace {

template <class T>
bool has_entry_of(const std::vector<HookList::Entry>& entries) {
  return std::any_of(entries.begin(), entries.end(), [](const HookList::Entry& entry) {
    return dynamic_cast<const T*>(entry.first) != nullptr;
  });
}

}  // namespace

bool is_trial(const std::vector<HookList::Entry>& entries) {
  return has_entry_of<TakesWeights>(entries);
}

bool is_trial_of_this_rank(const std::vector<HookList::Entry>& entries) {
  return has_entry_of<TrialOfThisRank>(entries);
}

std::vector<HookList::Entry> with_module_callbacks(const std::vector<HookList::Entry>& entries,
                                                   const ModuleCallbacks& own, const Ranks& ranks) {
  const auto is_replaced = [&](const Callback& callback) {
    return std::any_of(own.entries().begin(), own.entries().end(), [&](const auto& one) {
      const Callback& other = *one.callback;
      return typeid(other) == typeid(callback);
    });
  };
  std::vector<HookList::Entry> all;
  for (const auto& entry : entries) {
    const Callback& callback = *entry.first;
    if (!is_replaced(callback)) {
      all.push_back(entry);
    } else if (ranks.is_zero()) {
      diagnostics::print(fmt::format(
          "note: the {} that the module brings takes the place of the one of the Trainer\n",
          unqualified_name(typeid(callback))));
    }
  }
  for (const auto& one : own.entries()) all.emplace_back(one.callback.get(), one.used);
  return all;
}

}  // namespace levin
