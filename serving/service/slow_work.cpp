#include <levin/serving/service/slow_work.h>

#include <cstddef>
#include <utility>

namespace levin {
namespace {

constexpr size_t kMostSlowWork = 16;

}  // namespace

SlowWork::~SlowWork() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool SlowWork::run(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMostSlowWork) return false;
    waiting_.push_back(std::move(work));
    if (!thread_.joinable()) thread_ = std::thread([this] { work_on(); });
  }
  changed_.notify_one();
  return true;
}

void SlowWork::work_on() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_ending_ || !waiting_.empty(); });
    if (is_ending_) return;
    const auto work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace levin
