#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace levin {

/// Says which workers may read, by how many gradients each has pushed (its clock). A worker may be
/// at most `staleness` pushes ahead of the slowest one: with 0, all work in step (BSP); with s, a
/// worker that has pushed c gradients reads values with at least c - s of each other one (SSP, Ho
/// et al., "More Effective Distributed ML via a Stale Synchronous Parallel Parameter Server",
/// 2013); with kUnbounded, nobody waits (ASP). Workers that have left hold up nobody.
class ServerClock {
 public:
  static constexpr int64_t kUnbounded = -1;

  ServerClock(int64_t workers, int64_t staleness)
      : staleness_(staleness), clocks_(static_cast<size_t>(workers)) {}

  void advance(int64_t worker) {
    if (!has_left(worker)) ++clocks_[static_cast<size_t>(worker)];
  }
  void leave(int64_t worker) { clocks_[static_cast<size_t>(worker)] = kLeft; }
  bool has_left(int64_t worker) const { return clocks_[static_cast<size_t>(worker)] == kLeft; }
  bool all_have_left() const { return slowest() == kLeft; }
  int64_t clock(int64_t worker) const { return clocks_[static_cast<size_t>(worker)]; }
  int64_t slowest() const { return *std::min_element(clocks_.begin(), clocks_.end()); }
  bool may_read(int64_t worker) const {
    return staleness_ == kUnbounded || clock(worker) - slowest() <= staleness_;
  }

 private:
  static constexpr int64_t kLeft = INT64_MAX;
  int64_t staleness_;
  std::vector<int64_t> clocks_;
};

}  // namespace levin
