#include <levin/framework/collectives/host_sum.h>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <thread>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/relax.h>

namespace levin {
namespace {

constexpr size_t kPage = 4096;
constexpr double kSpin = 100e-6;    // longer than it takes to be woken up
constexpr long kLook = 20'000'000;  // nanoseconds between two checks for ranks that are gone

size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

/// Sleeps while `counter` has the value `seen`, but for at most kLook.
void sleep_on(std::atomic<uint32_t>& counter, uint32_t seen) {
  const timespec time{0, kLook};
  ::syscall(SYS_futex, reinterpret_cast<uint32_t*>(&counter), FUTEX_WAIT, seen, &time, nullptr, 0);
}

void wake_all(std::atomic<uint32_t>& counter) {
  constexpr int kEverybody = 1 << 30;
  ::syscall(SYS_futex, reinterpret_cast<uint32_t*>(&counter), FUTEX_WAKE, kEverybody, nullptr,
            nullptr, 0);
}

bool has_come(uint32_t value, uint32_t count) { return static_cast<int32_t>(value - count) >= 0; }

using Floats = float __attribute__((vector_size(16), may_alias));
using Doubles = double __attribute__((vector_size(16), may_alias));

/// Sums the bytes from `begin` to `end`, which are whole lines, over `parts`.
template <class Vector>
void add_parts(const std::vector<const std::byte*>& parts, std::byte* sums, size_t begin,
               size_t end) {
  for (size_t i = begin; i < end; i += 4 * sizeof(Vector)) {
    const auto* first = reinterpret_cast<const Vector*>(parts[0] + i);
    Vector a = first[0], b = first[1], c = first[2], d = first[3];
    for (size_t rank = 1; rank < parts.size(); ++rank) {
      const auto* other = reinterpret_cast<const Vector*>(parts[rank] + i);
      a += other[0];
      b += other[1];
      c += other[2];
      d += other[3];
    }
    auto* sum = reinterpret_cast<Vector*>(sums + i);
    sum[0] = a;
    sum[1] = b;
    sum[2] = c;
    sum[3] = d;
  }
}

}  // namespace

/// The counters that a rank shows the others, each on a cache line of its own.
struct HostSum::Signs {
  alignas(kLine) Counter given;     // pieces
  alignas(kLine) Counter summed;    // rounds
  alignas(kLine) Counter sleepers;  // ranks that may sleep on one of these
  alignas(kLine) Counter has_left;
};

size_t HostSum::memory_size(int64_t world_size, size_t bytes) {
  const auto ranks = static_cast<size_t>(world_size);
  return pages(ranks * sizeof(Signs)) + (ranks + 1) * pages(bytes);
}

HostSum::HostSum(std::shared_ptr<std::byte> memory, HostSumOptions options)
    : memory_(std::move(memory)), options_(std::move(options)) {
  static_assert(Counter::is_always_lock_free && sizeof(Counter) == sizeof(uint32_t));
  const auto ranks = static_cast<size_t>(options_.world_size);
  std::byte* part = memory_.get() + pages(ranks * sizeof(Signs));
  for (size_t rank = 0; rank < ranks; ++rank, part += pages(options_.bytes)) {
    parts_.push_back(part);
    if (static_cast<int64_t>(rank) == options_.rank) own_ = part;
  }
  sums_ = part;
  if (ranks <= std::thread::hardware_concurrency()) spin_ = kSpin;
}

HostSum::~HostSum() { signs(options_.rank).has_left.store(1); }

HostSum::Signs& HostSum::signs(int64_t rank) const {
  return reinterpret_cast<Signs*>(memory_.get())[rank];
}

void HostSum::begin_round() {
  if (!is_summed_) return;
  given_ += static_cast<uint32_t>(pieces_.size());
  pieces_.clear();
  end_ = 0;
  is_summed_ = false;
}

std::byte* HostSum::place(size_t bytes) {
  begin_round();
  return end_ + padded(bytes) <= options_.bytes ? own_ + end_ : nullptr;
}

void HostSum::give(size_t bytes, Type type) {
  begin_round();
  pieces_.push_back({end_, padded(bytes), type});
  end_ += padded(bytes);
  advance(signs(options_.rank).given);
}

void HostSum::sum() {
  begin_round();
  for (size_t i = 0; i < pieces_.size(); ++i) {
    wait_for_all(&Signs::given, given_ + static_cast<uint32_t>(i) + 1);
    add(pieces_[i]);
  }
  auto& summed = signs(options_.rank).summed;
  const uint32_t round = summed.load(std::memory_order_relaxed) + 1;
  advance(summed);
  wait_for_all(&Signs::summed, round);
  is_summed_ = true;
}

/// Adds up this rank's share of a piece. If the piece doesn't fill its last line, the bytes behind
/// it are added up, too, and never read.
void HostSum::add(const Piece& piece) {
  const size_t lines = piece.bytes / kLine;
  const auto ranks = static_cast<size_t>(options_.world_size);
  const auto rank = static_cast<size_t>(options_.rank);
  const size_t begin = piece.begin + lines * rank / ranks * kLine;
  const size_t end = piece.begin + lines * (rank + 1) / ranks * kLine;
  if (piece.type == Type::float32) {
    add_parts<Floats>(parts_, sums_, begin, end);
  } else {
    add_parts<Doubles>(parts_, sums_, begin, end);
  }
}

/// Increases a counter and wakes the ranks that sleep on it. This is sequentially consistent with
/// `wait`: either the waiting rank sees the new value, or this rank sees that the other one sleeps.
void HostSum::advance(Counter& counter) {
  counter.fetch_add(1);
  if (signs(options_.rank).sleepers.load() != 0) wake_all(counter);
}

void HostSum::wait_for_all(Counter Signs::*counter, uint32_t count) {
  for (int64_t other = 0; other < options_.world_size; ++other) {
    if (other != options_.rank) wait(other, counter, count);
  }
}

void HostSum::wait(int64_t other, Counter Signs::*counter, uint32_t count) {
  auto& theirs = signs(other);
  auto& word = theirs.*counter;
  const auto is_there = [&] { return has_come(word.load(std::memory_order_acquire), count); };
  if (is_there()) return;
  const double start = files::monotonic_seconds();
  while (files::monotonic_seconds() - start < spin_) {
    for (int i = 0; i < 16; ++i) {
      if (is_there()) return;
      relax();
    }
  }
  theirs.sleepers.fetch_add(1);
  try {
    while (true) {
      const bool has_left =
          theirs.has_left.load() != 0;  // read before `word`, which is final once a rank has left
      const uint32_t seen = word.load();
      if (has_come(seen, count)) break;
      check(other, start, has_left);
      sleep_on(word, seen);
    }
  } catch (...) {
    theirs.sleepers.fetch_sub(1);
    signs(options_.rank).has_left.store(1);
    throw;
  }
  theirs.sleepers.fetch_sub(1);
}

/// Throws if there is no point in waiting for `other` any longer.
void HostSum::check(int64_t other, double since, bool has_left) const {
  const double waited = files::monotonic_seconds() - since;
  std::string what;
  if (options_.is_aborted && options_.is_aborted()) {
    what = fmt::format("waiting for rank {}'s gradients was aborted", other);
  } else if (waited > options_.timeout) {
    what = fmt::format("no gradients of rank {} in {}", other, in_seconds(waited));
  } else if (has_left) {
    what = fmt::format("rank {} has left without its gradients", other);
  } else {
    return;
  }
  throw DistributedError(fmt::format("rank {}: {}; {}", options_.rank, what, kOtherRankHint));
}

}  // namespace levin
