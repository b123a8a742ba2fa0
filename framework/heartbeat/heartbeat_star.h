#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/heartbeat/heartbeat_wire.h>
#include <levin/framework/launch/descriptor.h>

namespace levin {

/// The failure of a rank, as it is passed on to all ranks.
struct RankFailure {
  /// The rank that failed.
  int64_t rank = 0;
  /// The whole sentence, which names the rank: "rank 2 failed: ...".
  std::string message{};
  /// True if another rank's failure is the probable cause.
  bool because_of_another_rank = false;
};

/// The connections of one rank's heartbeat, and the rules by which it decides that a rank has
/// failed. Rank 0 is connected to all other ranks; every other rank is connected to rank 0 only.
///
///     star.join(meeting);
///     for (double now = files::monotonic_seconds(); !star.has_left(now);) {
///       star.wait(now, wake, HeartbeatStar::kNever);
///       now = files::monotonic_seconds();
///       star.work(now, signs);
///       if (star.failure()) ...                       // a rank has failed
///     }
///
/// It runs on one thread, in such a loop of `wait` and `work` until `has_left`, and then `close`.
/// Only `join` and `wait` block. The argument `now` is always a value of
/// files::monotonic_seconds().
class HeartbeatStar {
 public:
  /// A time that never comes.
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  /// Opens nothing yet. `options` must be valid.
  HeartbeatStar(int64_t rank, int64_t world_size, const HeartbeatOptions& options);

  /// Opens a port and publishes its address on rank 0; connects to that address on the others.
  /// Throws DistributedError if the port can't be opened or rank 0 can't be reached.
  void join(const HeartbeatMeeting& meeting);

  /// Waits until a message arrives, `wake` becomes readable, the next beat is due, or `end` has
  /// come.
  void wait(double now, const Descriptor& wake, double end);
  /// Reads the messages that have arrived, sends this rank's beat if it is due, and looks for
  /// failed ranks. `now` must have been read before the call: if this process was stopped in the
  /// meantime, it would otherwise count its own pause as the other ranks' silence.
  void work(double now, const HeartbeatSigns& signs);

  /// Reports the failure of this rank to the others. Rank 0 holds one that another rank caused back
  /// for 0.3 s, in case the cause is reported in that time.
  void tell(RankFailure failure, double now);
  /// Returns the notice for the user that has come up since the last call, on rank 0; empty if none
  /// has.
  std::string take_notice() { return std::exchange(notice_, {}); }
  /// The first failure of any rank that became known, this rank included.
  const std::optional<RankFailure>& failure() const { return failure_; }

  /// Tells the others that this rank leaves in an orderly way. Nothing that happens afterwards
  /// counts as a failure. Go on with `wait` and `work` until `has_left`.
  void leave(double now);
  /// Returns whether the others have read that message or have had enough time to read it: half a
  /// second, or a second on rank 0 if some ranks haven't joined yet and none has failed.
  bool has_left(double now) const;
  /// Closes all sockets; to be called when `has_left` is true. A rank that still wants to join then
  /// finds out at once that rank 0 has gone.
  void close();

 private:
  /// What a rank's last beat said about its main thread.
  struct Pulse {
    bool is_waiting = false;
    double unchanged = 0;  // seconds without progress
  };
  /// The rank at the other end of a connection.
  struct Peer {
    HeartbeatConnection connection;
    int64_t rank = -1;  // unknown until its hello has arrived
    double heard_at = 0;
    Pulse pulse{};
    bool is_ready = true;     // `wait` found something to read
    bool has_failed = false;  // it has reported its own failure
    bool has_left = false;

    /// Whether its hello has arrived, so that it is certain which rank it is.
    bool is_known() const { return rank >= 0; }
  };

  /// When `has_left` becomes true even if some ranks haven't read the goodbye.
  double leaves_at() const;
  /// Whether `leave` has been called.
  bool is_leaving() const { return leaving_since_ != kNever; }
  /// Accepts new connections, whose ranks are unknown until their hello arrives.
  void accept_peers(double now);
  /// Reads the messages of a peer. A connection that ended without goodbye is a failure.
  void read(Peer& peer, double now);
  /// Acts on one message.
  void take(Peer& peer, const HeartbeatMessage& message, double now);
  /// Accepts a new connection as that of a rank, or closes it if its hello isn't valid.
  void identify(Peer& peer, const HeartbeatMessage& hello, double now);
  /// Sends the failure that was decided on to one peer.
  void send_failure(Peer& peer) const;
  /// Sends this rank's beat to all peers if it is due.
  void beat(double now, const HeartbeatSigns& signs);
  /// Looks for peers that have sent nothing for `timeout_seconds`.
  void look_for_silence(double now);
  /// Returns a rank without progress for `longest` seconds that isn't waiting while another one is,
  /// among several the one that has been stuck longest; nothing if there is none.
  std::optional<int64_t> find_stalled(double longest) const;
  /// Decides on a rank that has been stuck for `stall_seconds`, and gives notice of one that has
  /// been for `notice_seconds`. Runs on rank 0 only.
  void look_for_stalls();
  /// Passes a failure to `decide`. Rank 0 first waits a moment if the failure's cause may still
  /// arrive.
  void consider(RankFailure failure, int64_t told_by, double now);
  /// Settles on this failure as the first one and sends it to all ranks except `told_by`.
  void decide(RankFailure failure, int64_t told_by);

  const int64_t rank_;
  const HeartbeatOptions options_;
  /// Where rank 0 listens, and the token that a hello must have.
  HeartbeatAddress address_;
  Descriptor listener_;     // open on rank 0 until all ranks have joined
  bool can_accept_ = true;  // false after an error, until the next beat
  std::vector<Peer> peers_;
  std::vector<bool> has_joined_;  // for each rank; all true on ranks other than 0
  double started_at_ = 0;
  double next_beat_at_ = 0;
  uint64_t steps_ = 0;     // HeartbeatSigns::steps at the last beat
  double changed_at_ = 0;  // when it last changed
  Pulse pulse_;            // of this rank itself
  std::string notice_;
  std::optional<int64_t> noticed_;  // the rank that the last notice names, while it is stuck
  std::optional<RankFailure> failure_;
  std::optional<RankFailure> held_;  // passed on at held_until_ unless its cause arrives first
  double held_until_ = kNever;
  double leaving_since_ = kNever;
};

}  // namespace levin
