#pragma once

// The rows of a pass: taken block by block, so that a block stays in the cache while it is used
// several times, and fetched ahead. Only implementation.h and tiles.h include this file.
#include <cstdint>

#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/kernels/cpu/layout.h>

namespace levin::kernels {
namespace {

constexpr int64_t kCacheLine = 64;
constexpr int64_t kMostRows = 256;  // of a block

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

inline bool has_bytes(const RowView& rows) { return rows.type == RowView::Type::scaled_bytes; }

// The rows of a view as they lie in memory, which takes `bytes` for each.
struct RowsInMemory {
  const RowView& view;
  int64_t bytes;

  explicit RowsInMemory(const RowView& rows)
      : view(rows), bytes(rows.row_size * (has_bytes(rows) ? 1 : 4)) {}
  const char* row(int64_t index) const {
    return at(view.numbers != nullptr ? view.numbers[index] : index);
  }
  // The same if the rows of the next pass follow on those of the view.
  const char* this_or_next(int64_t index) const {
    return index < view.count ? row(index) : at(view.next_numbers[index - view.count]);
  }

 private:
  const char* at(int64_t place) const {
    return static_cast<const char*>(view.data) + place * bytes;
  }
};

// Fetches rows into the second-level cache while the loops that call it compute; fetched all at
// once, they would have to be waited for. It goes through several rows side by side: each is a
// stream of its own, which the processor's prefetcher notices and runs ahead of, whereas a single
// one has to be waited for at the beginning of each row.
class Ahead {
 public:
  explicit Ahead(const RowsInMemory& rows) : rows_(rows) {}
  // Allows the rows before row `end` of the view, on which those of the next pass follow.
  void allow(int64_t end) {
    end_ = end;
    if (count_ == 0) take_rows();
  }
  // To be called in each turn of an inner loop. Fetches a cache line a call on average.
  __attribute__((always_inline)) void fetch_line() {
    if (--calls_ > 0) [[likely]]
      return;
    calls_ = kLinesAtOnce;
    fetch_lines();
  }
  // Fetches four cache lines.
  __attribute__((always_inline)) void fetch_lines() {
    if (count_ == 0) return;
#pragma GCC unroll 4
    for (int64_t i = 0; i < kLinesAtOnce; ++i) __builtin_prefetch(places_[next_ + i] + at_, 0, 2);
    next_ += kLinesAtOnce;
    if (next_ < count_) return;
    next_ = 0;
    at_ += kCacheLine;
    if (at_ >= rows_.bytes) take_rows();
  }
  void fetch_all() {
    while (count_ > 0) fetch_lines();
  }

 private:
  static constexpr int64_t kLinesAtOnce = 4;

  // Goes on to the next rows that are allowed, if there are any. Places without a row repeat the
  // last one.
  __attribute__((noinline)) void take_rows() {
    const int64_t left = end_ - row_;
    count_ = left < kRowsFetchedAtOnce ? left : kRowsFetchedAtOnce;
    for (int64_t i = 0; i < kRowsFetchedAtOnce && count_ > 0; ++i) {
      places_[i] = rows_.this_or_next(row_ + (i < count_ ? i : count_ - 1));
    }
    row_ += count_;
    at_ = 0;
  }

  const RowsInMemory& rows_;
  int64_t row_ = 0;  // the first one that hasn't been taken
  int64_t end_ = 0;
  int64_t count_ = 0;  // how many rows are fetched side by side at the moment
  const char* places_[kRowsFetchedAtOnce];
  int64_t next_ = 0;  // of the places, whose line is fetched next
  int64_t at_ = 0;    // how far in the rows, in bytes
  int64_t calls_ = kLinesAtOnce;
};

// Hands out parts of the scratch memory, each of whole cache lines.
class Scratch {
 public:
  explicit Scratch(float* memory) {
    const auto address = reinterpret_cast<uintptr_t>(memory);
    next_ = memory + (kCacheLine - address % kCacheLine) % kCacheLine / sizeof(float);
  }
  float* take(int64_t floats) {
    float* taken = next_;
    next_ += padded(floats);
    return taken;
  }
  float* take_filled(int64_t floats, float value) {
    float* taken = take(floats);
    for (int64_t i = 0; i < floats; ++i) taken[i] = value;
    return taken;
  }

 private:
  float* next_;
};

// How many rows blocks have: all of a pass the same number, a multiple of `unit` and at most
// `most`, but for the last block. While a block is worked on, the rows of the next one are fetched,
// and those of the next pass during the last one.
struct BlockSizes {
  int64_t unit;
  int64_t most;  // at most kMostRows, and a multiple of `unit`

  int64_t rows_a_block(int64_t rows) const {
    const int64_t blocks = (rows + most - 1) / most;
    return blocks == 0 ? 0 : ((rows + blocks - 1) / blocks + unit - 1) / unit * unit;
  }
};

// Calls `work(rows, first, count, ahead)` for each block of the view: `count` rows, the first of
// which is row `first`, each of `width` values of type Value. If the rows of the view are narrower,
// they are copies, which zeros fill up, in `room` for sizes.most rows of floats.
template <class Value, class Work>
inline void for_blocks(const RowView& view, BlockSizes sizes, int64_t width, float* room,
                       const Work& work) {
  const RowsInMemory rows(view);
  Ahead ahead(rows);
  const int64_t size = sizes.rows_a_block(view.count);
  ahead.allow(smaller(view.count, size));
  ahead.fetch_all();
  const int64_t of_next = smaller(view.next_count, sizes.rows_a_block(view.next_count));
  const Value* block[kMostRows];
  for (int64_t first = 0, count; first < view.count; first += count) {
    count = smaller(view.count - first, size);
    const int64_t end = first + count;
    ahead.allow(end < view.count ? smaller(view.count, end + size) : end + of_next);
    for (int64_t r = 0; r < count; ++r) {
      block[r] = reinterpret_cast<const Value*>(rows.row(first + r));
      if (width == view.row_size) continue;
      auto* copy = reinterpret_cast<Value*>(room + r * width);
      for (int64_t i = 0; i < view.row_size; ++i) copy[i] = block[r][i];
      for (int64_t i = view.row_size; i < width; ++i) copy[i] = 0;
      block[r] = copy;
    }
    work(static_cast<const Value* const*>(block), first, count, ahead);
    ahead.fetch_all();
  }
}

// Calls `work.template operator()<Value>()` with the type of the values as they lie in memory.
template <class Work>
inline void with_values_of(const RowView& view, const Work& work) {
  if (has_bytes(view)) {
    work.template operator()<uint8_t>();
  } else {
    work.template operator()<float>();
  }
}

}  // namespace
}  // namespace levin::kernels
