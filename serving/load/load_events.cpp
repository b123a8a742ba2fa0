#include <levin/serving/load/load_events.h>

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace levin {
namespace {

constexpr int64_t kNanoseconds = 1'000'000'000;  // in a second
constexpr uint64_t kTimerEvent = ~uint64_t{0};

}  // namespace

LoadEvents::LoadEvents()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
      events_(256) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kTimerEvent;
  if (epoll_ < 0 || timer_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, timer_, &event) != 0) {
    const int error = errno;
    if (epoll_ >= 0) ::close(epoll_);
    if (timer_ >= 0) ::close(timer_);
    throw std::system_error(error, std::generic_category(), "the load generator can't start");
  }
}

LoadEvents::~LoadEvents() {
  ::close(timer_);
  ::close(epoll_);
}

void LoadEvents::watch(int descriptor, size_t index, uint32_t events, bool was_watched) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = index;
  ::epoll_ctl(epoll_, was_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, &event);
}

const std::vector<size_t>& LoadEvents::wait(int64_t until, bool may_stay_awake) {
  if (until != armed_) {
    itimerspec when{};
    when.it_value.tv_sec = until / kNanoseconds;
    when.it_value.tv_nsec = until % kNanoseconds;
    ::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
    armed_ = until;
  }
  ready_.clear();
  waits_.wait(
      may_stay_awake, [this] { return collect(0); }, [this] { collect(-1); });
  return ready_;
}

bool LoadEvents::collect(int timeout_ms) {
  const int count =
      ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), timeout_ms);
  for (int i = 0; i < count; ++i) {
    const uint64_t index = events_[static_cast<size_t>(i)].data.u64;
    if (index != kTimerEvent) {
      ready_.push_back(static_cast<size_t>(index));
      continue;
    }
    uint64_t times = 0;
    [[maybe_unused]] const ssize_t got = ::read(timer_, &times, sizeof(times));
    armed_ = 0;
  }
  return count > 0;
}

int64_t LoadEvents::now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * kNanoseconds + time.tv_nsec;
}

}  // namespace levin
