#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace levin {

/// What a rank that waited in vain for another one says to do.
inline constexpr const char* kOtherRankHint =
    "another rank has failed or is late; look for its message";

/// Options of HostSum.
struct HostSumOptions {
  /// The number of this rank, and how many ranks share the memory.
  int64_t rank = 0;
  int64_t world_size = 1;
  /// The most bytes that a rank gives in a round; each piece counts with HostSum::padded of its
  /// bytes. The same on all ranks.
  size_t bytes = 0;
  /// Seconds for which a rank waits for each other rank before it throws.
  double timeout = 1800.0;
  /// Called from time to time while a rank waits; if it returns true, the wait ends with an
  /// exception. Null: waits are never aborted.
  std::function<bool()> is_aborted{};
};

/// Sums numbers over the ranks of one host in memory that they share, without messages or copies.
///
/// All ranks go through the same rounds, each of the same pieces:
///
///     std::byte* place = sum.place(bytes);   // for each piece: write the numbers there,
///     sum.give(bytes, type);                 // then give them; this waits for nobody
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
/// first polls it for a short time, if there are enough cores, and then sleeps until it changes
/// (futex).
///
/// An object belongs to one thread of its process. ProcessGroup::host_sum makes one on each rank.
class HostSum {
 public:
  using Options = HostSumOptions;
  enum class Type { float32, float64 };

  /// The bytes that a piece of `bytes` takes in memory: whole cache lines of 64 bytes.
  static size_t padded(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }
  /// The bytes of memory that `world_size` ranks need for rounds of at most `bytes`.
  static size_t memory_size(int64_t world_size, size_t bytes);

  /// `memory` has `memory_size` bytes, is the same for all ranks, holds zeros at first, and is used
  /// for nothing else. This object holds on to it.
  HostSum(std::shared_ptr<std::byte> memory, HostSumOptions options);
  /// A rank that waits for this one after this throws DistributedError.
  ~HostSum();
  HostSum(const HostSum&) = delete;
  HostSum& operator=(const HostSum&) = delete;

  /// Returns the place to which this rank has to write its numbers of the next piece; null if the
  /// memory is too small for the piece, which then has to be summed in another way on all ranks.
  std::byte* place(size_t bytes);
  /// Says that the next piece is in its place. Wakes ranks that wait for it; waits for nobody.
  void give(size_t bytes, Type type);
  /// Ends a round: returns when the sums of all its pieces are there. Throws DistributedError,
  /// which names the other rank, if that rank is gone or too late or if the wait is aborted; no
  /// other round is possible then.
  void sum();
  /// The sums of a piece, which is counted from 0 in the round; valid after `sum`.
  std::byte* sums(size_t piece) const { return sums_ + pieces_.at(piece).begin; }
  /// How many pieces this rank has given in the present round; 0 after `sum`.
  size_t pieces() const { return is_summed_ ? 0 : pieces_.size(); }

  /// The memory, for tensors that refer to the sums and keep it alive.
  const std::shared_ptr<std::byte>& memory() const { return memory_; }

 private:
  static constexpr size_t kLine = 64;  // bytes of a cache line
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
  uint32_t given_ = 0;  // pieces of each rank in earlier rounds
  bool is_summed_ = false;
};

}  // namespace levin
