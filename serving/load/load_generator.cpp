#include <levin/serving/load/load_generator.h>

#include <sys/epoll.h>
#include <time.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <levin/framework/core/write_signals.h>
#include <levin/serving/load/arrivals.h>
#include <levin/serving/load/load_events.h>
#include <levin/serving/load/response_reader.h>

namespace levin {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
/// Between two looks at timeouts and at whether to stop.
constexpr int64_t kTick = kSecond / 20;
/// Before a connection that can't be made is tried again.
constexpr int64_t kRetry = kSecond / 10;

int64_t nanoseconds(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

/// The processor time of this thread.
int64_t processor_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * kSecond + now.tv_nsec;
}

/// A connection and the request that is under way on it.
struct Lane {
  enum class State { closed, connecting, idle, busy };

  LoadSocket socket{};
  ResponseReader reader{};
  State state = State::closed;
  uint32_t events = 0;         // that epoll watches for
  bool was_connected = false;  // before
  int64_t retry_at = 0;
  std::string_view unsent{};
  int64_t due = 0;   // when the request was meant to be sent
  int64_t sent = 0;  // and when it was
};

class Load {
 public:
  Load(const LoadTarget& target, const LoadPlan& plan, const std::function<bool()>& is_stopped)
      : target_(target),
        plan_(plan),
        is_stopped_(is_stopped),
        buffer_(size_t{256} << 10, '\0'),
        timeout_(nanoseconds(plan.timeout)) {
    for (int64_t i = 0; i < plan.connections; ++i) lanes_.push_back(std::make_unique<Lane>());
  }

  LoadResult run() {
    begin_ = LoadEvents::now();
    measure_from_ = begin_ + nanoseconds(plan_.warmup);
    measure_until_ = measure_from_ + nanoseconds(plan_.seconds);
    if (plan_.rate > 0.0) {
      arrivals_.emplace(plan_.rate, plan_.is_poisson, plan_.seed);
      next_due_ = begin_ + arrivals_->next();
    }
    for (size_t i = 0; i < lanes_.size(); ++i) open(i);
    int64_t next_tick = begin_;
    while (true) {
      now_ = LoadEvents::now();
      if (work_start_ < 0 && now_ >= measure_from_) work_start_ = work_time();
      if (now_ >= next_tick) {
        next_tick = now_ + kTick;
        if (is_stopped_ && is_stopped_()) {
          interrupt();
          break;
        }
        look_at_lanes();
      }
      send_due();
      if (now_ >= measure_until_) {
        if (work_end_ < 0) work_end_ = work_time();
        if (busy_ == 0 && !has_due()) break;
      }
      wait(next_tick);
    }
    return finish();
  }

 private:
  using Progress = LoadSocket::Progress;

  bool is_open_loop() const { return arrivals_.has_value(); }
  /// Whether a request that is due within the measurement waits to be sent.
  bool has_due() const { return is_open_loop() && next_due_ < measure_until_; }
  bool counts(int64_t due) const { return due >= measure_from_ && due < measure_until_; }

  void wait(int64_t next_tick) {
    int64_t wake = next_tick;
    if (has_due() && !idle_.empty()) wake = std::min(wake, next_due_);
    for (const size_t index : events_.wait(wake, lanes_.size() <= kFewConnections)) advance(index);
  }

  void watch(size_t index, uint32_t events) {
    Lane& lane = *lanes_[index];
    if (lane.events == events) return;
    events_.watch(lane.socket.descriptor(), index, events, lane.events != 0);
    lane.events = events;
  }

  void open(size_t index) {
    Lane& lane = *lanes_[index];
    lane.reader = ResponseReader();
    lane.events = 0;  // closing a descriptor has taken it out of epoll
    if (lane.was_connected) ++result_.reconnects;
    lane.state = Lane::State::connecting;
    go_on_connecting(index);
  }

  void go_on_connecting(size_t index) {
    Lane& lane = *lanes_[index];
    switch (lane.socket.connect(target_)) {
      case Progress::done:
        watch(index, EPOLLIN);
        lane.was_connected = true;
        rest(index);
        return;
      case Progress::ended:
        close(index);
        lane.retry_at = LoadEvents::now() + kRetry;
        return;
      case Progress::read_first:
        return watch(index, EPOLLIN);
      case Progress::write_first:
        return watch(index, EPOLLOUT);
    }
  }

  /// Makes a connection ready for the next request. In a closed loop, that is sent at once.
  void rest(size_t index) {
    Lane& lane = *lanes_[index];
    lane.state = Lane::State::idle;
    if (!is_open_loop()) {
      const int64_t now = LoadEvents::now();
      if (now < measure_until_) send(index, now, now);
    } else {
      idle_.push_back(index);
    }
  }

  void close(size_t index) {
    Lane& lane = *lanes_[index];
    if (lane.state == Lane::State::busy) --busy_;
    if (!lane.socket.problem().empty()) result_.problem = lane.socket.problem();
    if (lane.state == Lane::State::idle) std::erase(idle_, index);
    lane.socket.close();
    lane.state = Lane::State::closed;
    lane.retry_at = 0;
  }

  /// Sends the requests that are due, as long as there are connections for them.
  void send_due() {
    while (has_due() && next_due_ <= now_) {
      if (now_ - next_due_ > timeout_) {  // its client has given up while it waited here
        count_request(next_due_, result_.expired);
      } else if (idle_.empty()) {
        return;
      } else {
        const size_t index = idle_.front();
        idle_.pop_front();
        send(index, next_due_, now_);
      }
      next_due_ = begin_ + arrivals_->next();
    }
  }

  void count_request(int64_t due, int64_t& outcome) {
    if (!counts(due)) return;
    ++result_.requests;
    ++outcome;
  }

  void send(size_t index, int64_t due, int64_t now) {
    Lane& lane = *lanes_[index];
    lane.state = Lane::State::busy;
    ++busy_;
    lane.due = due;
    lane.sent = now;
    lane.unsent = plan_.requests[next_request_];
    next_request_ = next_request_ + 1 == plan_.requests.size() ? 0 : next_request_ + 1;
    go_on_sending(index);
  }

  void go_on_sending(size_t index) {
    Lane& lane = *lanes_[index];
    switch (lane.socket.write(lane.unsent)) {
      case Progress::done:
      case Progress::read_first:  // TLS: what comes next is a message of the server
        return watch(index, EPOLLIN);
      case Progress::write_first:
        return watch(index, EPOLLIN | EPOLLOUT);
      case Progress::ended:
        return lose(index);
    }
  }

  /// The connection has ended: a request that is under way gets no response.
  void lose(size_t index) {
    Lane& lane = *lanes_[index];
    const bool was_busy = lane.state == Lane::State::busy;
    if (was_busy) count_request(lane.due, result_.broken);
    close(index);
    // At once, unless the server may be gone.
    if (was_busy) lane.retry_at = LoadEvents::now() + kRetry;
  }

  /// Does what an event makes possible.
  void advance(size_t index) {
    Lane& lane = *lanes_[index];
    if (lane.state == Lane::State::closed) return;
    if (lane.state == Lane::State::connecting) return go_on_connecting(index);
    if (!lane.unsent.empty()) {
      go_on_sending(index);
      if (lane.state != Lane::State::busy) return;
    }
    while (true) {
      size_t count = 0;
      const Progress progress = lane.socket.read(buffer_.data(), buffer_.size(), count);
      if (!take(index, std::string_view(buffer_.data(), count), progress == Progress::ended)) {
        return;
      }
      if (progress == Progress::ended) return lose(index);
      if (progress != Progress::done) return;
    }
  }

  /// Reads what has come. Returns false if the connection is to be left alone.
  bool take(size_t index, std::string_view bytes, bool has_ended) {
    Lane& lane = *lanes_[index];
    auto response = lane.reader.take(bytes);
    if (!response && has_ended) response = lane.reader.end();
    if (!response) return true;
    if (lane.state != Lane::State::busy || !bytes.empty()) {
      // Such as status 408 or 503 on a connection without a request, before it is closed.
      close(index);
      return false;
    }
    answer(lane, *response);
    const bool is_refused_early = !lane.unsent.empty();
    lane.unsent = {};
    if (response->closes || has_ended || is_refused_early) {
      close(index);
      if (LoadEvents::now() < measure_until_ || has_due()) open(index);
      return false;
    }
    --busy_;
    rest(index);
    return lane.state != Lane::State::closed;
  }

  void answer(const Lane& lane, const ResponseReader::Response& response) {
    const int64_t now = LoadEvents::now();
    const bool is_answer = response.status >= 200 && response.status < 300;
    if (is_answer && now >= measure_from_ && now < measure_until_) ++answered_meanwhile_;
    int64_t& outcome = is_answer                ? result_.answered
                       : response.status == 429 ? result_.refused
                                                : result_.failed;
    count_request(lane.due, outcome);
    if (!counts(lane.due)) return;
    ++result_.statuses[response.status];
    if (!is_answer) return;
    result_.latency.add(now - lane.due);
    result_.service.add(now - lane.sent);
  }

  /// Ends requests that take too long, and makes connections that are missing.
  void look_at_lanes() {
    for (size_t i = 0; i < lanes_.size(); ++i) {
      Lane& lane = *lanes_[i];
      if (lane.state == Lane::State::busy && now_ - lane.due > timeout_) {
        count_request(lane.due, result_.expired);
        close(i);
      }
      if (lane.state == Lane::State::closed && now_ >= lane.retry_at &&
          (now_ < measure_until_ || has_due())) {
        open(i);
      }
    }
  }

  /// Ends the measurement now.
  void interrupt() {
    result_.is_interrupted = true;
    const int64_t until = measure_until_;
    for (const auto& lane : lanes_) {
      if (lane->state == Lane::State::busy) count_request(lane->due, result_.unfinished);
    }
    measure_until_ = std::min(until, now_);
    while (has_due()) {
      count_request(next_due_, result_.unfinished);
      next_due_ = begin_ + arrivals_->next();
    }
  }

  /// The processor time of this thread without what it has waited awake.
  int64_t work_time() const {
    return std::max<int64_t>(processor_time() - events_.time_awake(), 0);
  }

  LoadResult finish() {
    const double seconds =
        static_cast<double>(std::max<int64_t>(measure_until_ - measure_from_, 0)) * 1e-9;
    result_.seconds = seconds;
    if (seconds > 0.0) {
      const int64_t start = work_start_ < 0 ? work_time() : work_start_;
      const int64_t end = work_end_ < 0 ? work_time() : work_end_;
      result_.throughput = static_cast<double>(answered_meanwhile_) / seconds;
      result_.generator_load =
          static_cast<double>(std::max<int64_t>(end - start, 0)) * 1e-9 / seconds;
    }
    return std::move(result_);
  }

  const LoadTarget& target_;
  const LoadPlan& plan_;
  const std::function<bool()>& is_stopped_;
  LoadEvents events_;
  std::string buffer_;
  int64_t timeout_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::deque<size_t> idle_;  // in an open loop, the one that has rested longest first
  std::optional<Arrivals> arrivals_;
  LoadResult result_;
  int64_t begin_ = 0;
  int64_t measure_from_ = 0;
  int64_t measure_until_ = 0;
  int64_t now_ = 0;
  int64_t next_due_ = 0;
  int64_t busy_ = 0;
  int64_t answered_meanwhile_ = 0;
  int64_t work_start_ = -1;
  int64_t work_end_ = -1;
  size_t next_request_ = 0;
};

}  // namespace

LoadResult run_load(const LoadTarget& target, const LoadPlan& plan,
                    const std::function<bool()>& is_stopped) {
  const NoWriteSignals signals;                          // OpenSSL writes without MSG_NOSIGNAL
  require_server(target, std::min(plan.timeout, 10.0));  // later, one that is gone is a result
  return Load(target, plan, is_stopped).run();
}

}  // namespace levin
