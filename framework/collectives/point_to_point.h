#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Messages from one rank of a process group to another, as a pipeline sends them.
///
///     PointToPoint messages(group);
///     messages.send(outputs, rank + 1, tag);                       // returns at once
///     auto gradient = messages.receive(like, rank + 1, tag);       // so does this
///     ...
///     use(gradient.wait());
///
/// A message goes to the receive of the same tag; messages of one tag between two ranks arrive in
/// the order in which they were sent. Both sides give the same shape and type. A wait throws
/// DistributedError if the other rank is gone or too late, or if the group is aborted, which is how
/// the heartbeat ends it when some rank of the run has failed.
///
/// All calls come from one thread. With Gloo, sends and receives of one rank may come in any order.
/// With NCCL, they are carried out in the order of the calls.
class PointToPoint {
 public:
  /// A message that is on its way to this rank.
  class Receipt {
   public:
    Receipt() = default;
    /// Returns the tensor once it is there. To be called once.
    torch::Tensor wait();
    /// Whether there is a message to wait for.
    bool is_pending() const { return state_ != nullptr; }

   private:
    friend class PointToPoint;
    struct State;
    std::shared_ptr<State> state_;
  };

  /// What this rank has sent and how long it has waited, since this object was made.
  struct Figures {
    int64_t messages = 0;  ///< of `send`
    int64_t bytes = 0;     ///< sent in messages and broadcasts, without headers
    double waiting = 0.0;  ///< seconds in all calls but `send` and `receive`
  };

  /// `group` must live longer. `heartbeat`, which may be null and must live longer, too, is told
  /// when this rank waits for another one, so that it doesn't count as one that hangs.
  explicit PointToPoint(ProcessGroup& group, Heartbeat* heartbeat = nullptr);
  ~PointToPoint();
  PointToPoint(const PointToPoint&) = delete;
  PointToPoint& operator=(const PointToPoint&) = delete;

  ProcessGroup& group() { return group_; }
  /// Sets the numbers by which messages of errors name the ranks of the group, if it is a part of
  /// the ranks of a run. By default they are those in the group.
  void set_names(std::vector<int64_t> names) { names_ = std::move(names); }
  /// Begins to send `tensor` to the rank `to` of the group, another one than this. The tensor must
  /// not be changed until it has arrived; this object keeps it until then.
  void send(const torch::Tensor& tensor, int64_t to, int64_t tag);
  /// Begins to receive a message from the rank `from` of the group into `into`, a contiguous tensor
  /// that nobody else uses.
  Receipt receive(torch::Tensor into, int64_t from, int64_t tag);
  /// Returns when the oldest message of that tag to that rank has been taken by it, and frees the
  /// tensor. Returns at once if there is none.
  void wait_for_send(int64_t to, int64_t tag);
  /// How many messages haven't been waited for; their tensors are kept.
  int64_t kept() const;
  /// Returns when all that was sent has been taken by the other ranks.
  void wait_for_sends();
  /// Copies the tensor of the rank `root` into those of all other ranks. A collective.
  void broadcast(torch::Tensor tensor, int64_t root);

  const Figures& figures() const { return *figures_; }

 private:
  struct Sent;

  int64_t name_of(int64_t rank) const {
    return names_.empty() ? rank : names_[static_cast<size_t>(rank)];
  }

  ProcessGroup& group_;
  Heartbeat* heartbeat_;
  std::shared_ptr<Figures> figures_;
  std::vector<Sent> sent_;
  std::vector<int64_t> names_;
};

}  // namespace levin
