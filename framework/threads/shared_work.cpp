#include <levin/framework/threads/shared_work.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <system_error>

#include <c10/core/GradMode.h>

#include <levin/framework/core/relax.h>
#include <levin/framework/threads/one_thread.h>

namespace levin {
namespace {

// Seconds that a helper runs in a loop before it sleeps. A step of a small model has its next work
// by then, and waking a helper takes up to 50 us on a virtual machine.
constexpr double kSpin = 200e-6;
constexpr double kPatience = 150e-6;  // seconds to wait for helpers without calling them late
// A late helper costs a time slice of another program, about 4 ms. If helpers are late again each
// time, the pauses keep that below 3 % of the time.
constexpr double kFirstPause = 60e-3;
constexpr double kLongestPause = 3.84;
constexpr int kTurnsALook = 32;  // turns of a waiting loop between two looks at the clock

thread_local HelperThreads* current = nullptr;
thread_local bool is_inside = false;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Waits until `value` isn't `old` any more: for `seconds` in a loop, and then asleep. Returns the
// new value.
template <class T, class BeforeSleep>
T wait_for_change(const std::atomic<T>& value, T old, double seconds, BeforeSleep before_sleep) {
  std::optional<double> started;
  for (int turn = 1;; ++turn) {
    const T seen = value.load();
    if (seen != old) return seen;
    relax();
    if (turn % kTurnsALook != 0) continue;
    const double time = now();
    if (!started) started = time;
    if (time - *started < seconds) continue;
    before_sleep();
    value.wait(old);
  }
}

/// Marks the calling thread as being within the work of share_out.
class Inside {
 public:
  Inside() { is_inside = true; }
  ~Inside() { is_inside = false; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  OneThread one_thread_;
};

}  // namespace

bool is_sharing_out() { return is_inside; }

void share_out(int64_t parts, c10::function_ref<void(int64_t)> work) {
  if (!is_inside && current != nullptr && parts > 1 && current->are_free()) {
    return current->run(parts, work);
  }
  std::optional<Inside> inside;
  if (!is_inside) inside.emplace();
  for (int64_t part = 0; part < parts; ++part) work(part);
}

HelperThreads::HelperThreads(int count) : before_(current) {
  try {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { help(); });
  } catch (const std::system_error&) {  // the system gives no more threads; fewer do, too
  }
  current = this;
}

HelperThreads::~HelperThreads() {
  current = before_;
  is_over_ = true;
  announced_.fetch_add(1);
  announced_.notify_all();
  for (auto& thread : threads_) thread.join();
}

bool HelperThreads::are_free() const {
  return !threads_.empty() && (pause_ == 0.0 || now() >= paused_until_);
}

void HelperThreads::run(int64_t parts, Work work) {
  const Inside inside;
  const double started = now();
  work_ = &work;
  parts_ = parts;
  error_ = nullptr;
  has_failed_ = false;
  next_ = 0;
  uint32_t number = announced_ + 1;
  if (number == 0) number = 1;
  open_ = number;
  announced_ = number;
  if (asleep_ > 0) announced_.notify_all();
  const int64_t own_parts = take_parts();
  open_ = 0;  // helpers that are late find nothing to do
  wait_for_helpers(started, own_parts);
  if (error_) std::rethrow_exception(error_);
}

/// Waits for the parts that helpers have begun. If a helper doesn't finish its part, although that
/// is no larger than those of the calling thread, another program has its core.
void HelperThreads::wait_for_helpers(double started, int64_t own_parts) {
  const double finished = now();
  double ended = finished;
  for (int active = active_; active != 0;) {
    active = wait_for_change(active_, active, kPatience, [] {});
    ended = now();
  }
  const double part = (finished - started) / static_cast<double>(std::max<int64_t>(own_parts, 1));
  if (ended - finished > kPatience + 2.0 * part) {
    pause_ = std::clamp(4.0 * pause_, kFirstPause, kLongestPause);
    paused_until_ = ended + pause_;
  } else if (pause_ > 0.0 && ended > paused_until_ + 2.0 * pause_) {
    pause_ = 0.0;
  }
}

/// Makes calls until all parts are taken. Returns how many.
int64_t HelperThreads::take_parts() {
  int64_t taken = 0;
  for (int64_t part; (part = next_.fetch_add(1)) < parts_; ++taken) {
    if (has_failed_) continue;
    try {
      (*work_)(part);
    } catch (...) {
      if (!has_failed_.exchange(true)) error_ = std::current_exception();
    }
  }
  return taken;
}

void HelperThreads::help() {
  const Inside inside;
  const c10::NoGradGuard no_grad;
  uint32_t seen = 0;
  while (!is_over_) {
    bool slept = false;
    seen = wait_for_change(announced_, seen, kSpin, [&] {
      if (!slept) asleep_.fetch_add(1);
      slept = true;
    });
    if (slept) asleep_.fetch_sub(1);
    active_.fetch_add(1);
    if (open_ == seen) take_parts();
    if (active_.fetch_sub(1) == 1) active_.notify_all();
  }
}

}  // namespace levin
