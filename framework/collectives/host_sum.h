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
  /// The most that a rank gives in a round, as HostSum::padded counts it.
  size_t bytes = 0;
  /// Seconds a rank waits for the others.
  double timeout = 1800.0;
  /// Whether to stop waiting, asked now and then; null: never.
  std::function<bool()> is_aborted{};
};

/// Sums of numbers over the ranks of one host, by memory they share: no message, no copy.
///
/// All ranks go through the same rounds of the same pieces:
///
///     place(bytes), write there, give(...)   for each piece; waits for nobody
///     sum()                                  returns when the sums of all pieces are there
///     sums(piece)                            may be read until the next round's first `give`
///
/// Within `sum` every rank adds up its share of each piece, as soon as all have given it, in the
/// order of the ranks: all see the same bits, however a round is cut into pieces.
///
///     memory:  | signs of each rank | rank 0's part | rank 1's part | ... | sums |
///
/// A rank writes into its part again only when all have summed it, and into the sums only when all
/// have given the next piece, and so are done with the last. Signs are counters that only grow,
/// each written by one rank; who waits for one looks for a while, then sleeps on it (futex).
class HostSum {
 public:
  using Options = HostSumOptions;
  enum class Type { float32, float64 };

  /// What a piece of `bytes` takes.
  static size_t padded(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }
  /// Bytes of memory for such a sum.
  static size_t memory_size(int64_t world_size, size_t bytes);

  /// `memory`: zeros at first, the same for all ranks, and theirs alone.
  HostSum(std::shared_ptr<std::byte> memory, HostSumOptions options);
  /// Who waits for this rank from now on throws.
  ~HostSum();
  HostSum(const HostSum&) = delete;
  HostSum& operator=(const HostSum&) = delete;

  /// Where this rank's part of the next piece goes; null where the memory is too small for it.
  std::byte* place(size_t bytes);
  /// The next piece is in its place.
  void give(size_t bytes, Type type);
  /// Ends a round. Throws DistributedError naming a rank that is gone or too late, and where it is
  /// aborted; no other round is possible then.
  void sum();
  std::byte* sums(size_t piece) const { return sums_ + pieces_.at(piece).begin; }
  /// Pieces of this round so far.
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
