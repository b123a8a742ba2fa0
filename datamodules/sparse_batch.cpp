#include <levin/datamodules/sparse_batch.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include <levin/framework/tensor/buffer.h>

namespace levin {
namespace {

using readers::NumberList;
using readers::SparseRows;

/// A tensor in the memory of one of the lists of `owner`.
template <class T>
torch::Tensor shared_list(const std::shared_ptr<SparseRows>& owner, NumberList<T>& list,
                          at::ScalarType type) {
  if (list.empty()) return at::empty({0}, at::TensorOptions(type));
  return at::from_blob(
      list.data(), {static_cast<int64_t>(list.size())}, [owner](void*) {}, at::TensorOptions(type));
}

void write_classes(const float* targets, int64_t count, bool signs, int64_t* to) {
  for (int64_t i = 0; i < count; ++i) {
    to[i] = static_cast<int64_t>(targets[i]);
    if (signs && to[i] == -1) to[i] = 0;
  }
}

/// The entry at `place` of the batch, which gets this name.
Rows& named_entry(Batch& batch, size_t place, const char* name) {
  auto& entry = batch.entries()[place];
  if (entry.first != name) entry = {name, Rows()};
  return entry.second;
}

int64_t entries_in(const SparseRange& range) {
  const auto& offsets = range.rows->offsets;
  return offsets[static_cast<size_t>(range.first + range.count)] -
         offsets[static_cast<size_t>(range.first)];
}

/// The processor fetches the entries of a range while those in front of it are copied.
void fetch_ahead(const SparseRange& range) {
  const auto first = static_cast<size_t>(range.rows->offsets[static_cast<size_t>(range.first)]);
  if (first >= range.rows->indices.size()) return;
  const auto* indices = reinterpret_cast<const char*>(range.rows->indices.data() + first);
  for (int64_t line = 0; line < 3; ++line) __builtin_prefetch(indices + 64 * line);
  if (range.rows->values.empty()) return;
  const auto* values = reinterpret_cast<const char*>(range.rows->values.data() + first);
  for (int64_t line = 0; line < 3; ++line) __builtin_prefetch(values + 64 * line);
}

void copy_inputs(std::span<const SparseRange> ranges, SparseRoom& room) {
  int64_t at = 0;
  int64_t* offsets = room.offsets;
  *offsets++ = 0;
  constexpr size_t kAhead = 6;
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (i + kAhead < ranges.size()) fetch_ahead(ranges[i + kAhead]);
    const auto& [rows, first, count] = ranges[i];
    const int64_t* own = rows->offsets.data() + first;
    const int64_t begin = own[0];
    const auto entries = static_cast<size_t>(own[count] - begin);
    for (int64_t row = 0; row < count; ++row) *offsets++ = own[row + 1] - begin + at;
    if (entries == 0) continue;
    std::memcpy(room.indices + at, rows->indices.data() + begin, entries * sizeof(int32_t));
    if (room.values != nullptr && rows->values.empty()) {
      std::fill_n(room.values + at, entries, 1.0F);
    } else if (room.values != nullptr) {
      std::memcpy(room.values + at, rows->values.data() + begin, entries * sizeof(float));
    }
    at += static_cast<int64_t>(entries);
  }
}

void copy_weights(std::span<const SparseRange> ranges, float* to) {
  for (const auto& [rows, first, count] : ranges) {
    if (rows->weights.empty()) {
      std::fill_n(to, count, 1.0F);
    } else {
      std::copy_n(rows->weights.data() + first, count, to);
    }
    to += count;
  }
}

}  // namespace

NamedRows named_rows(std::shared_ptr<SparseRows> rows, const SparseLayout& layout) {
  const int64_t count = rows->rows();
  auto values =
      rows->values.empty() ? torch::Tensor() : shared_list(rows, rows->values, at::kFloat);
  auto input =
      Rows::sparse(shared_list(rows, rows->offsets, at::kLong),
                   shared_list(rows, rows->indices, at::kInt), std::move(values), layout.columns);
  input.seal();
  NamedRows named{{"input", std::move(input)}};
  if (layout.has_target && layout.classes) {
    auto classes = empty_in_huge_pages({count}, at::kLong);
    write_classes(rows->targets.data(), count, layout.signs, classes.mutable_data_ptr<int64_t>());
    rows->targets = {};
    named.emplace_back("target", std::move(classes));
  } else if (layout.has_target) {
    named.emplace_back("target", shared_list(rows, rows->targets, at::kFloat));
  }
  if (layout.has_weight) {
    if (rows->weights.empty()) rows->weights.append_copies(static_cast<size_t>(count), 1.0F);
    named.emplace_back("weight", shared_list(rows, rows->weights, at::kFloat));
  }
  return named;
}

SparseRoom::SparseRoom(Rows old, int64_t rows, int64_t entries, bool has_values) {
  if (old.is_sparse() && old.is_whole()) {
    tensors[0] = old.source();
    tensors[1] = old.indices();
    tensors[2] = old.values();
  }
  old = Rows();  // so that the tensors are shared with nobody
  tensors[0] = reuse_with_room(std::move(tensors[0]), rows + 1, at::kLong);
  tensors[1] = reuse_with_room(std::move(tensors[1]), entries, at::kInt);
  offsets = tensors[0].mutable_data_ptr<int64_t>();
  indices = tensors[1].mutable_data_ptr<int32_t>();
  if (has_values) {
    tensors[2] = reuse_with_room(std::move(tensors[2]), entries, at::kFloat);
    values = tensors[2].mutable_data_ptr<float>();
  } else {
    tensors[2].reset();
  }
}

Rows SparseRoom::finish(int64_t columns) {
  return Rows::sparse(std::move(tensors[0]), std::move(tensors[1]), std::move(tensors[2]), columns);
}

void fill_batch(std::span<const SparseRange> ranges, const SparseLayout& layout, Batch& out) {
  int64_t count = 0;
  int64_t entries = 0;
  bool has_values = false;
  for (const auto& range : ranges) {
    count += range.count;
    entries += entries_in(range);
    has_values = has_values || !range.rows->values.empty();
  }
  out.entries().resize(1 + static_cast<size_t>(layout.has_target + layout.has_weight));
  Rows& input = named_entry(out, 0, "input");
  SparseRoom room(std::exchange(input, Rows()), count, entries, has_values);
  copy_inputs(ranges, room);
  input = room.finish(layout.columns);
  if (layout.has_target) {
    const auto type = layout.classes ? at::kLong : at::kFloat;
    const auto& target = named_entry(out, 1, "target").allocate(count, {}, type);
    int64_t at = 0;
    for (const auto& [rows, first, size] : ranges) {
      const float* const from = rows->targets.data() + first;
      if (layout.classes) {
        write_classes(from, size, layout.signs, target.mutable_data_ptr<int64_t>() + at);
      } else {
        std::copy_n(from, size, target.mutable_data_ptr<float>() + at);
      }
      at += size;
    }
  }
  if (layout.has_weight) {
    auto& weight = named_entry(out, layout.has_target ? 2 : 1, "weight");
    copy_weights(ranges, weight.allocate(count, {}, at::kFloat).mutable_data_ptr<float>());
  }
}

}  // namespace levin
