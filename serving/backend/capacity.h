#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace levin {

/// Returns how many rows fit into `memory` bytes if each takes `bytes_per_row`: 26,573 images of
/// 602,112 bytes (3 x 224 x 224 float32) into 16 GB. 0 if either number isn't positive.
constexpr int64_t rows_that_fit(int64_t memory, int64_t bytes_per_row) {
  return memory > 0 && bytes_per_row > 0 ? memory / bytes_per_row : 0;
}

class MemoryBudget;

/// Bytes that are taken from a MemoryBudget, and given back when the object is destroyed.
class HeldMemory {
 public:
  HeldMemory() = default;
  HeldMemory(HeldMemory&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
  HeldMemory& operator=(HeldMemory&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~HeldMemory();

  /// Whether the budget had enough.
  explicit operator bool() const { return budget_ != nullptr; }

 private:
  friend class MemoryBudget;
  HeldMemory(MemoryBudget& budget, int64_t bytes) : budget_(&budget), bytes_(bytes) {}

  MemoryBudget* budget_ = nullptr;
  int64_t bytes_ = 0;
};

/// The bytes that the inputs of all requests of a process may hold together, from their arrival to
/// their answer. Any number of queues and threads may use it; it must outlive what it has lent.
///
///     MemoryBudget budget(int64_t{16} << 30);
///     HeldMemory held = budget.take(request_bytes);
///     if (!held) refuse();
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t limit) : limit_(limit) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  /// Takes `bytes`, or nothing if fewer are left.
  HeldMemory take(int64_t bytes) {
    int64_t held = held_.load(std::memory_order_relaxed);
    do {
      if (bytes > limit_ - held) return {};
    } while (!held_.compare_exchange_weak(held, held + bytes, std::memory_order_relaxed));
    return {*this, bytes};
  }
  int64_t limit() const { return limit_; }
  int64_t held() const { return held_.load(std::memory_order_relaxed); }

 private:
  friend class HeldMemory;
  const int64_t limit_;
  std::atomic<int64_t> held_{0};
};

inline HeldMemory::~HeldMemory() {
  if (budget_ != nullptr) budget_->held_.fetch_sub(bytes_, std::memory_order_relaxed);
}

}  // namespace levin
