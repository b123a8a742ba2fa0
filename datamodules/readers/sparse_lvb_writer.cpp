#include <levin/datamodules/readers/sparse_lvb_writer.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/sparse_lvb.h>

namespace levin::readers {
namespace {

/// What waits in the memory of a list's file at most.
constexpr size_t kWrittenAtOnce = size_t{64} << 10;
constexpr size_t kCopiedAtOnce = size_t{1} << 20;

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class T>
std::span<const T> some_of(const NumberList<T>& list, int64_t first, int64_t count) {
  if (list.empty()) return {};
  return list.span().subspan(static_cast<size_t>(first), static_cast<size_t>(count));
}

void replace_signs(std::span<std::byte> targets) {
  for (size_t at = 0; at < targets.size(); at += sizeof(float)) {
    float target = 0.0F;
    std::memcpy(&target, targets.data() + at, sizeof(float));
    if (target != -1.0F) continue;
    target = 0.0F;
    std::memcpy(targets.data() + at, &target, sizeof(float));
  }
}

}  // namespace

SparseLvbWriter::SparseLvbWriter(std::filesystem::path path) : path_(std::move(path)) {
  const std::pair<List*, const char*> lists[] = {{&offsets_, ".offsets"}, {&targets_, ".targets"},
                                                 {&weights_, ".weights"}, {&qids_, ".qids"},
                                                 {&indices_, ".indices"}, {&values_, ".values"}};
  for (const auto& [list, ending] : lists) {
    list->path = path_;
    list->path += ending;
  }
  constexpr int64_t kFirst[] = {0};
  add(offsets_, std::span<const int64_t>(kFirst));
}

template <class T>
void SparseLvbWriter::add(List& list, std::span<const T> numbers) {
  if (numbers.empty()) return;
  if (!list.file.is_open()) list.file = files::AppendFile(list.path, 0);
  const auto bytes = std::as_bytes(numbers);
  for (size_t done = 0; done < bytes.size(); done += kWrittenAtOnce) {
    list.file.append(text_of(bytes.subspan(done, std::min(kWrittenAtOnce, bytes.size() - done))));
  }
  list.bytes += bytes.size();
}

/// Adds numbers to a list that leaves them out as long as all are 1. `before` is the length that it
/// has, or would have.
void SparseLvbWriter::add_or_ones(List& list, int64_t before, std::span<const float> numbers,
                                  int64_t count) {
  if (numbers.empty() && list.bytes == 0) return;
  const std::vector<float> ones(kWrittenAtOnce / sizeof(float), 1.0F);
  const auto add_ones = [&](int64_t missing) {
    while (missing > 0) {
      const auto some = std::min<size_t>(ones.size(), static_cast<size_t>(missing));
      add(list, std::span(ones).first(some));
      missing -= static_cast<int64_t>(some);
    }
  };
  if (list.bytes == 0) add_ones(before);
  numbers.empty() ? add_ones(count) : add(list, numbers);
}

void SparseLvbWriter::append(const SparseRows& rows, int64_t first, int64_t count) {
  const int64_t begin = rows.offsets[static_cast<size_t>(first)];
  const int64_t entries = rows.offsets[static_cast<size_t>(first + count)] - begin;
  std::vector<int64_t> ends(static_cast<size_t>(count));
  const auto own_ends = some_of(rows.offsets, first + 1, count);
  std::transform(own_ends.begin(), own_ends.end(), ends.begin(),
                 [shift = entries_ - begin](int64_t end) { return end + shift; });
  add(offsets_, std::span<const int64_t>(ends));
  add(targets_, some_of(rows.targets, first, count));
  add(qids_, some_of(rows.qids, first, count));
  add_or_ones(weights_, rows_, some_of(rows.weights, first, count), count);
  add(indices_, some_of(rows.indices, begin, entries));
  add_or_ones(values_, entries_, some_of(rows.values, begin, entries), entries);
  rows_ += count;
  entries_ += entries;
}

int64_t SparseLvbWriter::rows_within(uint64_t most_bytes, const SparseRows& rows,
                                     int64_t first) const {
  const uint64_t row_bytes = sizeof(int64_t) + (rows.targets.empty() ? 0 : sizeof(float)) +
                             (rows.weights.empty() ? 0 : sizeof(float)) +
                             (rows.qids.empty() ? 0 : sizeof(int64_t));
  const uint64_t entry_bytes = sizeof(int32_t) + (rows.values.empty() ? 0 : sizeof(float));
  uint64_t bytes = 0;
  for (const auto* list : {&offsets_, &targets_, &weights_, &qids_, &indices_, &values_}) {
    bytes += list->bytes;
  }
  int64_t row = first;
  for (; row < rows.rows(); ++row) {
    const auto at = static_cast<size_t>(row);
    bytes +=
        row_bytes + entry_bytes * static_cast<uint64_t>(rows.offsets[at + 1] - rows.offsets[at]);
    if (bytes > most_bytes && (rows_ > 0 || row > first)) break;
  }
  return row - first;
}

void SparseLvbWriter::close() {
  for (auto* list : {&offsets_, &targets_, &weights_, &qids_, &indices_, &values_}) {
    if (list->file.is_open()) list->file.close();
  }
}

/// Copies a list to the end of the shard, behind zeros up to a multiple of 64 bytes.
void SparseLvbWriter::copy(List& list, bool has_signs, const Ending& ending,
                           files::AppendFile& to) {
  if (list.bytes == 0) return;
  to.append(std::string((64 - static_cast<size_t>(to.offset()) % 64) % 64, '\0'));
  const FileSource from(list.path);
  Bytes some;
  for (uint64_t done = 0; done < list.bytes; done += some.size()) {
    if (ending.while_writing) ending.while_writing();
    some.resize(std::min<uint64_t>(kCopiedAtOnce, list.bytes - done));
    from.read(done, some);
    if (has_signs) replace_signs(some);
    to.append(text_of(some));
  }
  files::remove_file(list.path);
}

uint64_t SparseLvbWriter::finish(const Ending& ending) {
  close();
  auto part = path_;
  part += ".part";
  files::AppendFile to(part, 0);
  to.append(text_of(sparse_lvb_header({.rows = rows_,
                                       .entries = entries_,
                                       .columns = ending.columns,
                                       .has_targets = targets_.bytes > 0,
                                       .has_weights = weights_.bytes > 0,
                                       .has_qids = qids_.bytes > 0,
                                       .has_values = values_.bytes > 0})));
  copy(offsets_, false, ending, to);
  copy(targets_, ending.has_signs, ending, to);
  for (auto* list : {&weights_, &qids_, &indices_, &values_}) copy(*list, false, ending, to);
  const auto size = static_cast<uint64_t>(to.offset());
  to.close();
  files::move_into_place(part, path_);
  return size;
}

}  // namespace levin::readers
