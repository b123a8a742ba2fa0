#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <c10/util/intrusive_ptr.h>

#include <levin/framework/tensor/tensor.h>

namespace c10d {
class ProcessGroup;
class Work;
}  // namespace c10d

namespace levin {

class ProcessGroup;

/// Gathers equally many bytes from all ranks, round after round, in the time that a message takes
/// from one rank to another.
///
///     StandingGather gather(group, bytes);                  // on every rank
///     gather.start(own);                                    // uint8, [bytes]
///     const auto all = gather.finish();                     // uint8, [world_size, bytes]
///
/// Gloo sends a message only when it has been told that the other rank waits for it, which costs
/// the time from there to here first. Here each rank says so a round ahead. Gloo's own all-gather
/// also passes messages on from rank to rank; here every rank sends to each other one, so a rank
/// sends (world_size - 1) times the bytes, as in a ring, but at once. That is for few ranks.
///
/// For tensors on the CPU. All calls come from one thread; they throw c10d's exceptions if another
/// rank is gone.
class StandingGather {
 public:
  /// Every rank makes its object, in the same order as the other ones of the group. `bytes` is at
  /// least 1.
  StandingGather(ProcessGroup& group, int64_t bytes);
  ~StandingGather();
  StandingGather(const StandingGather&) = delete;
  StandingGather& operator=(const StandingGather&) = delete;

  /// Begins a round: sends `own` to the other ranks.
  void start(const torch::Tensor& own);
  /// Waits for what the other ranks have sent in this round. The result is valid until the next
  /// `start`, from which on bytes of other rounds may overwrite it.
  torch::Tensor finish();

 private:
  using Works = std::vector<c10::intrusive_ptr<c10d::Work>>;
  struct Round {
    torch::Tensor all;  // [world_size, bytes]
    Works received;     // empty: nobody was told that this rank waits
  };

  void expect(Round& round);

  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  int tag_;
  std::array<Round, 2> rounds_;  // this one and the next, in turns
  size_t current_ = 0;
  Works sent_;
  torch::Tensor own_;
};

}  // namespace levin
