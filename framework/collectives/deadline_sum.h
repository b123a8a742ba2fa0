#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <levin/framework/collectives/process_group.h>

namespace levin {

/// Options of DeadlineSum.
struct DeadlineSumOptions {
  /// Seconds for which a sum waits for ranks after the first one of them has given its part.
  double seconds = 1.0;
  /// The number of rounds at the beginning that wait for all ranks.
  int64_t warmup_rounds = 0;
  /// The most rounds that are summed without a rank until the others wait for it.
  int64_t max_rounds_behind = 20;
  /// The length of the part of a rank, and its type: float32 or float64.
  int64_t size = 0;
  at::ScalarType type = at::kDouble;
  /// How many flags travel with it.
  int64_t flags = 0;
  /// Names the sums among those of the group; the same on all ranks, and new for each object.
  std::string name = "sums";
};

/// Sums tensors over ranks, round by round, without waiting for ranks that are late.
///
///     DeadlineSum sums(group, {.seconds = 0.5, .size = 1000});      // on every rank
///     while (...) {
///       if (!sums.is_behind()) part = compute();                   // slow on some rank
///       if (sums.begin()) {                                        // otherwise it is late
///         auto message = sums.message();
///         message.body.copy_(part);
///         sums.send(message, {}, /*starts_clock=*/true);
///       }
///       const auto sum = sums.take();                              // the same on all ranks
///     }
///
/// A thread of this class takes part in one all-reduce for each round. If the part of its rank
/// isn't there `seconds` after the first rank has sent its own, the thread sends zeros. So a part
/// is in a sum wholly or not at all, ranks needn't agree on who is late, and no collective runs
/// into a timeout. Each rank gets all sums, in their order: one that was late finds those of the
/// rounds that it has missed, and takes them without a part of its own.
///
/// That the first part was sent is written to the group's store, if the sum isn't there after a
/// tenth of `seconds`. A thread that has no part yet looks there ten times in `seconds`, but at
/// most every 5 ms and at least every 0.1 s, so a deadline is that exact.
///
/// All calls come from one thread.
class DeadlineSum {
 public:
  /// What a rank sends in a round. `body`, [size], is its part, which the caller writes.
  struct Message {
    torch::Tensor all;
    torch::Tensor body;
  };
  /// What the thread has sent in a round.
  enum class Sent { nothing, offered, part };
  struct Sum {
    torch::Tensor body;         ///< [size], the sum of the parts
    std::vector<double> flags;  ///< the sums of the flags, also of ranks that were late
    std::vector<bool> in_time;  ///< of each rank, whether its own part is in the sum
    Sent sent = Sent::nothing;  ///< by this rank
  };

  /// `group` must live longer, and nobody else may use its all-reduce. The thread starts with the
  /// first call of `start`.
  DeadlineSum(ProcessGroup& group, DeadlineSumOptions options);
  /// Ends the thread. Sums that other ranks wait for then fail.
  ~DeadlineSum();
  DeadlineSum(const DeadlineSum&) = delete;
  DeadlineSum& operator=(const DeadlineSum&) = delete;

  /// Starts the thread, if it hasn't started. From now on this rank may be late.
  void start();
  /// Lets the others wait for this rank until the next `start` or `begin`, for work beside the
  /// rounds that all ranks do at the same time.
  void rest();
  /// Whether the present round, the one whose sum `take` returns next, was sent without this rank's
  /// part.
  bool is_behind() const;
  /// Returns a message whose body isn't initialised.
  Message message() const;
  /// Says that the part of the present round follows. Returns false if it comes too late. After
  /// true, `send` has to follow.
  bool begin();
  /// Sends a part with `flags`, as many as the options say. `starts_clock`: whether the others'
  /// time runs from now on; it shouldn't for a rank that has nothing to add.
  void send(const Message& message, const std::vector<double>& flags, bool starts_clock);
  /// Lets the thread send `message` instead of zeros, if this rank's part of the present round is
  /// late. Does nothing if the round was sent.
  void offer(const Message& message);
  /// Lets the thread send those of `flags` that are set, 1 each, with what it sends in place of
  /// late parts, until a sum has told all ranks of them or `send` is called.
  void raise(const std::vector<double>& flags);
  /// Waits for the sum of the present round and returns it. Throws DistributedError if another rank
  /// is gone.
  Sum take();

  /// The bytes that this rank has sent, as in a ring all-reduce.
  int64_t bytes() const;

 private:
  struct Outgoing {
    torch::Tensor message;
    Sent sent = Sent::nothing;
    bool starts_clock = false;
  };
  void run() noexcept;
  void run_rounds();
  std::optional<Outgoing> wait_for_part(int64_t round);
  bool all_reduce(int64_t round, const Outgoing& out);
  std::string key_of(int64_t round) const;
  void publish(const Outgoing& out);
  torch::Tensor substitute();

  ProcessGroup& group_;
  const DeadlineSumOptions options_;
  int64_t head_ = 0;    // the numbers in front of a part: who was in time, and the flags
  double pause_ = 0.0;  // seconds between two looks into the store
  int64_t taken_ = 0;   // rounds

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stops_ = false;
  bool rests_ = false;
  bool is_reserved_ = false;   // `begin` has returned true
  bool is_under_way_ = false;  // a sum
  bool is_done_ = false;
  int64_t sent_ = 0;  // rounds
  int64_t bytes_ = 0;
  std::optional<Outgoing> part_;
  std::optional<Outgoing> offered_;
  std::vector<double> raised_;
  std::deque<Sum> sums_;  // that weren't taken
  std::exception_ptr error_;
  std::optional<int64_t> announced_;  // the last round that the thread has announced
  std::thread thread_;
};

}  // namespace levin
