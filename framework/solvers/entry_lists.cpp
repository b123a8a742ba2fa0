#include <levin/framework/solvers/entry_lists.h>

#include <algorithm>
#include <utility>

namespace levin {

EntryLists::EntryLists(std::vector<double> values, int64_t lists, int64_t length)
    : lists_(lists), length_(length), values_(std::move(values)) {}

EntryLists::EntryLists(std::vector<double> values, std::vector<int32_t> indices,
                       std::vector<int64_t> offsets, int64_t length)
    : lists_(static_cast<int64_t>(offsets.size()) - 1),
      length_(length),
      values_(std::move(values)),
      indices_(std::move(indices)),
      offsets_(std::move(offsets)) {}

Entries EntryLists::at(int64_t list) const {
  if (!is_sparse()) {
    return {.values = values_.data() + list * length_, .indices = nullptr, .count = length_};
  }
  const int64_t first = offsets_[static_cast<size_t>(list)];
  return {.values = are_ones() ? nullptr : values_.data() + first,
          .indices = indices_.data() + first,
          .count = offsets_[static_cast<size_t>(list) + 1] - first};
}

void EntryLists::subtract(const std::vector<double>& offsets) {
  const auto length = offsets.size();
  for (size_t first = 0; first < values_.size(); first += length) {
    for (size_t j = 0; j < length; ++j) values_[first + j] -= offsets[j];
  }
}

EntryLists EntryLists::transposed() const {
  std::vector<double> values(values_.size());
  if (!is_sparse()) {
    constexpr int64_t kBlock = 32;  // whose cache lines stay near until they are full
    for (int64_t first = 0; first < lists_; first += kBlock) {
      const int64_t end = std::min(first + kBlock, lists_);
      for (int64_t j = 0; j < length_; ++j) {
        for (int64_t i = first; i < end; ++i) {
          values[static_cast<size_t>(j * lists_ + i)] =
              values_[static_cast<size_t>(i * length_ + j)];
        }
      }
    }
    return {std::move(values), length_, lists_};
  }
  std::vector<int64_t> offsets(static_cast<size_t>(length_) + 1);
  for (const int32_t position : indices_) ++offsets[static_cast<size_t>(position) + 1];
  for (size_t j = 1; j < offsets.size(); ++j) offsets[j] += offsets[j - 1];
  auto next = offsets;
  std::vector<int32_t> indices(indices_.size());
  for (int64_t i = 0; i < lists_; ++i) {
    for_each_entry(at(i), [&](double value, int64_t position) {
      const auto to = static_cast<size_t>(next[static_cast<size_t>(position)]++);
      if (!values.empty()) values[to] = value;
      indices[to] = static_cast<int32_t>(i);
    });
  }
  return {std::move(values), std::move(indices), std::move(offsets), lists_};
}

}  // namespace levin
