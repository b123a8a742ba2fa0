#include <levin/framework/heartbeat/heartbeat.h>

#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/quiet_thread.h>
#include <levin/framework/heartbeat/heartbeat_star.h>
#include <levin/framework/launch/failure_report.h>

namespace levin {
namespace {

void check_options(const HeartbeatOptions& options) {
  const auto require = [](bool holds, const char* name, double value, const char* requirement) {
    if (!holds) throw ConfigError::invalid_value(name, fmt::format("{}", value), requirement);
  };
  require(options.interval > 0, "interval", options.interval, "must be more than 0 seconds");
  require(options.timeout_seconds > options.interval, "timeout_seconds", options.timeout_seconds,
          "must be longer than the interval between two heartbeats");
  require(options.stall_seconds >= 0, "stall_seconds", options.stall_seconds,
          "must be 0 (off) or more seconds");
  require(options.notice_seconds >= 0, "notice_seconds", options.notice_seconds,
          "must be 0 (off) or more seconds");
  require(options.grace_seconds >= 0, "grace_seconds", options.grace_seconds,
          "must be 0 or more seconds");
}

/// Writes without stdio: the main thread may hang while it holds the lock of stderr. What can't be
/// written at once is lost, because this thread must not wait: stderr may be a pipe that nobody
/// reads, or a terminal that the user has stopped by Ctrl-S.
void write_line_to_stderr(std::string text) {
  text = in_one_line(std::move(text)) + '\n';
  for (std::string_view rest = text; !rest.empty();) {
    pollfd wait{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&wait, 1, 0) <= 0 || (wait.revents & POLLOUT) == 0) return;
    // A pipe that is writable has room for at least PIPE_BUF bytes.
    const ssize_t written =
        ::write(STDERR_FILENO, rest.data(), std::min<size_t>(rest.size(), PIPE_BUF));
    if (written < 0 && errno != EINTR) return;
    rest.remove_prefix(static_cast<size_t>(std::max<ssize_t>(written, 0)));
  }
}

}  // namespace

/// The heartbeat's thread of one rank, and the state that it shares with the main thread.
class Heartbeat::Watch {
 public:
  Watch(Heartbeat& owner, int64_t rank, int64_t world_size, const HeartbeatOptions& options,
        std::function<void()> on_failure)
      : owner_(owner),
        rank_(rank),
        grace_seconds_(options.grace_seconds),
        on_failure_(std::move(on_failure)),
        star_(rank, world_size, options),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_.is_open()) {
      throw DistributedError(
          "the heartbeat can't open a file descriptor; raise the limit of open files (ulimit -n)");
    }
  }
  ~Watch() { leave(); }

  void start(const HeartbeatMeeting& meeting) {
    star_.join(meeting);
    thread_ = start_without_signals([this] { run(); });
  }
  void leave();
  void tell(std::string_view message, bool because_of_another_rank);
  std::string failure(double wait_seconds) const;

 private:
  void wake() const;

  // These run on the heartbeat's thread.
  void run();
  void serve_main_thread(double now);
  void learn(const RankFailure& failure);
  void call_on_failure();
  void finish_on_failure();
  [[noreturn]] void end_process() const;

  Heartbeat& owner_;
  const int64_t rank_;
  const double grace_seconds_;
  const std::function<void()> on_failure_;

  // Shared by the threads, guarded by mutex_.
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::string message_;  // the other rank's failure, once it is known
  std::optional<RankFailure> to_tell_;
  bool has_told_ = false;
  bool is_leaving_ = false;
  bool is_aborting_ = false;  // on_failure is running

  // Used by the heartbeat's thread only.
  HeartbeatStar star_;
  Descriptor wake_;
  bool knows_failure_ = false;
  bool has_begun_to_leave_ = false;
  double end_at_ = HeartbeatStar::kNever;
  std::thread on_failure_thread_;
  std::thread thread_;
};

void Heartbeat::Watch::wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

void Heartbeat::Watch::leave() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_leaving_ = true;
  }
  wake();
  if (thread_.joinable()) thread_.join();
}

void Heartbeat::Watch::tell(std::string_view message, bool because_of_another_rank) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (is_leaving_ || has_told_ || !message_.empty()) return;
  has_told_ = true;
  to_tell_ = {.rank = rank_,
              .message = fmt::format("rank {} failed: {}", rank_, message),
              .because_of_another_rank = because_of_another_rank};
  wake();
  changed_.wait_for(lock, std::chrono::milliseconds(500), [this] { return !to_tell_; });
}

std::string Heartbeat::Watch::failure(double wait_seconds) const {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, std::chrono::duration<double>(std::clamp(wait_seconds, 0.0, 1e6)),
                    [this] { return !message_.empty() || has_told_ || is_leaving_; });
  return message_;
}

void Heartbeat::Watch::run() {
  for (double now = files::monotonic_seconds(); !star_.has_left(now);) {
    star_.wait(now, wake_, has_begun_to_leave_ ? HeartbeatStar::kNever : end_at_);
    now = files::monotonic_seconds();
    star_.work(now, owner_.signs_);
    if (auto notice = star_.take_notice(); !notice.empty()) write_line_to_stderr(std::move(notice));
    serve_main_thread(now);
    if (star_.failure() && !std::exchange(knows_failure_, true)) learn(*star_.failure());
    if (now < end_at_) continue;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!is_leaving_) end_process();
  }
  star_.close();
  finish_on_failure();
}

void Heartbeat::Watch::serve_main_thread(double now) {
  uint64_t count = 0;
  // Nothing to read: the main thread hasn't called `wake`.
  if (::read(wake_.get(), &count, sizeof(count)) < 0) return;
  bool is_leaving = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (to_tell_) star_.tell(std::move(*to_tell_), now);
    to_tell_.reset();
    is_leaving = is_leaving_;
  }
  changed_.notify_all();
  if (is_leaving && !std::exchange(has_begun_to_leave_, true)) star_.leave(now);
}

void Heartbeat::Watch::learn(const RankFailure& failure) {
  const auto is_of_no_use = [this] { return has_told_ || is_leaving_; };
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_of_no_use()) return;
  }
  // This report comes first, because the main thread's own would only say that it was interrupted.
  report_failure(failure.message, failure.rank != rank_);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_of_no_use()) return;
    message_ = failure.message;
    is_aborting_ = static_cast<bool>(on_failure_);
  }
  end_at_ = files::monotonic_seconds() + grace_seconds_;
  owner_.has_failure_.store(true, std::memory_order_relaxed);
  changed_.notify_all();
  if (!on_failure_) return;
  // on_failure may hang. This thread must stay free to end the process in that case.
  on_failure_thread_ = start_without_signals([this] { call_on_failure(); });
}

void Heartbeat::Watch::call_on_failure() {
  try {
    on_failure_();
  } catch (...) {  // the rank's failure has been reported already
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  is_aborting_ = false;
  changed_.notify_all();
}

void Heartbeat::Watch::finish_on_failure() {
  if (!on_failure_thread_.joinable()) return;
  std::unique_lock<std::mutex> lock(mutex_);
  const double left = std::max(0.0, end_at_ - files::monotonic_seconds());
  changed_.wait_for(lock, std::chrono::duration<double>(left), [this] { return !is_aborting_; });
  if (is_aborting_) end_process();
  lock.unlock();
  on_failure_thread_.join();
}

/// Must be called with the mutex held, so that the main thread can't leave at the same time.
void Heartbeat::Watch::end_process() const {
  write_line_to_stderr(fmt::format("rank {}: {}", rank_, message_));
  ::_exit(1);
}

Heartbeat::Heartbeat(int64_t rank, int64_t world_size, const HeartbeatMeeting& meeting,
                     HeartbeatOptions options, std::function<void()> on_failure) {
  check_options(options);
  if (world_size < 2) return;
  watch_ = std::make_unique<Watch>(*this, rank, world_size, options, std::move(on_failure));
  watch_->start(meeting);
}

Heartbeat::~Heartbeat() = default;

std::string Heartbeat::failure(double wait_seconds) const {
  return watch_ ? watch_->failure(wait_seconds) : std::string();
}

void Heartbeat::throw_failure() const { throw DistributedError(watch_->failure(0)); }

void Heartbeat::tell(std::string_view message, bool because_of_another_rank) {
  if (watch_) watch_->tell(message, because_of_another_rank);
}

void Heartbeat::leave() {
  if (watch_) watch_->leave();
}

}  // namespace levin
