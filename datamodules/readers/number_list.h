#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace levin::readers {

/// A list of numbers that grows at its end, for lists that take a good part of the memory. Unlike
/// std::vector it needn't copy what it holds when it grows: a large block is moved to other
/// addresses page by page (mremap), so that the old and the new list are never in memory together,
/// and new room takes no memory before it is written. Move-only.
template <class T>
class NumberList {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  NumberList() = default;
  ~NumberList() { std::free(data_); }
  NumberList(NumberList&& other) noexcept { swap(other); }
  NumberList& operator=(NumberList&& other) noexcept {
    NumberList(std::move(other)).swap(*this);
    return *this;
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  const T& back() const { return data_[size_ - 1]; }
  std::span<const T> span() const { return {data_, size_}; }
  std::span<T> span() { return {data_, size_}; }

  /// Makes room for `count` numbers in all. Throws std::bad_alloc if there is no memory.
  void reserve(size_t count) {
    if (count > capacity_) reallocate(count);
  }
  void push_back(T value) {
    if (size_ == capacity_) grow(size_ + 1);
    data_[size_++] = value;
  }
  void append(std::span<const T> values) { append(values.data(), values.size()); }
  void append(const T* values, size_t count) {
    if (count == 0) return;
    std::memcpy(grow_by(count), values, count * sizeof(T));
  }
  /// Appends `count` times `value`.
  void append_copies(size_t count, T value) {
    T* const to = count == 0 ? nullptr : grow_by(count);
    for (size_t i = 0; i < count; ++i) to[i] = value;
  }
  /// Appends `count` numbers without setting them, and returns where the first one is.
  T* grow_by(size_t count) {
    if (capacity_ - size_ < count) grow(size_ + count);
    size_ += count;
    return data_ + size_ - count;
  }
  /// Takes away the numbers from `count` on; their room stays.
  void cut(size_t count) { size_ = count; }
  void clear() { size_ = 0; }
  /// Gives back the room that isn't used.
  void shrink() {
    if (size_ == 0) {
      NumberList().swap(*this);
    } else if (size_ < capacity_) {
      reallocate(size_);
    }
  }

 private:
  void swap(NumberList& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }
  void grow(size_t least) {
    const size_t more = capacity_ + capacity_ / 2;
    reallocate(least > more ? least : more);
  }
  void reallocate(size_t count) {
    if (count > static_cast<size_t>(-1) / 2 / sizeof(T)) throw std::bad_alloc();
    void* const moved = std::realloc(data_, count * sizeof(T));
    if (moved == nullptr) throw std::bad_alloc();
    data_ = static_cast<T*>(moved);
    capacity_ = count;
  }

  T* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace levin::readers
