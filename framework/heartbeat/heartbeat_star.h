#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/heartbeat/heartbeat_wire.h>
#include <levin/framework/launch/descriptor.h>

namespace levin {

/// A rank's failure, as all ranks learn it.
struct RankFailure {
  int64_t rank = 0;
  /// Names the rank: "rank 2 failed: ...".
  std::string message{};
  bool because_of_another_rank = false;
};

/// The connections of one rank, to all others on rank 0 and to rank 0 on the others, and what their
/// signs of life mean. It waits only in `join` and `wait`. `now`: files::monotonic_seconds().
class HeartbeatStar {
 public:
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  HeartbeatStar(int64_t rank, int64_t world_size, const HeartbeatOptions& options);

  /// Rank 0 opens its port and publishes it; the others connect. Throws DistributedError.
  void join(const HeartbeatMeeting& meeting);

  /// Waits for a message, for `wake` to become readable, or until there is something to do, at the
  /// latest until `end`.
  void wait(double now, const Descriptor& wake, double end);
  /// Reads what has come, beats, and judges the others. `now` was taken before: then a process that
  /// was stopped in between blames nobody for its own silence.
  void work(double now, const HeartbeatSigns& signs);

  /// This rank fails.
  void tell(RankFailure failure, double now);
  /// The first failure of any rank.
  const std::optional<RankFailure>& failure() const { return failure_; }

  /// Says goodbye. Nothing that comes later is a failure.
  void leave(double now);
  /// Whether the others have read that, or had long enough.
  bool has_left(double now) const;

 private:
  /// How a rank looked when it was last heard of.
  struct Pulse {
    bool is_waiting = false;
    double unchanged = 0;  // seconds
  };
  struct Peer {
    HeartbeatConnection connection;
    int64_t rank = -1;  // not known before its hello
    double heard_at = 0;
    Pulse pulse{};
    bool is_ready = true;     // there may be something to read
    bool has_failed = false;  // it said so itself
    bool has_left = false;

    bool is_known() const { return rank >= 0; }
  };

  double leaves_at() const;
  bool is_leaving() const { return leaving_since_ != kNever; }
  void accept_peers(double now);
  void read(Peer& peer, double now);
  void take(Peer& peer, const HeartbeatMessage& message, double now);
  void identify(Peer& peer, const HeartbeatMessage& hello, double now);
  void send_failure(Peer& peer) const;
  void beat(double now, const HeartbeatSigns& signs);
  void look_for_silence(double now);
  void look_for_stalls();
  /// Rank 0 keeps a failure that may have been caused by one still to come.
  void consider(RankFailure failure, int64_t told_by, double now);
  /// Tells all but `told_by`.
  void decide(RankFailure failure, int64_t told_by);

  const int64_t rank_;
  const HeartbeatOptions options_;
  HeartbeatAddress address_;
  Descriptor listener_;  // rank 0's, until all have joined
  bool can_accept_ = true;
  std::vector<Peer> peers_;
  std::vector<bool> has_joined_;
  double started_at_ = 0;
  double next_beat_at_ = 0;
  uint64_t steps_ = 0;
  double changed_at_ = 0;
  Pulse pulse_;  // this rank's own
  std::optional<RankFailure> failure_;
  std::optional<RankFailure> held_;
  double held_until_ = kNever;
  double leaving_since_ = kNever;
};

}  // namespace levin
