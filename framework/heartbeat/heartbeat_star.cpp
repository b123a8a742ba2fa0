#include <levin/framework/heartbeat/heartbeat_star.h>

#include <poll.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/files.h>
#include <levin/framework/launch/failure_report.h>
#include <levin/framework/launch/run_secret.h>

namespace levin {
namespace {

using Kind = HeartbeatMessage::Kind;

/// Seconds that a leaving rank waits for its goodbye to be read.
constexpr double kFarewell = 0.5;
/// Seconds that a leaving rank 0 waits for ranks that haven't joined yet.
constexpr double kLateJoin = 1.0;
constexpr int64_t kNobody = -1;

RankFailure silence_of(int64_t rank, double seconds) {
  return {.rank = rank,
          .message = fmt::format("rank {} has sent no heartbeat for {:g} s", rank, seconds)};
}

}  // namespace

HeartbeatStar::HeartbeatStar(int64_t rank, int64_t world_size, const HeartbeatOptions& options)
    : rank_(rank), options_(options), has_joined_(static_cast<size_t>(world_size), rank != 0) {
  has_joined_[0] = true;
}

void HeartbeatStar::join(const HeartbeatMeeting& meeting) {
  if (rank_ == 0) {
    listener_ = listen_for_heartbeats(options_.address, address_);
    meeting.publish(address_.text());
    address_.token = RunSecret(options_.secret).proof(address_.token);
    started_at_ = changed_at_ = files::monotonic_seconds();
    return;
  }
  address_ = HeartbeatAddress::parse(meeting.lookup());
  address_.token = RunSecret(options_.secret).proof(address_.token);
  HeartbeatConnection connection(connect_to_heartbeat(address_, options_.timeout_seconds));
  connection.trust();
  connection.send({.kind = Kind::hello, .rank = rank_, .text = address_.token});
  started_at_ = changed_at_ = files::monotonic_seconds();
  peers_.push_back({.connection = std::move(connection), .rank = 0, .heard_at = started_at_});
}

void HeartbeatStar::wait(double now, const Descriptor& wake, double end) {
  if (listener_.is_open() || !peers_.empty()) end = std::min(end, next_beat_at_);
  end = std::min({end, held_until_, leaves_at()});
  std::vector<pollfd> waits = {{wake.get(), POLLIN, 0}};
  waits.push_back({can_accept_ ? listener_.get() : -1, POLLIN, 0});  // poll ignores -1
  for (const Peer& peer : peers_) {
    const int events = POLLIN | (peer.connection.has_unsent() ? POLLOUT : 0);
    waits.push_back({peer.connection.descriptor(), static_cast<short>(events), 0});
  }
  const double left = std::clamp(end - now, 0.0, 1e6);
  ::poll(waits.data(), waits.size(), end == kNever ? -1 : static_cast<int>(std::ceil(left * 1e3)));
  for (size_t i = 0; i < peers_.size(); ++i) peers_[i].is_ready = waits[i + 2].revents != 0;
}

void HeartbeatStar::work(double now, const HeartbeatSigns& signs) {
  accept_peers(now);
  for (Peer& peer : peers_) {
    if (peer.is_ready) read(peer, now);
  }
  beat(now, signs);
  look_for_silence(now);
  look_for_stalls();
  if (held_ && now >= held_until_) decide(*held_, held_->rank);
  for (Peer& peer : peers_) peer.connection.flush();
  std::erase_if(peers_, [](const Peer& peer) { return !peer.connection.is_open(); });
}

void HeartbeatStar::accept_peers(double now) {
  while (listener_.is_open() && can_accept_) {
    int error = 0;
    Descriptor socket = accept_heartbeat(listener_, error);
    can_accept_ = error == 0;  // if descriptors have run out, the next beat tries again
    if (!socket.is_open()) return;
    peers_.push_back({.connection = HeartbeatConnection(std::move(socket)), .heard_at = now});
  }
}

void HeartbeatStar::read(Peer& peer, double now) {
  const bool goes_on = peer.connection.receive();
  while (peer.connection.is_open()) {
    const auto message = peer.connection.next();
    if (!message) break;
    take(peer, *message, now);
  }
  if (goes_on && peer.connection.is_open()) return;
  peer.connection.close();
  if (!peer.is_known() || peer.has_failed || peer.has_left) return;
  decide({.rank = peer.rank,
          .message =
              fmt::format("rank {} ended without reporting an error (was it killed?)", peer.rank)},
         kNobody);
}

void HeartbeatStar::take(Peer& peer, const HeartbeatMessage& message, double now) {
  if (!peer.is_known() || message.kind == Kind::hello) {
    identify(peer, message, now);
    return;
  }
  peer.heard_at = now;
  if (message.kind == Kind::beat) {
    peer.pulse = {.is_waiting = message.flag, .unchanged = message.seconds};
  } else if (message.kind == Kind::failure) {
    peer.has_failed = true;
    consider(
        {.rank = message.rank, .message = message.text, .because_of_another_rank = message.flag},
        peer.rank, now);
  } else {
    peer.has_left = true;
    peer.connection.close();
  }
}

void HeartbeatStar::identify(Peer& peer, const HeartbeatMessage& hello, double now) {
  const bool is_ours = !peer.is_known() && hello.kind == Kind::hello &&
                       hello.text == address_.token && hello.rank > 0 &&
                       hello.rank < static_cast<int64_t>(has_joined_.size()) &&
                       !has_joined_[static_cast<size_t>(hello.rank)];
  if (!is_ours) {
    peer.connection.close();
    return;
  }
  peer.rank = hello.rank;
  peer.heard_at = now;
  peer.connection.trust();
  has_joined_[static_cast<size_t>(peer.rank)] = true;
  if (failure_) send_failure(peer);
  if (is_leaving()) {
    peer.connection.send({.kind = Kind::goodbye});
    peer.connection.finish();
  }
  if (std::find(has_joined_.begin(), has_joined_.end(), false) != has_joined_.end()) return;
  listener_.close();
  for (Peer& other : peers_) {
    if (!other.is_known()) other.connection.close();
  }
}

void HeartbeatStar::beat(double now, const HeartbeatSigns& signs) {
  if (now < next_beat_at_) return;
  next_beat_at_ = now + options_.interval;
  can_accept_ = true;
  const uint64_t steps = signs.steps.load(std::memory_order_relaxed);
  if (std::exchange(steps_, steps) != steps) changed_at_ = now;
  pulse_ = {.is_waiting = signs.waits.load(std::memory_order_relaxed) > 0,
            .unchanged = now - changed_at_};
  for (Peer& peer : peers_) {
    if (!peer.is_known()) continue;
    peer.connection.send(
        {.kind = Kind::beat, .flag = pulse_.is_waiting, .seconds = pulse_.unchanged});
  }
}

void HeartbeatStar::look_for_silence(double now) {
  const double longest = options_.timeout_seconds;
  for (Peer& peer : peers_) {
    if (!peer.connection.is_open() || now - peer.heard_at <= longest) continue;
    read(peer, now);  // its messages may have arrived while this process was stopped
    if (!peer.connection.is_open() || now - peer.heard_at <= longest) continue;
    if (peer.is_known()) {
      decide(silence_of(peer.rank, longest), kNobody);
    } else {
      peer.connection.close();
    }
  }
  if (now - started_at_ <= longest) return;
  const auto missing = std::find(has_joined_.begin(), has_joined_.end(), false);
  if (missing != has_joined_.end()) {
    decide(silence_of(missing - has_joined_.begin(), longest), kNobody);
  }
}

std::optional<int64_t> HeartbeatStar::find_stalled(double longest) const {
  std::optional<int64_t> stalled;
  double unchanged = 0;
  bool is_awaited = false;
  const auto look_at = [&](int64_t rank, const Pulse& pulse) {
    if (pulse.unchanged < longest) return;
    if (pulse.is_waiting) {
      is_awaited = true;
    } else if (pulse.unchanged > unchanged) {
      stalled = rank;
      unchanged = pulse.unchanged;
    }
  };
  look_at(0, pulse_);
  for (const Peer& peer : peers_) {
    if (peer.is_known() && peer.connection.is_open()) look_at(peer.rank, peer.pulse);
  }
  return is_awaited ? stalled : std::nullopt;
}

void HeartbeatStar::look_for_stalls() {
  if (rank_ != 0 || failure_) return;
  const auto what = [](int64_t rank, double seconds) {
    return fmt::format("rank {} has made no progress for {:g} s while other ranks wait for it",
                       rank, seconds);
  };
  const double longest = options_.stall_seconds;
  if (const auto hung = longest > 0 ? find_stalled(longest) : std::nullopt) {
    return decide({.rank = *hung, .message = what(*hung, longest)}, kNobody);
  }
  const double patience = options_.notice_seconds;
  const auto slow = patience > 0 ? find_stalled(patience) : std::nullopt;
  if (slow && slow != noticed_) {
    notice_ = what(*slow, patience);
    if (longest > 0) notice_ += fmt::format("; the run ends if that lasts for {:g} s", longest);
  }
  noticed_ = slow;
}

void HeartbeatStar::tell(RankFailure failure, double now) {
  consider(std::move(failure), rank_, now);
}

void HeartbeatStar::consider(RankFailure failure, int64_t told_by, double now) {
  if (rank_ != 0 || !failure.because_of_another_rank) {
    decide(std::move(failure), told_by);
  } else if (!held_ && !failure_) {
    held_ = std::move(failure);
    held_until_ = now + kLongestReportDelay;
  }
}

void HeartbeatStar::decide(RankFailure failure, int64_t told_by) {
  if (failure_ || is_leaving()) return;
  failure_ = std::move(failure);
  held_.reset();
  held_until_ = kNever;
  for (Peer& peer : peers_) {
    if (peer.is_known() && peer.rank != told_by) send_failure(peer);
  }
}

void HeartbeatStar::send_failure(Peer& peer) const {
  peer.connection.send({.kind = Kind::failure,
                        .rank = failure_->rank,
                        .flag = failure_->because_of_another_rank,
                        .text = failure_->message});
}

void HeartbeatStar::leave(double now) {
  if (held_) decide(*held_, held_->rank);
  leaving_since_ = now;
  for (Peer& peer : peers_) {
    if (!peer.is_known()) continue;
    peer.connection.send({.kind = Kind::goodbye});
    peer.connection.finish();
  }
}

void HeartbeatStar::close() {
  peers_.clear();
  listener_.close();
}

double HeartbeatStar::leaves_at() const {
  return leaving_since_ + (listener_.is_open() && !failure_ ? kLateJoin : kFarewell);
}

bool HeartbeatStar::has_left(double now) const {
  if (!is_leaving()) return false;
  return now >= leaves_at() || (peers_.empty() && !listener_.is_open());
}

}  // namespace levin
