#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace levin {

struct HostSumOptions {
  int64_t rank = 0;
  int64_t world_size = 1;
  /// The most bytes that a rank gives in a round; each piece counts as HostSum::padded says.
  size_t bytes = 0;
  /// Seconds that a rank waits for the others.
  double timeout = 1800.0;
  /// Is asked now and then, while a rank waits, whether it should give up; null for never.
  std::function<bool()> is_aborted{};
};

/// Sums numbers over the ranks of one host in memory that they share, without messages or copies.
///
/// All ranks go through the same rounds, each of the same pieces:
///
///     std::byte* place = sum.place(bytes);   // for each piece; write the numbers there ...
///     sum.give(bytes, type);                 // ... and give them; waits for nobody
///     sum.sum();                             // returns when the sums of all pieces are there
///     sum.sums(piece);                       // may be read until the next round's first `give`
///
/// Within `sum`, every rank adds up its share of each piece as soon as all ranks have given that
/// piece. It adds in the order of the ranks, so all ranks see the same bits, however a round is cut
/// into pieces.
///
///     memory:  | signs of each rank | rank 0's part | rank 1's part | ... | sums |
///
/// A rank writes into its part again only after all ranks have summed it. It writes into the sums
/// only after all ranks have given the next piece, since they then no longer read the last sums.
/// The signs are counters that only grow, each written by one rank. A rank that waits for a counter
/// first looks at it for a while, and then sleeps until it changes (futex).
class HostSum {
 public:
  using Options = HostSumOptions;
  enum class Type { float32, float64 };

  /// The bytes that a piece of `bytes` takes in memory: whole cache lines.
  static size_t padded(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }
  /// The bytes of memory that `world_size` ranks need for rounds of at most `bytes`.
  static size_t memory_size(int64_t world_size, size_t bytes);

  /// `memory` is the same for all ranks, holds zeros, and is used for nothing else.
  HostSum(std::shared_ptr<std::byte> memory, HostSumOptions options);
  /// A rank that waits for this one from now on throws.
  ~HostSum();
  HostSum(const HostSum&) = delete;
  HostSum& operator=(const HostSum&) = delete;

  /// The place at which this rank has to write its numbers of the next piece; null if the memory is
  /// too small for it.
  std::byte* place(size_t bytes);
  /// Says that the next piece is in its place.
  void give(size_t bytes, Type type);
  /// Ends a round. Throws DistributedError if a rank is gone or too late, which it names, or if it
  /// is aborted; no other round is possible then.
  void sum();
  /// The sums of a piece, counted from 0 in the round.
  std::byte* sums(size_t piece) const { return sums_ + pieces_.at(piece).begin; }
  /// How many pieces this rank has given in this round.
  size_t pieces() const { return is_summed_ ? 0 : pieces_.size(); }

  const std::shared_ptr<std::byte>& memory() const { return memory_; }

 private:
  static constexpr size_t kLine = 64;  // bytes of a cache's line
  using Counter = std::atomic<uint32_t>;
  struct Signs;
  struct Piece {
    size_t begin = 0;
    size_t bytes = 0;  // whole lines
    Type type{};
  };

  Signs& signs(int64_t rank) const;
  void begin_round();
  void add(const Piece& piece);
  void advance(Counter& counter);
  void wait_for_all(Counter Signs::*counter, uint32_t count);
  void wait(int64_t other, Counter Signs::*counter, uint32_t count);
  void check(int64_t other, double since, bool has_left) const;

  std::shared_ptr<std::byte> memory_;
  HostSumOptions options_;
  double spin_ = 0.0;  // seconds
  std::vector<const std::byte*> parts_;
  std::byte* own_ = nullptr;
  std::byte* sums_ = nullptr;
  std::vector<Piece> pieces_;
  size_t end_ = 0;      // of the last piece
  uint32_t given_ = 0;  // by each rank, in earlier rounds
  bool is_summed_ = false;
};

}  // namespace levin
