#include <levin/framework/threads/short_waits.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

// Functions of GNU's OpenMP; null if LibTorch was built with another one or with none.
extern "C" {
void GOMP_parallel(void (*work)(void*), void* data, unsigned threads, unsigned flags)
    __attribute__((weak));
int omp_get_num_procs() __attribute__((weak));
}

namespace levin {

/// A thread whose OpenMP team has one more member than there are cores. The team does one empty
/// piece of work and then sleeps; OpenMP counts its members as long as this thread lives.
class ShortWaits::Team {
 public:
  Team()
      : thread_([this] {
          GOMP_parallel([](void*) {}, nullptr, static_cast<unsigned>(omp_get_num_procs()) + 1, 0);
          std::unique_lock<std::mutex> lock(mutex_);
          state_ = State::asleep;
          changed_.notify_all();
          changed_.wait(lock, [this] { return state_ == State::over; });
        }) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return state_ == State::asleep; });
  }
  ~Team() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      state_ = State::over;
    }
    changed_.notify_all();
    thread_.join();
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

 private:
  enum class State { starting, asleep, over };
  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::starting;
  std::thread thread_;  // last: it uses the others
};

bool ShortWaits::are_an_option() {
  return GOMP_parallel != nullptr && omp_get_num_procs != nullptr &&
         std::getenv("OMP_WAIT_POLICY") == nullptr && std::getenv("GOMP_SPINCOUNT") == nullptr;
}

ShortWaits::ShortWaits() {
  if (are_an_option()) team_ = std::make_unique<Team>();
}

ShortWaits::~ShortWaits() = default;

}  // namespace levin
