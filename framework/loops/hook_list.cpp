#include <levin/framework/loops/hook_list.h>

#include <algorithm>

namespace levin {

HookList::HookList(const std::vector<Entry>& callbacks, Module& module, Profiler* profiler)
    : profiler_(profiler) {
  std::vector<Entry> ordered = callbacks;
  std::stable_sort(ordered.begin(), ordered.end(), [](const Entry& a, const Entry& b) {
    return a.first->order() < b.first->order();
  });
  std::vector<std::pair<Hooks*, HookSet>> all;
  for (const auto& [callback, used] : ordered) {
    const bool monitors = callback->order() != Callback::Order::normal;
    if (monitors && monitors_.empty()) all.emplace_back(&module, HookSet::all());
    (monitors ? monitors_ : before_).push_back(callback);
    all.emplace_back(callback, used);
  }
  if (monitors_.empty()) all.emplace_back(&module, HookSet::all());
  before_.push_back(&module);
  for (size_t hook = 0; hook < batch_.size(); ++hook) {
    for (const auto& [one, used] : all) {
      if (used.has(static_cast<BatchHook>(hook))) batch_[hook].push_back(one);
    }
  }
}

}  // namespace levin
